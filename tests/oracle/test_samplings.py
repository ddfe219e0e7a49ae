"""Samplings against loops written from the papers' text, and their limits."""

import pytest
import torch

from hardmine import OHEM, All, HardNegative, RandomBalanced
from hardmine.core.samples import BACKGROUND, IGNORE, Samples

Kept = set[tuple[int, int]]


def kept_by(sampling, samples: Samples) -> Kept:
    return {tuple(place) for place in sampling(samples).nonzero().tolist()}


def hardest_first(key: list[float], candidates: list[int]) -> list[int]:
    """Python's sort is stable: of equal keys the first comes first."""
    return sorted(candidates, key=lambda i: -key[i])


@pytest.mark.parametrize("nms_iou", [0.7, 0.4, None])
@pytest.mark.parametrize("budget", [1, 5, 100])
def test_ohem_of_the_paper(samples, overlap, budget, nms_iou):
    """Sort by loss; take the hardest; drop all that overlap it too much (same image and label); again, B/N times."""
    expected: Kept = set()
    for b, matched in enumerate(samples.assignment.matched_gt.tolist()):
        loss = (samples["classification_loss"] + samples["regression_loss"])[b].tolist()
        boxes, labels = samples["boxes"][b].tolist(), samples["labels"][b].tolist()
        left = hardest_first(loss, [i for i, match in enumerate(matched) if match != IGNORE])
        taken: list[int] = []
        while left and len(taken) < budget:
            hardest = left.pop(0)
            taken.append(hardest)
            if nms_iou is not None:
                left = [i for i in left if labels[i] != labels[hardest] or overlap(boxes[i], boxes[hardest]) <= nms_iou]
        expected |= {(b, i) for i in taken}
    assert kept_by(OHEM(budget, nms_iou=nms_iou), samples) == expected


@pytest.mark.parametrize("budget", [4, 16, 100])
def test_ohem_of_mmdetection(samples, budget):
    """The hardest positives up to their share; the hardest negatives in the places that are left."""
    expected: Kept = set()
    for b, matched in enumerate(samples.assignment.matched_gt.tolist()):
        loss = samples["classification_loss"][b].tolist()
        positives = hardest_first(loss, [i for i, match in enumerate(matched) if match >= 0])[: budget // 4]
        negatives = hardest_first(loss, [i for i, match in enumerate(matched) if match == BACKGROUND])
        expected |= {(b, i) for i in positives + negatives[: budget - len(positives)]}
    sampling = OHEM(budget, nms_iou=None, positive_fraction=0.25, rank_by="classification")
    assert kept_by(sampling, samples) == expected


@pytest.mark.parametrize("ratio", [0, 1, 2.5, 3])
def test_three_to_one(samples, ratio):
    """All positives; then the negatives of largest loss while they are fewer than ratio times as many."""
    expected: Kept = set()
    for b, matched in enumerate(samples.assignment.matched_gt.tolist()):
        loss = samples["classification_loss"][b].tolist()
        positives = [i for i, match in enumerate(matched) if match >= 0]
        negatives = hardest_first(loss, [i for i, match in enumerate(matched) if match == BACKGROUND])
        quota = max(ratio * len(positives), 2)
        taken: list[int] = []
        while len(taken) < min(quota, len(negatives)):
            taken.append(negatives[len(taken)])
        expected |= {(b, i) for i in positives + taken}
    assert kept_by(HardNegative(ratio, min_negatives=2), samples) == expected


@pytest.mark.parametrize("ratio", [None, 0, 2])
@pytest.mark.parametrize("num", [1, 8, 100])
def test_random_balanced(samples, num, ratio):
    """As drawing cards: a quarter of the places are for positives, what they leave open is for negatives, if few."""
    expected: Kept = set()
    for b, matched in enumerate(samples.assignment.matched_gt.tolist()):
        noise = samples["noise"][b].tolist()
        positives = hardest_first(noise, [i for i, match in enumerate(matched) if match >= 0])[: int(num * 0.25)]
        negatives = hardest_first(noise, [i for i, match in enumerate(matched) if match == BACKGROUND])
        left = num - len(positives)
        while ratio is not None and left > ratio * max(1, len(positives)):
            left -= 1
        expected |= {(b, i) for i in positives + negatives[:left]}
    assert kept_by(RandomBalanced(num, 0.25, ratio), samples) == expected


def test_with_room_for_all_ohem_is_no_sampling(samples):
    everything = All()(samples)
    for over in ("image", "batch"):
        assert torch.equal(OHEM(40, nms_iou=None, over=over)(samples), everything)
    assert torch.equal(OHEM(40, nms_iou=1.0)(samples), everything)


def test_with_a_large_ratio_three_to_one_is_no_sampling(samples):
    assert torch.equal(HardNegative(ratio=1e9, min_negatives=40)(samples), All()(samples))


def test_ohem_over_the_batch_is_one_contest(samples):
    """Two images' samples in one row give the same, where no boxes can meet."""
    row = Samples(
        type(samples.assignment)(samples.assignment.matched_gt.view(1, -1), samples.assignment.iou.view(1, -1)),
        classification_loss=samples["classification_loss"].view(1, -1),
        regression_loss=samples["regression_loss"].view(1, -1),
    )
    together = OHEM(5, nms_iou=None, over="batch")(samples)
    assert torch.equal(together.view(1, -1), OHEM(10, nms_iou=None)(row))
