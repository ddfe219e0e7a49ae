"""Fast R-CNN: torchvision's Faster R-CNN on proposals that are given, instead of those of an RPN.

Girshick, Fast R-CNN, ICCV 2015, arXiv:1504.08083: the detector that OHEM was made for. Proposals travel with the
targets, in evaluation too: `proposals` (P, 4) of each image, xyxy in its pixels, the best first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from hardmine.errors import ShapeError

__all__ = ["FastRCNN", "GivenProposals", "TransformWithProposals"]

SMALLEST = 1.0
"""Side of a proposal in pixels of the network's input, at least; RoIAlign sees no less."""


class FastRCNN(FasterRCNN):
    """A Faster R-CNN whose RPN is replaced by `GivenProposals`.

    Args: most_proposals: of an image, that the head is given; those beyond are left out.
        options: of torchvision's `FasterRCNN`; those of the RPN have nothing to do.
    """

    def __init__(
        self, backbone: nn.Module, num_classes: int | None = None, *, most_proposals: int = 2000, **options: Any
    ):
        super().__init__(backbone, num_classes, **options)
        own = self.transform
        self.transform = TransformWithProposals(own.min_size, own.max_size, own.image_mean, own.image_std)
        self.rpn = GivenProposals(most_proposals)


class TransformWithProposals(GeneralizedRCNNTransform):
    """torchvision's, which resizes images and boxes; and the proposals beside these."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        height, width = image.shape[-2:]
        image, target = super().resize(image, target)
        if target is not None and "proposals" in target:
            new_height, new_width = image.shape[-2:]
            resized = resize_boxes(target["proposals"], [height, width], [new_height, new_width])
            target["proposals"] = resized
        return image, target


class GivenProposals(nn.Module):
    """Stands where an RPN is: gives the proposals of the targets, inside the images, and has no loss.

    Raises: ShapeError: an image has none with it.
    """

    def __init__(self, most: int):
        super().__init__()
        self.most = most

    def forward(
        self, images: ImageList, features: Any, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        given = [target.get("proposals") for target in targets or ()]
        proposals = [boxes for boxes in given if boxes is not None]
        if len(proposals) < len(images.image_sizes):
            raise ShapeError(
                f"Fast R-CNN finds no proposals by itself: got {len(images.image_sizes)} images and "
                f"{len(proposals)} targets with 'proposals' (P, 4)"
            )
        return [self._usable(*image) for image in zip(proposals, images.image_sizes, strict=True)], {}

    def _usable(self, boxes: Tensor, size: tuple[int, int]) -> Tensor:
        inside = clip_boxes_to_image(boxes, size)
        return inside[remove_small_boxes(inside, SMALLEST)][: self.most]
