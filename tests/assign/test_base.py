"""How much is compared at a time changes nothing but time and memory."""

import pytest
import torch
from torch import Tensor

from hardmine import ATSS, Assignment, FCOSPoints, GroundTruth, Hungarian, MaxIoU, SimOTA, TaskAligned
from hardmine.assign import Assigner, base
from hardmine.core.samples import Levels, Predictions

LEVELS = Levels((300, 75, 25), (8.0, 16.0, 32.0), (3, 3, 1))
B, N, G, C = 2, 400, 30, 3
PRIOR = [MaxIoU(), MaxIoU(force_match="keep"), FCOSPoints(), ATSS(), ATSS(box_strides=8)]
ASSIGNERS = [*PRIOR, TaskAligned(), TaskAligned(rank_over="all"), SimOTA(), Hungarian()]


def random_boxes(num: int) -> Tensor:
    corner = torch.randint(0, 200, (B, num, 2))  # whole numbers, so that some overlaps tie
    return torch.cat([corner, corner + torch.randint(1, 60, (B, num, 2))], dim=-1).float()


def parts_of(assigner: Assigner) -> list[slice]:
    return list(assigner.chunks(G, torch.empty(B, N, device="meta")))


@pytest.fixture
def assignment_of(monkeypatch):
    boxes, objects, is_object = random_boxes(N), random_boxes(G), torch.rand(B, G) < 0.9
    ground_truth = GroundTruth(objects, torch.randint(C, (B, G)), is_object, random_boxes(3))
    predictions = Predictions(boxes + torch.randn(B, N, 4), torch.rand(B, N, C))
    is_padding = torch.rand(B, N) < 0.1

    def assign(assigner: Assigner, pairs: int) -> Assignment:
        monkeypatch.setitem(base.PAIRS_AT_A_TIME, "cpu", pairs)
        return assigner(boxes, ground_truth, is_padding=is_padding, levels=LEVELS, predictions=predictions)

    return assign


@pytest.mark.parametrize("assigner", ASSIGNERS, ids=lambda a: type(a).__name__)
def test_as_much_as_another_device_compares_at_a_time_gives_the_same(assigner, assignment_of):
    in_parts, at_once = assignment_of(assigner, 7 * B * N), assignment_of(assigner, base.LAUNCHES_PAY)
    assert (at_once.matched_gt >= 0).any()
    assert torch.equal(in_parts.matched_gt, at_once.matched_gt)
    assert torch.equal(in_parts.iou, at_once.iou)
    if at_once.quality is not None:
        assert torch.equal(in_parts.quality, at_once.quality)


def test_parts_are_as_large_as_the_device_says(monkeypatch):
    assert parts_of(MaxIoU()) == [slice(0, G)]
    monkeypatch.setitem(base.PAIRS_AT_A_TIME, "meta", 20 * B * N)
    assert parts_of(MaxIoU()) == [slice(0, 20), slice(20, G)]
    assert parts_of(MaxIoU(chunk=29)) == [slice(0, 29), slice(29, G)]
