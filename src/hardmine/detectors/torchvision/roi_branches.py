"""The other branches of a two-stage detector, masks and keypoints: torchvision's own losses."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchvision.models.detection import roi_heads as torchvision_roi_heads

from hardmine.detectors.targets import Targets
from hardmine.errors import ShapeError

__all__ = ["branch_fields", "branch_losses"]


def branch_fields(roi_heads: Any) -> tuple[str, ...]:
    """The fields of a target that its branches learn from; none of a detector of boxes only."""
    return ("masks",) * roi_heads.has_mask() + ("keypoints",) * roi_heads.has_keypoint()


def branch_losses(
    roi_heads: Any,
    features: dict[str, Tensor],
    image_sizes: Sequence[tuple[int, int]],
    positives: list[Tensor],
    matched: list[Tensor],
    targets: Targets,
) -> dict[str, Tensor]:
    """The loss of each branch by torchvision's name, given what it is to be computed on.

    positives: one (P, 4) an image, the proposals.  matched: one (P,) an image, the object that each belongs to.
    Raises: ShapeError: objects have another number of keypoints than the branch.
    """
    losses: dict[str, Tensor] = {}
    if roi_heads.has_mask():
        pooled = roi_heads.mask_roi_pool(features, positives, image_sizes)
        logits = roi_heads.mask_predictor(roi_heads.mask_head(pooled))
        masks, labels = ([target[name] for target in targets] for name in ("masks", "labels"))
        losses["loss_mask"] = torchvision_roi_heads.maskrcnn_loss(logits, positives, masks, labels, matched)
    if roi_heads.has_keypoint():
        pooled = roi_heads.keypoint_roi_pool(features, positives, image_sizes)
        logits = roi_heads.keypoint_predictor(roi_heads.keypoint_head(pooled))
        points = [target["keypoints"] for target in targets]
        _check_number(logits, points)
        losses["loss_keypoint"] = torchvision_roi_heads.keypointrcnn_loss(logits, positives, points, matched)
    return losses


def _check_number(logits: Tensor, points: list[Tensor]) -> None:
    for place, of_image in enumerate(points):
        if len(of_image) and of_image.shape[1] != logits.shape[1]:
            raise ShapeError(
                f"image {place} of the batch, 'keypoints': got {of_image.shape[1]} of an object, expected "
                f"{logits.shape[1]} as the model predicts"
            )
