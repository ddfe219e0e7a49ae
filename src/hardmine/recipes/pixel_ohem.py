"""OHEM of pixels, as segmentation code bases have it."""

from hardmine.equation.normalize import PerSampled
from hardmine.equation.recipe import PIXELS, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import PixelOHEM

__all__ = ["pixel_ohem"]


def pixel_ohem(
    threshold: float | None = 0.7, min_fraction: float = 1 / 16, min_kept: int | None = None, strict: bool = False
) -> Recipe:
    """The pixels that are not sure of their class, and at least the hardest of the batch; averaged over these.

    Args: threshold: a pixel is sure if its class has this probability; None: only so many of the hardest are kept.
        min_fraction: share of the pixels that are not ignored that are kept at least: BiSeNet's form, and with
            ``threshold=None`` DeepLab's top-k %.
        min_kept: in its place so many pixels an image, all images of the batch together; mmsegmentation has 100,000,
            which is more than small crops have: then all pixels are kept, as in cross entropy.
        strict: as mmsegmentation and HRNet draw the line, where of pixels that tie all are lost, see `PixelOHEM`.
    """

    def slots(head: HeadTraits) -> Slots:  # noqa: ARG001
        share = min_fraction if min_kept is None else None
        sampling = PixelOHEM(min_kept or 0, threshold, min_fraction=share, strict=strict)
        return {"select": Slot(sampling), "classify": Slot(normalize=PerSampled())}

    return Recipe(
        name="pixel_ohem",
        on=PIXELS,
        slots=slots,
        kind="hard",
        title="Online hard example mining of pixels",
        summary="Hard: pixels that are sure of their class are left out, but never so many that little is left.",
        equation="w_i = 1 for the pixels with p_i < .7 and the sixteenth of largest ℓ_i of the batch, else 0",
        paper=Paper(
            "Wu, Shen, van den Hengel",
            "High-performance Semantic Segmentation Using Very Deep Fully Convolutional Networks",
            "arXiv 2016",
            "1604.04339",
        ),
        differences=(
            "The paper (online bootstrapping) keeps a fixed number of the hardest pixels, `threshold=None`; threshold "
            "and least number together are how mmsegmentation, HRNet and BiSeNet have it, with which names and "
            "numbers stands in docs/pixels.md.",
            "From mmsegmentation: averaged over the pixels kept, as HRNet and BiSeNet do; it divides by all, so that "
            "the gradient fades as fewer are kept. Pixels that tie do not all get lost (`strict`).",
            "An auxiliary head mines pixels of its own, as in BiSeNet; HRNet mines on the last head only.",
        ),
        parameters={
            "threshold": threshold,
            "min_fraction": min_fraction,
            "min_kept": min_kept,
            "strict": strict,
        },
        tuned={"threshold": (0.5, 0.7, 0.9), "min_fraction": (1 / 64, 1 / 16, 0.2)},
    )
