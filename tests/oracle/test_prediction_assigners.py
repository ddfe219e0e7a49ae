"""ATSS and the assigners that look at predictions, against loops written from the papers' text."""

import math
import statistics
from itertools import permutations

import pytest
import torch

from hardmine import ATSS, BACKGROUND, GroundTruth, Hungarian, SimOTA, TaskAligned
from hardmine.core.samples import Levels, Predictions

LEVELS = ((8, 8), (16, 4), (32, 2))  # stride, cells a side
NUM_CLASSES = 3


def pyramid(per_location: int) -> tuple[torch.Tensor, Levels]:
    """Anchors around every cell's centre, four cells wide; of several at a place each is half as high again."""
    rows = []
    for stride, cells in LEVELS:
        for cell in range(cells * cells):
            x, y = (cell % cells + 0.5) * stride, (cell // cells + 0.5) * stride
            for shape in range(per_location):
                high = 2 * stride * 1.5**shape
                rows.append((x - 2 * stride, y - high, x + 2 * stride, y + high))
    counts = tuple(cells * cells * per_location for _, cells in LEVELS)
    strides = tuple(float(stride) for stride, _ in LEVELS)
    return torch.tensor(rows, dtype=torch.float64), Levels(counts, strides, (per_location,) * len(LEVELS))


@pytest.fixture(params=range(6))
def generator(request) -> torch.Generator:
    return torch.Generator().manual_seed(request.param)


def random_objects(generator: torch.Generator, num: int) -> torch.Tensor:
    """On a coarse grid, so that distances tie; the last one outside of the image."""
    corner = torch.randint(-2, 14, (num, 2), generator=generator).double() * 4
    corner[-1:] += 200
    return torch.cat([corner, corner + torch.randint(1, 11, (num, 2), generator=generator) * 4], dim=-1)


def predictions_of(boxes: torch.Tensor, generator: torch.Generator, *, coarse: bool = False) -> Predictions:
    """Boxes near the anchors, and scores; on demand both rounded, so that they tie."""
    shift = torch.randn(len(boxes), 2, generator=generator).double() * 8
    near = boxes + shift.repeat(1, 2) + torch.rand(boxes.shape, generator=generator)
    scores = torch.rand(len(boxes), NUM_CLASSES, generator=generator).double()
    if coarse:
        near, scores = (near / 8).round() * 8, (scores * 4).round() / 4
    return Predictions(near[None], scores[None])


def truth(objects: torch.Tensor) -> GroundTruth:
    return GroundTruth.from_lists([objects], [torch.arange(len(objects)) % NUM_CLASSES])


def centre(box: list[float]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def is_inside(point: tuple[float, float], box: list[float]) -> bool:
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def most_overlapped(wanted: list[tuple[float, int]]) -> int:
    """The object of the largest overlap among (overlap, object), the first of equal ones."""
    return min(wanted, key=lambda pair: (-pair[0], pair[1]))[1] if wanted else BACKGROUND


@pytest.mark.parametrize("per_location", [1, 3])
@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("chunk", [2, None])
def test_atss(generator, overlap, per_location, k, chunk):
    boxes, levels = pyramid(per_location)
    objects = random_objects(generator, 9)
    assignment = ATSS(k, chunk=chunk)(boxes[None], truth(objects), levels=levels)
    wanted = [[] for _ in boxes]
    for g, gt in enumerate(objects.tolist()):
        for overlap_of, i in positives_of_atss(boxes.tolist(), levels, gt, k, overlap):
            wanted[i].append((overlap_of, g))
    assert assignment.matched_gt[0].tolist() == [most_overlapped(each) for each in wanted]
    assert assignment.is_positive.any()
    largest = [max(overlap(box, gt) for gt in objects.tolist()) for box in boxes.tolist()]
    assert assignment.iou[0].tolist() == pytest.approx(largest, abs=1e-12)


def positives_of_atss(boxes, levels, gt, k, overlap) -> list[tuple[float, int]]:
    candidates, start = [], 0
    for num, per_location in zip(levels.num_samples, levels.per_location, strict=True):
        by_distance = sorted(range(start, start + num), key=lambda i: (math.dist(centre(boxes[i]), centre(gt)), i))
        candidates += by_distance[: k * per_location]
        start += num
    overlaps = [overlap(boxes[i], gt) for i in candidates]
    threshold = statistics.fmean(overlaps) + statistics.stdev(overlaps)
    pairs = zip(overlaps, candidates, strict=True)
    return [(value, i) for value, i in pairs if value >= threshold and is_inside(centre(boxes[i]), gt)]


@pytest.mark.parametrize(("alpha", "beta", "coarse"), [(1, 6, False), (0.5, 6, False), (1, 1, True)])
@pytest.mark.parametrize("rank_over", ["inside", "all"])
@pytest.mark.parametrize("chunk", [2, None])
def test_task_aligned(generator, overlap, alpha, beta, coarse, rank_over, chunk):
    boxes, _ = pyramid(1)
    objects, k = random_objects(generator, 7), 5
    predictions = predictions_of(boxes, generator, coarse=coarse)
    assigner = TaskAligned(k, alpha, beta, rank_over, chunk=chunk)
    assignment = assigner(boxes[None], truth(objects), predictions=predictions)
    said, scores = predictions.boxes[0].tolist(), predictions.scores[0].tolist()
    wanted, fits = [[] for _ in said], {}
    for g, gt in enumerate(objects.tolist()):
        overlaps = [overlap(box, gt) for box in said]
        fit = [score[g % NUM_CLASSES] ** alpha * u**beta for score, u in zip(scores, overlaps, strict=True)]
        inside = [is_inside(centre(box), gt) for box in boxes.tolist()]
        among = [i for i in range(len(said)) if inside[i] or rank_over == "all"]
        for i in sorted(among, key=lambda i: (-fit[i], i))[:k]:
            if inside[i] and fit[i] > 0:
                wanted[i].append((overlaps[i], g))
                fits[i, g] = fit[i], overlaps[i]
    matched = [most_overlapped(each) for each in wanted]
    assert assignment.matched_gt[0].tolist() == matched
    assert assignment.is_positive.any()
    own = {i: fits[i, g] for i, g in enumerate(matched) if g >= 0}
    for i, quality in enumerate(assignment.quality[0].tolist()):
        rivals = [own[j] for j in own if matched[j] == matched[i]]
        expected = own[i][0] / max(t for t, _ in rivals) * max(u for _, u in rivals) if i in own else 0
        assert quality == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"center_radius": 1.0, "candidates": 4}, {"iou_weight": 0, "cls_weight": 2}], ids=str
)
@pytest.mark.parametrize("chunk", [2, None])
def test_sim_ota(generator, overlap, options, chunk):
    boxes, levels = pyramid(1)
    objects, predictions = random_objects(generator, 7), predictions_of(boxes, generator)
    assignment = SimOTA(**options, chunk=chunk)(boxes[None], truth(objects), levels=levels, predictions=predictions)
    assert assignment.matched_gt[0].tolist() == matched_by_sim_ota(boxes, objects, predictions, overlap, **options)
    assert assignment.is_positive.any()


def matched_by_sim_ota(
    boxes, objects, predictions, overlap, center_radius=2.5, candidates=10, iou_weight=3.0, cls_weight=1.0
) -> list[int]:
    said, scores, objects = predictions.boxes[0].tolist(), predictions.scores[0].tolist(), objects.tolist()
    points = [centre(box) for box in boxes.tolist()]
    strides = [stride for stride, cells in LEVELS for _ in range(cells * cells)]

    def tier(i: int, gt: list[float]) -> int:
        far = max(abs(a - b) for a, b in zip(points[i], centre(gt), strict=True))
        return 2 - is_inside(points[i], gt) - (far < center_radius * strides[i])

    def cost(i: int, g: int) -> float:
        named = sum(-math.log(p if c == g % NUM_CLASSES else 1 - p) for c, p in enumerate(scores[i]))
        return cls_weight * named - iou_weight * math.log(overlap(said[i], objects[g]) + 1e-7)

    somewhere = [i for i in range(len(said)) if any(tier(i, gt) < 2 for gt in objects)]
    price = {(i, g): (tier(i, gt), cost(i, g)) for i in somewhere for g, gt in enumerate(objects) if tier(i, gt) < 2}
    takers = [[] for _ in said]
    for g, gt in enumerate(objects):
        largest = sorted((overlap(said[i], gt) for i in somewhere), reverse=True)[:candidates]
        own = sorted((i for i in somewhere if (i, g) in price), key=lambda i: price[i, g])
        for i in own[: max(1, int(sum(largest)))]:
            takers[i].append(g)
    cheapest = {i: min((price[i, g], g) for g in range(len(objects)) if (i, g) in price)[1] for i in somewhere}
    return [BACKGROUND if not t else t[0] if len(t) == 1 else cheapest[i] for i, t in enumerate(takers)]


@pytest.mark.parametrize("class_cost", ["focal", "probability"])
@pytest.mark.parametrize(("num_samples", "num_objects"), [(7, 3), (5, 5), (3, 5), (4, 1)])
def test_hungarian(generator, overlap, class_cost, num_samples, num_objects):
    boxes = random_objects(generator, num_samples)
    objects, predictions = random_objects(generator, num_objects), predictions_of(boxes, generator)
    assigner = Hungarian(class_cost=class_cost, unit_px=64.0)
    matched = assigner(boxes[None], truth(objects), predictions=predictions).matched_gt[0].tolist()
    said, scores, objects = predictions.boxes[0].tolist(), predictions.scores[0].tolist(), objects.tolist()
    cost = [[detr_cost(said[i], scores[i][g % NUM_CLASSES], gt, overlap, class_cost) for g, gt in enumerate(objects)]
            for i in range(num_samples)]  # fmt: skip
    pairs = [(i, g) for i, g in enumerate(matched) if g >= 0]
    assert len({g for _, g in pairs}) == len(pairs) == min(num_samples, num_objects)
    if num_samples >= num_objects:
        all_totals = [sum(cost[i][g] for g, i in enumerate(order))
                      for order in permutations(range(num_samples), num_objects)]  # fmt: skip
    else:
        all_totals = [sum(cost[i][g] for i, g in enumerate(order))
                      for order in permutations(range(num_objects), num_samples)]  # fmt: skip
    assert sum(cost[i][g] for i, g in pairs) == pytest.approx(min(all_totals), abs=1e-9)
    assert min(all_totals) < max(all_totals) or num_samples == 1


def detr_cost(box, p, gt, overlap, class_cost) -> float:
    if class_cost == "focal":
        named = 0.25 * (1 - p) ** 2 * -math.log(p + 1e-8) - 0.75 * p**2 * -math.log(1 - p + 1e-8)
    else:
        named = -p
    sizes = [(*centre(b), b[2] - b[0], b[3] - b[1]) for b in (box, gt)]
    distance = sum(abs(a - b) for a, b in zip(*sizes, strict=True)) / 64
    hull = (max(box[2], gt[2]) - min(box[0], gt[0])) * (max(box[3], gt[3]) - min(box[1], gt[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, gt)]
    iou = overlap(box, gt)
    union = sum(areas) / (1 + iou)
    return 2 * named + 5 * distance - 2 * (iou - (hull - union) / hull)
