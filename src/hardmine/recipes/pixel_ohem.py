"""OHEM of pixels, as segmentation code bases have it."""

from hardmine.equation.normalize import PerSampled
from hardmine.equation.recipe import PIXELS, HeadTraits, Paper, Recipe, Slot, Slots
from hardmine.sampling import PixelOHEM

__all__ = ["pixel_ohem"]


def pixel_ohem(
    threshold: float | None = 0.7, min_kept: int = 100_000, min_fraction: float | None = None, strict: bool = False
) -> Recipe:
    """The pixels that are not sure of their class, and at least the hardest of the batch; averaged over these.

    Args: threshold: a pixel is sure if its class has this probability; None: only so many of the hardest are kept.
        min_kept: pixels an image that are kept at least, all images of the batch together.
        min_fraction: a share of the pixels that are not ignored in place of ``min_kept``: with ``threshold=None``
            DeepLab's top-k %, otherwise BiSeNet's form, which has 1/16.
        strict: as mmsegmentation and HRNet draw the line, where of pixels that tie all are lost, see `PixelOHEM`.
    """

    def slots(head: HeadTraits) -> Slots:  # noqa: ARG001
        sampling = PixelOHEM(min_kept, threshold, min_fraction=min_fraction, strict=strict)
        return {"select": Slot(sampling), "classify": Slot(normalize=PerSampled())}

    return Recipe(
        name="pixel_ohem",
        on=PIXELS,
        slots=slots,
        kind="hard",
        title="Online hard example mining of pixels",
        summary="Hard: pixels that are sure of their class are left out, but never so many that little is left.",
        equation="w_i = 1 for the pixels with p_i < .7 and the 100,000 · B of largest ℓ_i of the batch, else 0",
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
            "min_kept": min_kept,
            "min_fraction": min_fraction,
            "strict": strict,
        },
        tuned={"threshold": (0.5, 0.7, 0.9), "min_fraction": (None, 1 / 16, 0.2)},
    )
