"""What every assigner keeps to."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.assign import Assigner
from hardmine.core.samples import BACKGROUND, IGNORE, Assignment, GroundTruth, Levels, Predictions
from hardmine.testing.contract import CAPTURED, Contract, captured, check, require, require_close, require_equal
from hardmine.testing.situations import (
    LEVELS,
    NUM_CLASSES,
    OBJECTS,
    ground_truth_of,
    make_anchors,
    make_predictions,
    poisoned,
)

__all__ = ["ASSIGNER_CONTRACT", "check_assigner"]

SLACK = 1e-6
"""By so much may an IoU be above 1, of rounding."""


def check_assigner(assigner: Assigner) -> None:
    """Holds an assigner to the contract of all assigners.

    One whose ``on_device`` is False need not be captured by `torch.compile`.
    Raises: ContractError: what is broken, and in which situation.
    """
    check(assigner, ASSIGNER_CONTRACT)


@dataclass(frozen=True, slots=True)
class _Call:
    """What an assigner is given, (2, N, 4) anchors first."""

    case: str
    anchors: Tensor
    ground_truth: GroundTruth
    predictions: Predictions

    def of(self, assigner: Assigner, **more: Tensor) -> Assignment:
        return assigner(self.anchors, self.ground_truth, levels=LEVELS, predictions=self.predictions, **more)


def _calls() -> Iterator[_Call]:
    for case in OBJECTS:
        anchors = make_anchors()
        yield _Call(case, anchors, ground_truth_of(case), make_predictions(anchors))


def _require_same(found: Assignment, expected: Assignment, said: str) -> None:
    require_equal(found.matched_gt, expected.matched_gt, said)
    require_equal(found.iou, expected.iou, said)


def _assigns_objects_that_are_there(assigner: Assigner) -> None:
    for call in _calls():
        found = call.of(assigner)
        matched, iou = found.matched_gt, found.iou
        shapes = {tuple(matched.shape), tuple(iou.shape)}
        require(shapes == {tuple(call.anchors.shape[:2])}, f"{call.case}: shapes {shapes}, of samples (2, 84)")
        require((matched.dtype, iou.dtype) == (torch.int64, torch.float32), f"{call.case}: wrong dtypes")
        require((iou >= 0) & (iou <= 1 + SLACK), f"{call.case}: an IoU is out of [0, 1]")
        require(matched >= IGNORE, f"{call.case}: matched_gt is below IGNORE")
        is_object = call.ground_truth.is_object.gather(1, matched.clamp_min(0))
        require(is_object[matched >= 0], f"{call.case}: a sample belongs to an object that is not there")


def _works_in_every_precision(assigner: Assigner) -> None:
    for call in _calls():
        for dtype in (torch.float64, torch.float16, torch.bfloat16):
            said = call.predictions
            low = Predictions(said.boxes.to(dtype), said.scores.to(dtype))
            for predictions in (said, low):
                found = replace(call, anchors=call.anchors.to(dtype), predictions=predictions).of(assigner)
                kinds = {found.iou.dtype} | ({found.quality.dtype} if found.quality is not None else set())
                require(kinds == {dtype}, f"{call.case}: {kinds} from boxes of {dtype}")
                require(found.iou.isfinite(), f"{call.case}, {dtype}: an IoU is not finite")


def _says_quality_of_positives_only(assigner: Assigner) -> None:
    for call in _calls():
        found = call.of(assigner)
        if found.quality is not None:
            require((found.quality > 0) == found.is_positive, f"{call.case}: quality is not of positives alone")
            require(found.quality <= 1 + SLACK, f"{call.case}: a quality is above 1")


def _survives_saturated_scores(assigner: Assigner) -> None:
    for call in _calls():
        for score in (0.0, 1e-30, 1.0):
            certain = replace(call.predictions, scores=torch.full_like(call.predictions.scores, score))
            found = replace(call, predictions=certain).of(assigner)
            for values in (found.iou, found.quality):
                require(values is None or values.isfinite(), f"{call.case}, scores of {score:g}: not finite")


def _goes_in_parts(assigner: Assigner) -> None:
    own = assigner.chunk
    for call in _calls():
        expected = call.of(assigner)
        for assigner.chunk in (1, 2, 7):
            _require_same(call.of(assigner), expected, f"{call.case}: parts of {assigner.chunk} objects give another")
        assigner.chunk = own


def _ignores_padded_samples(assigner: Assigner) -> None:
    for call in _calls():
        is_padding = torch.rand(call.anchors.shape[:2]) < 0.3
        expected = call.of(assigner, is_padding=is_padding)
        require(expected.matched_gt[is_padding] == IGNORE, f"{call.case}: padding is not ignored")
        require(expected.iou[is_padding] == 0, f"{call.case}: padding has an IoU")
        for poison in (torch.nan, torch.inf):
            said = (poisoned(each, is_padding, poison) for each in (call.predictions.boxes, call.predictions.scores))
            wrong = replace(call, anchors=poisoned(call.anchors, is_padding, poison), predictions=Predictions(*said))
            _require_same(wrong.of(assigner, is_padding=is_padding), expected, f"{call.case}: {poison} in padding")


def _ignores_padded_objects(assigner: Assigner) -> None:
    for call in _calls():
        for poison in (torch.nan, torch.inf):
            longer = replace(call, ground_truth=_with_padding(call.ground_truth, poison))
            _require_same(longer.of(assigner), call.of(assigner), f"{call.case}: {poison} in padded objects")


def _with_padding(objects: GroundTruth, poison: float) -> GroundTruth:
    is_object = F.pad(objects.is_object, (0, 3))
    boxes = poisoned(F.pad(objects.boxes, (0, 0, 0, 3)), ~is_object, poison)
    missed = None if objects.missed is None else F.pad(objects.missed, (0, 3), value=True)
    return GroundTruth(boxes, F.pad(objects.labels, (0, 3)), is_object, objects.ignore_regions, missed=missed)


def _treats_images_alone(assigner: Assigner) -> None:
    for call in _calls():
        together = call.of(assigner)
        for b in range(len(call.anchors)):
            alone = _image(call, b).of(assigner)
            require_equal(alone.matched_gt[0], together.matched_gt[b], f"{call.case}: image {b} alone differs")
            require_equal(alone.iou[0], together.iou[b], f"{call.case}: image {b} alone differs")
            if together.quality is not None and alone.quality is not None:  # powers are rounded otherwise
                require_close(alone.quality[0], together.quality[b], f"{call.case}: image {b} alone differs")


def _image(call: _Call, b: int) -> _Call:
    objects = call.ground_truth
    tensors = (objects.boxes, objects.labels, objects.is_object, objects.ignore_regions)
    missed = None if objects.missed is None else objects.missed[b : b + 1]
    own = GroundTruth(*(tensor[b : b + 1] for tensor in tensors), missed=missed)
    said = Predictions(call.predictions.boxes[b : b + 1], call.predictions.scores[b : b + 1])
    return _Call(call.case, call.anchors[b : b + 1], own, said)


def _does_not_care_for_order(assigner: Assigner) -> None:
    starts = [sum(LEVELS.num_samples[:level]) for level in range(len(LEVELS.num_samples))]
    for call in _calls():
        order = torch.cat([start + torch.randperm(n) for start, n in zip(starts, LEVELS.num_samples, strict=True)])
        moved = Predictions(call.predictions.boxes[:, order], call.predictions.scores[:, order])
        found = replace(call, anchors=call.anchors[:, order], predictions=moved).of(assigner).matched_gt
        require_equal(found, call.of(assigner).matched_gt[:, order], f"{call.case}: the order of samples matters")


def _calls_everything_background_without_objects(assigner: Assigner) -> None:
    for call in _calls():
        objects = call.ground_truth
        none = replace(
            objects, is_object=torch.zeros_like(objects.is_object), ignore_regions=objects.ignore_regions[:, :0]
        )
        found = replace(call, ground_truth=none).of(assigner).matched_gt
        require(found == BACKGROUND, f"{call.case}: without objects a sample is not background")


def _takes_no_samples(assigner: Assigner) -> None:
    objects = GroundTruth.from_lists([torch.ones(1, 4), torch.ones(0, 4)], [torch.zeros(1), torch.zeros(0)])
    said = Predictions(torch.zeros(2, 0, 4), torch.zeros(2, 0, NUM_CLASSES))
    found = assigner(torch.zeros(2, 0, 4), objects, levels=Levels((0,), (8.0,), (1,)), predictions=said)
    shapes = tuple(found.matched_gt.shape), tuple(found.iou.shape)
    require(shapes == ((2, 0), (2, 0)), f"of no samples the shapes are {shapes}")


def _ignores_negatives_in_ignore_regions(assigner: Assigner) -> None:
    everywhere = torch.tensor([[-100.0, -100.0, 200.0, 200.0]]).expand(2, 1, 4)
    for call in _calls():
        plain = replace(call.ground_truth, ignore_regions=call.ground_truth.ignore_regions[:, :0])
        covered = replace(call, ground_truth=replace(plain, ignore_regions=everywhere)).of(assigner)
        require(~covered.is_negative, f"{call.case}: a sample in an ignore region is background")
        expected = replace(call, ground_truth=plain).of(assigner).is_positive
        require_equal(covered.is_positive, expected, f"{call.case}: an ignore region changes who is positive")


def _is_captured(assigner: Assigner) -> None:
    boxes, region = torch.tensor([[4.0, 5, 30, 28], [30, 20, 60, 50]]), torch.tensor([[0.0, 40, 20, 64]])
    missed = [torch.tensor([True, False])] * 2
    objects = GroundTruth.from_lists([boxes, boxes + 1], [torch.arange(2)] * 2, [region, region], missed=missed)
    anchors = make_anchors()
    said = make_predictions(anchors)
    with captured(assigner) as compiled:
        for of in (anchors, anchors + 1):
            found = compiled(of.clone(), objects, levels=LEVELS, predictions=said)
            expected = assigner(of, objects, levels=LEVELS, predictions=said)
            require_equal(found.matched_gt, expected.matched_gt, "the captured call gives another assignment")
            require_close(found.iou, expected.iou, "the captured call gives another IoU")


ASSIGNER_CONTRACT: Contract = {
    "samples belong to objects that are there, or to none": _assigns_objects_that_are_there,
    "works in every precision": _works_in_every_precision,
    "quality is a share, and of positives only": _says_quality_of_positives_only,
    "saturated scores are survived": _survives_saturated_scores,
    "parts of any size give the same": _goes_in_parts,
    "padded samples are ignored and change nothing": _ignores_padded_samples,
    "padded objects change nothing": _ignores_padded_objects,
    "a batch equals its images one by one": _treats_images_alone,
    "permuting samples of a level permutes the assignment": _does_not_care_for_order,
    "no objects make everything background": _calls_everything_background_without_objects,
    "no samples give an empty assignment": _takes_no_samples,
    "in ignore regions negatives are ignored, and positives stay": _ignores_negatives_in_ignore_regions,
    CAPTURED: _is_captured,
}
