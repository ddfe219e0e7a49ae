"""Hard places copied onto other images: objects with their labels, backgrounds as distractors without one.

Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, CVPR 2021,
arXiv:2012.07177, for objects drawn at random; here those are drawn that a detector misses.
"""

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from hardmine.augmentation.crops import HardCrops, Patch
from hardmine.augmentation.targets import Target, joined, prepared
from hardmine.core.boxes import pairwise_iou, pairwise_overlap_of_second
from hardmine.errors import ConfigError

__all__ = ["PasteHard", "drawn_scale"]


class PasteHard(nn.Module):
    """Pastes one to ``most`` hard places, each at a random size and place where it hides nothing else.

    A place is drawn by `HardCrops.draw`, flipped with the probabilities `flips` (left-right, upside down), enlarged
    log-uniformly between the factors `scale`, and put where it lies wholly in the image, overlaps no object (crowds
    count) at more than `most_iou` and covers no more than `most_covered` of any. Both at 0, as for backgrounds: it
    touches none. Size and place are drawn up to `tries` times; what fits nowhere is left out. Labels, weights and
    crowds follow; targets with proposals get its boxes as such.

    Takes an image (3, H, W), uint8 or float in 0..1, and a target with boxes (n, 4) xyxy in pixels and labels (n,),
    perhaps iscrowd, weights, proposals. What else a target says of each object is not known here.

    Raises: ConfigError: a number out of its range.
    """

    def __init__(
        self,
        crops: HardCrops,
        most: int = 3,
        scale: tuple[float, float] = (0.5, 2.0),
        flips: tuple[float, float] = (0.0, 0.0),
        most_iou: float = 0.2,
        most_covered: float = 0.2,
        tries: int = 10,
    ) -> None:
        super().__init__()
        if most < 1 or tries < 1 or not 0 < scale[0] <= scale[1] < float("inf"):
            raise ConfigError(f"most={most}, tries={tries}, scale={scale}; expected 1 at least, and 0 < low <= high")
        if not all(0 <= share <= 1 for share in (*flips, most_iou, most_covered)):
            shares = f"flips={flips}, most_iou={most_iou}, most_covered={most_covered}"
            raise ConfigError(f"{shares}; expected numbers from 0 to 1")
        self.crops, self.most, self.scale, self.flips, self.tries = crops, most, scale, flips, tries
        self.most_iou, self.most_covered = most_iou, most_covered

    def forward(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        image, target = prepared(image, target)
        canvas = image.as_subclass(Tensor).clone()
        for _ in range(int(torch.randint(1, self.most + 1, ()))):
            patch = self._flipped(self.crops.patch(self.crops.draw()))
            found = self._find_room(patch, target["boxes"].as_subclass(Tensor), canvas.shape[-2:])
            if found is not None:
                patch, corner = found
                _blend(canvas, patch, corner)
                target = joined(image, target, _moved(patch.target, corner, canvas.shape[-2:]))
        return tv_tensors.wrap(canvas, like=image), target  # pyright: ignore[reportCallIssue]

    def _flipped(self, patch: Patch) -> Patch:
        for axis, chance in enumerate(self.flips):
            patch = patch.flipped(axis) if torch.rand(()) < chance else patch
        return patch

    def _find_room(
        self, patch: Patch, boxes: Tensor, size: tuple[int, ...] | torch.Size
    ) -> tuple[Patch, tuple[int, int]] | None:
        """The patch in a size, and where its left upper corner comes; None: every try failed."""
        for _ in range(self.tries):
            resized = patch.resized(drawn_scale(self.scale))
            corner = _drawn_corner(resized, size)
            if corner is not None and self._has_room(resized, corner, boxes, size):
                return resized, corner
        return None

    def _has_room(
        self, patch: Patch, corner: tuple[int, int], boxes: Tensor, size: tuple[int, ...] | torch.Size
    ) -> bool:
        if not len(boxes):
            return True
        height, width = patch.pixels.shape[-2:]
        whole = {"boxes": torch.tensor([[0.0, 0.0, width, height]])}
        covered = pairwise_overlap_of_second(_moved(whole, corner, size)["boxes"], boxes)
        iou = pairwise_iou(_moved(patch.target, corner, size)["boxes"], boxes)
        return bool((covered <= self.most_covered).all() and (iou <= self.most_iou).all())


def drawn_scale(scale: tuple[float, float]) -> float:
    """A factor between two, log-uniformly."""
    low, high = torch.tensor(scale, dtype=torch.float64).log()
    return float((low + (high - low) * torch.rand((), dtype=torch.float64)).exp())


def _drawn_corner(patch: Patch, size: tuple[int, ...] | torch.Size) -> tuple[int, int] | None:
    """Where the left upper corner of the patch comes, x and y, so that its core is in the image; None: it is larger."""
    low = (-patch.core[:2]).ceil().int()
    high = (torch.tensor([size[1], size[0]]) - patch.core[2:]).floor().int()
    at = torch.rand(2)
    if bool((high < low).any()):
        return None
    x, y = torch.minimum(low + (at * (high - low + 1)).int(), high).tolist()
    return x, y


def _moved(target: Target, corner: tuple[int, int], size: tuple[int, ...] | torch.Size) -> Target:
    """The target with boxes in pixels of the image that the patch is put on, cut at its sides."""
    limits = torch.tensor([size[1], size[0], size[1], size[0]])
    moved = (target["boxes"] + torch.tensor([*corner, *corner])).clamp(min=0).minimum(limits)
    return target | {"boxes": moved}


def _blend(canvas: Tensor, patch: Patch, corner: tuple[int, int]) -> None:
    """Puts the patch onto an image, in place; what of its border is outside of the image is not seen."""
    (height, width), (x, y) = patch.pixels.shape[-2:], corner
    left, top = max(-x, 0), max(-y, 0)
    right, bottom = min(canvas.shape[-1] - x, width), min(canvas.shape[-2] - y, height)
    part = canvas[:, y + top : y + bottom, x + left : x + right]
    pixels = v2.functional.to_dtype(patch.pixels, canvas.dtype, scale=True)[:, top:bottom, left:right].float()
    alpha = patch.alpha[top:bottom, left:right]
    mixed = alpha * pixels + (1 - alpha) * part.float()
    part.copy_(mixed if canvas.is_floating_point() else mixed.round())
