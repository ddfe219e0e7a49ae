"""What one head says of its samples in one step: what each is, how it scores, what it loses and how much it counts.

Nothing here is read back from the device, and no sample is left out: what takes no part has a kind of its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hardmine.core.boxes import area
from hardmine.core.samples import IGNORE, Activation, Assignment, GroundTruth
from hardmine.losses import CrossEntropy

__all__ = ["IGNORED", "NEGATIVE", "PADDING", "POSITIVE", "Look", "PixelLook", "kinds_of", "look_at", "look_at_pixels"]

NEGATIVE, POSITIVE, IGNORED, PADDING = range(4)
"""Kinds of samples. Ignored: nobody can tell what they should say. Padding: no samples at all."""


@dataclass(frozen=True, slots=True)
class Look:
    """One head in one step; all without gradient.

    kind: (B, N) int64.  label: (B, N) class of the sample's object in 0..C-1, of no meaning unless positive.
    matched: (B, N) its object, likewise.  iou: (B, N) largest IoU with any object.
    box_iou: (B, N) IoU of the predicted box with the sample's object, 0 unless positive.
    score: (B, N) largest of a foreground class.  own_score: (B, N) of its object's class, likewise of positives.
    cross_entropy: (B, N) of its scores and its label, whatever the recipe loses on it.
    weight: (B, N) w, mean over the classes where each has its own.
    loss: (B, N) what it adds to the classification loss, w ℓ / Z; None of a loss that compares all samples.
    level: (B, N) log2 of the stride of its level; None of a head without levels.
    areas: (B, G) of the objects, square pixels.  is_object: (B, G), those of weight 0 left out.
    """

    kind: Tensor
    label: Tensor
    matched: Tensor
    iou: Tensor
    box_iou: Tensor
    score: Tensor
    own_score: Tensor
    cross_entropy: Tensor
    weight: Tensor
    loss: Tensor | None
    level: Tensor | None
    areas: Tensor
    is_object: Tensor


@dataclass(frozen=True, slots=True)
class PixelLook:
    """A head of pixels in one step; all without gradient, and (B, N).

    kind: POSITIVE, of its label, or IGNORED.  label: of no meaning where ignored.  contour: place in `CONTOUR_BINS`.
    score: of the true class.  cross_entropy: of its scores and its label, whatever the recipe loses on it.
    weight: w, mean over the classes where each has its own.  loss: w ℓ / Z; None of a loss that compares all pixels.
    """

    kind: Tensor
    label: Tensor
    contour: Tensor
    score: Tensor
    cross_entropy: Tensor
    weight: Tensor
    loss: Tensor | None


def kinds_of(assignment: Assignment, is_padding: Tensor | None = None) -> Tensor:
    """(B, N) kinds; is_padding: of the ignored, those that are no samples."""
    kind = torch.where(assignment.is_positive, POSITIVE, torch.where(assignment.is_negative, NEGATIVE, IGNORED))
    return kind if is_padding is None else torch.where((kind == IGNORED) & is_padding, PADDING, kind)


@torch.no_grad()
def look_at(
    logits: Tensor,
    activation: Activation,
    assignment: Assignment,
    ground_truth: GroundTruth,
    *,
    kind: Tensor,
    box_iou: Tensor,
    weight: Tensor,
    loss: Tensor | None,
    level: Tensor | None = None,
    areas: Tensor | None = None,
) -> Look:
    """Puts together what is known; logits (B, N, C), or (B, N, C + 1) of a softmax head with background last.

    areas: (B, G), where the ground truth's boxes are not of the size that is meant.
    """
    logits, label = logits.detach().float(), ground_truth.labels_of(assignment)
    scores = logits.sigmoid() if activation == "sigmoid" else logits.softmax(-1)[..., :-1]
    own = scores.gather(-1, label.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    loss_of_all = CrossEntropy(activation)(logits, label)
    is_object = ground_truth.is_object
    return Look(
        kind=kind,
        label=label,
        matched=assignment.matched_gt,
        iou=assignment.iou.float(),
        box_iou=torch.where(assignment.is_positive, box_iou.float(), 0),
        score=scores.amax(-1),
        own_score=torch.where(assignment.is_positive, own, 0),
        cross_entropy=loss_of_all if loss_of_all.ndim == 2 else loss_of_all.sum(-1),
        weight=weight if weight.ndim == 2 else weight.mean(-1),
        loss=loss,
        level=level,
        areas=area(ground_truth.boxes) if areas is None else areas,
        is_object=is_object if ground_truth.weights is None else is_object & (ground_truth.weights > 0),
    )


@torch.no_grad()
def look_at_pixels(
    logits: Tensor, labels: Tensor, *, contour: Tensor, weight: Tensor, loss: Tensor | None
) -> PixelLook:
    """Puts together what is known of pixels; logits (B, C, H, W), labels and contour (B, H, W).

    weight and loss: (B, N), or (B, N, C) where each class has its own.
    """
    flat = labels.flatten(1)
    log_scores = logits.detach().float().flatten(2).log_softmax(1)
    is_ignored = flat == IGNORE
    own = log_scores.gather(1, flat.clamp_min(0).unsqueeze(1)).squeeze(1).masked_fill(is_ignored, 0)
    return PixelLook(
        kind=torch.where(is_ignored, IGNORED, POSITIVE),
        label=flat,
        contour=contour.flatten(1),
        score=own.exp(),
        cross_entropy=-own,
        weight=weight if weight.ndim == 2 else weight.mean(-1),
        loss=loss,
    )
