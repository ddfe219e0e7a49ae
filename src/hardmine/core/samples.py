"""What is known about the samples of a batch: the objects, which of them each sample belongs to, and the evidence.

A *sample* is whatever a detector scores: an anchor, a proposal, a point. Everything is batched and padded, so that a
batch is one tensor: B images, N samples, G ground truths, C foreground classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hardmine.errors import EvidenceError, ShapeError

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "Activation",
    "Assignment",
    "Evidence",
    "GroundTruth",
    "Levels",
    "Predictions",
    "Samples",
]

BACKGROUND = -1
"""In ``matched_gt`` and ``labels``: the sample belongs to no object and should say so."""
IGNORE = -2
"""In ``matched_gt`` and ``labels``: the sample is padding, or nobody can tell; it must not count."""

Activation = Literal["sigmoid", "softmax"]
"""What turns a head's logits into probabilities: one of each class, or one of all classes and the background."""

Evidence = Literal[
    "labels", "boxes", "logits", "predicted_boxes", "predicted_iou", "quality", "code_error",
    "classification_loss", "regression_loss", "noise", "progress",
]  # fmt: skip
"""What a method may need to know of the samples beside their assignment."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The annotated objects of a batch, padded to the image that has most of them (at least one column).

    boxes: (B, G, 4) xyxy pixels.  labels: (B, G) int64 in 0..C-1.  is_object: (B, G) bool, False in padding.
    ignore_regions: (B, R, 4), crowds and "difficult" objects: neither object nor background; padded with empty boxes,
    R = 0 where the batch has none.
    weights: (B, G), how much each object counts: a factor of the w of its positives; None: 1 each. What belongs to an
    object of weight 0 is neither object nor background: it takes nobody's place (see `counted`).
    missed: (B, G) bool, the objects that mining found missed, for `WithClosest`; None: nobody says.
    """

    boxes: Tensor
    labels: Tensor
    is_object: Tensor
    ignore_regions: Tensor
    weights: Tensor | None = None
    missed: Tensor | None = None

    @classmethod
    def from_lists(
        cls,
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        ignore_regions: Sequence[Tensor] | None = None,
        weights: Sequence[Tensor] | None = None,
        missed: Sequence[Tensor] | None = None,
    ) -> "GroundTruth":
        """Pads one (G_b, 4), one (G_b,) and, where there are any, one (R_b, 4) and two (G_b,) tensors an image.

        Raises: ShapeError: shapes that do not belong together.
        """
        _check_lists(boxes, labels)
        columns = max(1, *(len(label) for label in labels))
        return cls(
            boxes=_pad(boxes, columns),
            labels=_pad(labels, columns),
            is_object=_pad([torch.ones_like(label, dtype=torch.bool) for label in labels], columns),
            ignore_regions=boxes[0].new_zeros(len(boxes), 0, 4)
            if ignore_regions is None
            else _pad(ignore_regions, max(len(regions) for regions in ignore_regions)),
            weights=None if weights is None else _pad(weights, columns),
            missed=None if missed is None else _pad(missed, columns),
        )

    @property
    def is_plain(self) -> bool:
        """Whether each object counts once and nothing is to be ignored."""
        return self.weights is None and self.ignore_regions.shape[1] == 0

    def boxes_of(self, assignment: "Assignment") -> Tensor:
        """The box each sample should predict, (B, N, 4); of no meaning where the sample is not positive."""
        index = assignment.matched_gt.clamp_min(0).unsqueeze(-1).expand(-1, -1, 4)
        return self.boxes.gather(1, index)

    def labels_of(self, assignment: "Assignment") -> Tensor:
        """The class each sample should predict, (B, N) in 0..C-1, BACKGROUND or IGNORE."""
        labels = self.labels.gather(1, assignment.matched_gt.clamp_min(0))
        return torch.where(assignment.is_positive, labels, assignment.matched_gt)

    def counted(self, assignment: "Assignment") -> "Assignment":
        """The same with the samples of objects of weight 0 set to IGNORE."""
        if self.weights is None:
            return assignment
        return assignment.only(self.weigh(torch.ones_like(assignment.iou), assignment) > 0)

    def weigh(self, selected: Tensor, assignment: "Assignment") -> Tensor:
        """A number of each sample (B, N), such as what the sampling says, times the weight of its object, if any."""
        if self.weights is None:
            return selected
        weights = self.weights.gather(1, assignment.matched_gt.clamp_min(0)).to(selected.dtype)
        return torch.where(assignment.is_positive, selected * weights, selected)


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which ground truth each sample belongs to.

    matched_gt: (B, N) int64, an index into G, or BACKGROUND, or IGNORE.
    iou: (B, N), the sample's largest IoU with any object, 0 for padding.
    quality: (B, N) in [0, 1], the score that a positive should be given for its class, 0 for all others. An assigner
    may say it (TAL's normalised alignment); otherwise, where a loss asks for it, it is the IoU of the predicted box
    with the object.
    """

    matched_gt: Tensor
    iou: Tensor
    quality: Tensor | None = None

    @property
    def is_positive(self) -> Tensor:
        return self.matched_gt >= 0

    @property
    def is_negative(self) -> Tensor:
        return self.matched_gt == BACKGROUND

    @property
    def is_valid(self) -> Tensor:
        return self.matched_gt != IGNORE

    def only(self, kept: Tensor) -> "Assignment":
        """The same with all samples outside the mask (B, N) set to IGNORE."""
        return replace(self, matched_gt=self.matched_gt.masked_fill(~kept, IGNORE))

    def gather(self, index: Tensor) -> "Assignment":
        """The samples at ``index`` (B, K) only, in that order."""
        quality = None if self.quality is None else self.quality.gather(1, index)
        return Assignment(self.matched_gt.gather(1, index), self.iou.gather(1, index), quality)


@dataclass(frozen=True, slots=True)
class Levels:
    """How the N samples of an image lie on the levels of a feature pyramid, finest first.

    num_samples: of each level, with sum N.  strides: pixels between two locations of each level.
    per_location: samples (anchors of several shapes) that share a centre, of each level.
    """

    num_samples: tuple[int, ...]
    strides: tuple[float, ...]
    per_location: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the detector says of each sample before anything is assigned to it, without gradient.

    boxes: (B, N, 4) decoded, xyxy pixels.  scores: (B, N, C) probabilities of the foreground classes.
    """

    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Samples:
    """The evidence about each sample: a head fills what it has, a method reads ``samples["noise"]`` and so on.

    labels: (B, N) class, BACKGROUND or IGNORE.  boxes: (B, N, 4) the anchor or proposal itself, before regression.
    logits: (B, N, C) or, for softmax heads, (B, N, C + 1) with background last; the only evidence with a gradient.
    predicted_boxes: (B, N, 4) after regression.  predicted_iou: (B, N) of these with the sample's own object, 0 where
    it has none.  code_error: (B, N, 4) predicted minus target box code, 0 where not positive.
    classification_loss, regression_loss: (B, N) unreduced, 0 where they do not apply.
    noise: (B, N) uniform in [0, 1): the only source of randomness; an input, so that calls are pure and repeatable.
    progress: (B, N) the share of the training's steps that are done, in [0, 1]; the same for all.
    """

    assignment: Assignment
    labels: Tensor | None = None
    boxes: Tensor | None = None
    logits: Tensor | None = None
    predicted_boxes: Tensor | None = None
    predicted_iou: Tensor | None = None
    code_error: Tensor | None = None
    classification_loss: Tensor | None = None
    regression_loss: Tensor | None = None
    noise: Tensor | None = None
    progress: Tensor | None = None

    @property
    def quality(self) -> Tensor | None:
        """(B, N), see `Assignment`."""
        return self.assignment.quality

    def __getitem__(self, name: Evidence) -> Tensor:
        """One piece of evidence.

        Raises: EvidenceError: it is absent, or the method did not declare it in its ``needs``.
        """
        value = getattr(self, name, None)
        if value is None:
            raise EvidenceError(f"the samples have no {name}; they have {', '.join(self.available) or 'none'}")
        return value

    def only(self, names: frozenset[Evidence]) -> "Samples":
        """The same with all other evidence taken away, so that no method can lean on what it did not declare.

        Raises: EvidenceError: a named piece of evidence is absent.
        """
        evidence = {name: self[name] for name in names}
        assignment = replace(self.assignment, quality=evidence.pop("quality", None))
        return Samples(assignment, **evidence)

    @property
    def available(self) -> tuple[str, ...]:
        """Names of the evidence that is there."""
        return tuple(name for name in get_args(Evidence) if getattr(self, name) is not None)

    def keep(self, kept: Tensor) -> "Samples":
        """The same evidence with all samples outside the mask (B, N) ignored."""
        labels = None if self.labels is None else self.labels.masked_fill(~kept, IGNORE)
        return replace(self, assignment=self.assignment.only(kept), labels=labels)


def _check_lists(boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
    for b, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        if box.ndim != 2 or box.shape[-1] != 4 or label.shape != box.shape[:1]:
            raise ShapeError(
                f"image {b} of the batch: got boxes {tuple(box.shape)} and labels {tuple(label.shape)}; "
                f"expected (G, 4) and (G,) with the same G"
            )


def _pad(rows: Sequence[Tensor], length: int) -> Tensor:
    """One tensor a row, filled up with zeros to the given length, (B, length, ...)."""
    blank = rows[0].new_zeros(length, *rows[0].shape[1:])
    return pad_sequence([*rows, blank], batch_first=True)[:-1]
