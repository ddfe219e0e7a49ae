"""Hard samplings against loops written from the papers' text, and their limits."""

import math
from dataclasses import replace

import pytest
import torch

from hardmine import (
    OHEM,
    SOHEM,
    All,
    Combined,
    HardPool,
    InstanceBalanced,
    IoUBalanced,
    PixelOHEM,
    Random,
    RandomBalanced,
    Samples,
    ScoreHLR,
)
from hardmine.core.samples import BACKGROUND, IGNORE


def largest_first(key: list[float] | dict[int, float], candidates: list[int]) -> list[int]:
    """Python's sort is stable: of equal keys the first comes first."""
    return sorted(candidates, key=lambda i: -key[i])


def kept_of(weights: torch.Tensor) -> list[list[int]]:
    return [row.nonzero().flatten().tolist() for row in weights]


def images(samples: Samples, *names: str):
    """Of each image: the positives, the negatives, and the named evidence, in plain lists."""
    for b, matched in enumerate(samples.assignment.matched_gt.tolist()):
        positives = [i for i, match in enumerate(matched) if match >= 0]
        negatives = [i for i, match in enumerate(matched) if match == BACKGROUND]
        yield positives, negatives, *(samples[name][b].tolist() for name in names)


def shared_out(noise: list[float], candidates: list[int], kind: list[int], share: int) -> list[int]:
    """As drawing lots, kind by kind: each kind's share first, then whatever is left of all of them; in this order.

    Who got no share draws a new lot: what the old one still says beside the least that won. So do the winners, for
    where there are too many of them: the highest of m lots, as a number that all kinds' highest exceed equally often.
    """
    first, rest, lot = [], [], {}
    for k in set(kind):
        own = largest_first(noise, [i for i in candidates if kind[i] == k])
        first, rest = first + own[:share], rest + own[share:]
        lot |= {i: noise[i] ** len(own) for i in own[:share]} | {
            i: noise[i] / noise[own[share - 1]] for i in own[share:]
        }
    return largest_first(lot, sorted(first)) + largest_first(lot, sorted(rest))


@pytest.mark.parametrize("num", [1, 2, 4, 12, 100])
@pytest.mark.parametrize("upper", [0.5, 1.0, None])
def test_iou_balanced(samples, num, upper):
    """The negatives' IoU range in three equal parts, a third of the places for each; random top-up."""
    expected = []
    for (_, negatives, noise), iou, matched in zip(
        images(samples, "noise"), samples.assignment.iou.tolist(), samples.assignment.matched_gt.tolist(), strict=True
    ):
        end = upper or max(overlap for overlap, match in zip(iou, matched, strict=True) if match != IGNORE)
        edges = [end / 3, 2 * end / 3]
        kind = [sum(overlap >= edge for edge in edges) for overlap in iou]
        expected.append(sorted(shared_out(noise, negatives, kind, max(1, num // 3))[:num]))
    sampling = Combined(Random(), IoUBalanced(upper=upper), num, 0)
    assert kept_of(sampling(samples)) == expected


@pytest.mark.parametrize("fraction", [0, 0.25, 1])
@pytest.mark.parametrize("num", [1, 12, 100])
def test_iou_balanced_with_a_floor(samples, num, fraction):
    """Far negatives are drawn apart: their share, and what the bins leave open."""
    floor, expected = 0.2, []
    for (_, negatives, noise), iou in zip(images(samples, "noise"), samples.assignment.iou.tolist(), strict=True):
        near = [i for i in negatives if iou[i] >= floor]
        kind = [sum(overlap >= edge for edge in (0.3, 0.4)) for overlap in iou]
        for_bins = int(num * (1 - fraction))
        order = shared_out(noise, near, kind, max(1, for_bins // 3))
        order[for_bins:for_bins] = largest_first(noise, [i for i in negatives if iou[i] < floor])
        expected.append(sorted(order[:num]))
    sampling = Combined(Random(), IoUBalanced(floor_iou=floor, floor_fraction=fraction), num, 0)
    assert kept_of(sampling(samples)) == expected


@pytest.mark.parametrize("num", [1, 3, 7, 100])
def test_instance_balanced(samples, num):
    """N / G samples of each of the G objects; random top-up."""
    expected = []
    for (positives, _, noise), matched in zip(
        images(samples, "noise"), samples.assignment.matched_gt.tolist(), strict=True
    ):
        objects = len({matched[i] for i in positives})
        expected.append(sorted(shared_out(noise, positives, matched, max(1, num // max(1, objects)))[:num]))
    sampling = Combined(InstanceBalanced(), Random(), num, 1)
    positives = sampling(samples) * samples.assignment.is_positive
    assert kept_of(positives) == expected


@pytest.mark.parametrize("num", [1, 5, 100])
@pytest.mark.parametrize("pool", [1, 2.5])
def test_hard_pool(samples, num, pool):
    """Sort by loss, cut off the pool, and draw from it."""
    expected = []
    for _, negatives, loss, noise in images(samples, "classification_loss", "noise"):
        hardest = sorted(largest_first(loss, negatives)[: int(num * pool)])
        expected.append(sorted(largest_first(noise, hardest)[:num]))
    assert kept_of(Combined(Random(), HardPool(pool=pool), num, 0)(samples)) == expected


@pytest.mark.parametrize("num", [1, 8, 30, 100])
def test_s_ohem(samples, num):
    """Each stratum sorted by loss, its quota from the top; open places to the hardest of the others."""
    edges, shares, expected = (0.3, 0.5, 0.8), (0.1, 0.2, 0.3, 0.4), []
    for positives, negatives, first, second in images(samples, "classification_loss", "regression_loss"):
        both = [a + b for a, b in zip(first, second, strict=True)]
        strata = [[], [], [], []]
        for i in sorted(positives + negatives):
            ratio = first[i] / both[i] if both[i] else 0
            strata[sum(ratio >= edge for edge in edges)].append(i)
        kept = []
        for stratum, share in zip(strata, shares, strict=True):
            kept += largest_first(both, stratum)[: int(share * num + 1e-6)]
        rest = largest_first(both, [i for i in sorted(positives + negatives) if i not in kept])
        expected.append(sorted(kept + rest[: num - len(kept)]))
    assert kept_of(SOHEM(num, edges, shares)(samples)) == expected


@pytest.mark.parametrize("num", [1, 128])
def test_ohem_of_r_fcn(samples, num):
    """R-FCN sorts all regions by both losses and takes the top 128: no ratio, no NMS."""
    expected = []
    for positives, negatives, first, second in images(samples, "classification_loss", "regression_loss"):
        both = [a + b for a, b in zip(first, second, strict=True)]
        expected.append(sorted(largest_first(both, sorted(positives + negatives))[:num]))
    assert kept_of(OHEM(num, nms_iou=None)(samples)) == expected


@pytest.mark.parametrize("min_kept", [0, 7, 1000])
@pytest.mark.parametrize("threshold", [0.7, 0.4, None])
def test_pixel_ohem(samples, min_kept, threshold):
    """All pixels of the batch in one list: those less sure than the threshold, and so many of the least sure."""
    if threshold is None and min_kept == 0:
        return
    loss, matched = (
        samples["classification_loss"].flatten().tolist(),
        samples.assignment.matched_gt.flatten().tolist(),
    )
    valid = [i for i, match in enumerate(matched) if match != IGNORE]
    kept = set(largest_first(loss, valid)[: 2 * min_kept])
    if threshold is not None:
        kept |= {i for i in valid if math.exp(-loss[i]) < threshold}
    weights = PixelOHEM(min_kept, threshold)(samples)
    assert kept_of(weights.view(1, -1)) == [sorted(kept)]


@pytest.fixture
def detections(samples) -> Samples:
    """The samples with scores of three classes and a background, where some are below .05, and predicted boxes."""
    generator = torch.Generator().manual_seed(int(samples["noise"][0, 0] * 1e6))
    shape = samples.assignment.matched_gt.shape
    logits = torch.randn(*shape, 4, generator=generator, dtype=torch.float64) * 2
    logits[..., 3] += 2
    corner = torch.rand(*shape, 2, generator=generator, dtype=torch.float64) * 30
    boxes = torch.cat([corner, corner + 20], dim=-1)
    ties = samples["classification_loss"].max() > 1
    return replace(samples, logits=logits.round() if ties else logits, predicted_boxes=boxes)


@pytest.mark.parametrize(("k", "bias"), [(0.5, 0), (2, 0.3)])
@pytest.mark.parametrize("num", [1, 6, 15, 100])
def test_score_hlr(detections, overlap, num, k, bias):
    """Clusters by going from the highest score down; the first of all clusters, the second of all clusters, ..."""
    weights = Combined(Random(), ScoreHLR(k=k, bias=bias), num, 0)(detections)
    evidence = images(detections, "logits", "predicted_boxes", "classification_loss", "noise")
    for b, (_, negatives, logits, boxes, loss, noise) in enumerate(evidence):
        score = [max(torch.tensor(row, dtype=torch.float64).softmax(0)[:3].tolist()) for row in logits]
        left = largest_first(score, [i for i in negatives if score[i] > 0.05])
        queue, clusters = len(left), []
        while left:
            cluster = [i for i in left if i == left[0] or overlap(boxes[left[0]], boxes[i]) >= 0.5]
            clusters.append(cluster)
            left = [i for i in left if i not in cluster]
        order = []
        for place in range(max(map(len, clusters), default=0)):
            order += largest_first(score, sorted(cluster[place] for cluster in clusters if place < len(cluster)))
        kept, most = order[:num], max(num, queue)
        expected = {i: (bias + (1 - bias) * (most - rank) / most) ** k for rank, i in enumerate(kept)}
        low = largest_first(noise, [i for i in negatives if i not in order])[: num - len(kept)]
        expected |= dict.fromkeys(low, min(expected.values(), default=1.0))
        total = sum(weight * loss[i] for i, weight in expected.items())
        factor = sum(loss[i] for i in expected) / total if total else 1
        full = torch.zeros(len(loss), dtype=torch.float64)
        for i, weight in expected.items():
            full[i] = weight * factor
        torch.testing.assert_close(weights[b], full)


def test_one_bin_is_random_sampling(samples):
    random = RandomBalanced(8, 0.25)(samples)
    assert torch.equal(Combined(Random(), IoUBalanced(bins=1), 8, 0.25)(samples), random)
    one = replace(
        samples, assignment=replace(samples.assignment, matched_gt=samples.assignment.matched_gt.clamp_max(0))
    )
    assert torch.equal(Combined(InstanceBalanced(), Random(), 8, 0.25)(one), RandomBalanced(8, 0.25)(one))


def test_hard_pool_lies_between_hard_and_random(samples):
    hardest = OHEM(8, nms_iou=None, rank_by="classification")(samples)
    assert torch.equal(HardPool(8, pool=1)(samples), hardest)
    assert torch.equal(HardPool(8, pool=1e6)(samples), Random(8)(samples))


def test_one_stratum_is_ohem_without_nms(samples):
    assert torch.equal(SOHEM(8, edges=(), shares=(1,))(samples), OHEM(8, nms_iou=None)(samples))


def test_score_hlr_without_priority_is_hard(detections):
    weights = ScoreHLR(12, k=0)(detections)
    kept = weights > 0
    torch.testing.assert_close(weights, kept.to(weights.dtype))


def test_score_hlr_keeps_the_loss_of_every_image(detections):
    weights, loss = ScoreHLR(12)(detections), detections["classification_loss"]
    torch.testing.assert_close((weights * loss).sum(1), (loss * (weights > 0)).sum(1))


def test_with_room_for_all_nothing_is_sampled(detections):
    everything = All()(detections)
    for sampling in (
        Random(40), IoUBalanced(40), InstanceBalanced(40), HardPool(40), SOHEM(40), PixelOHEM(40), ScoreHLR(40, k=0),
        Combined(InstanceBalanced(), IoUBalanced(), 160, 0.5),
    ):  # fmt: skip
        torch.testing.assert_close(sampling(detections), everything, msg=type(sampling).__name__)
