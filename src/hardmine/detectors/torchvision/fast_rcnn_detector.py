"""Fast R-CNN under a recipe: the RoI head of Faster R-CNN, on proposals that come with the targets."""

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from hardmine.core.samples import GroundTruth
from hardmine.detectors.targets import Targets, check_targets
from hardmine.detectors.torchvision.faster_rcnn import FasterRCNNDetector
from hardmine.detectors.torchvision.replaced import FAST_RCNN
from hardmine.equation.recipe import Recipe
from hardmine.errors import ShapeError

__all__ = ["FastRCNNDetector"]

PROPOSALS = "proposals"


class FastRCNNDetector(FasterRCNNDetector):
    """Fast R-CNN under a recipe; by default random sampling.

    Every target needs `proposals` (P, 4), xyxy in pixels of its image; in eval mode it needs nothing else:

        detector(images, targets)                                       # in training mode
        detector.eval()(images, [{"proposals": boxes}, ...])

    Raises: ShapeError: images without proposals.
    """

    name = "fastrcnn"
    needs_proposals = True
    replaced = FAST_RCNN

    @property
    def needed_fields(self) -> tuple[str, ...]:
        return (*super().needed_fields, PROPOSALS)

    def forward(self, images: list[Tensor], targets: Targets | None = None) -> Any:
        if self.training:
            return super().forward(images, targets)
        check_targets(images, targets, [PROPOSALS])
        return self.model(images, [_nothing_but(target[PROPOSALS]) for target in targets or ()])

    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        raise ShapeError('Fast R-CNN needs proposals to detect among: detector(images, [{"proposals": boxes}, ...])')

    def first_stage(self, recipe: Recipe) -> None:
        """There is none."""

    def propose(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        return self.model.rpn(images, features, targets)


def _nothing_but(proposals: Tensor) -> dict[str, Tensor]:
    """A target without objects, as torchvision's transform takes it."""
    labels = torch.zeros(0, dtype=torch.int64, device=proposals.device)
    return {"boxes": proposals[:0], "labels": labels, PROPOSALS: proposals}
