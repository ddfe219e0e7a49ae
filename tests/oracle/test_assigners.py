"""Assigners against loops written from the papers' text."""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, FCOSPoints, GroundTruth, MaxIoU
from hardmine.core.samples import Levels


@pytest.fixture(params=range(5))
def scene(request) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes on a coarse grid, so that IoUs tie; objects; crowd regions."""
    generator = torch.Generator().manual_seed(request.param)

    def boxes(num: int) -> torch.Tensor:
        corner = torch.randint(0, 12, (num, 2), generator=generator) * 4.0
        return torch.cat([corner, corner + torch.randint(1, 5, (num, 2), generator=generator) * 4.0], dim=-1)

    return boxes(60), boxes(request.param * 3), boxes(2)


@pytest.mark.parametrize("thresholds", [(0.7, 0.3, 0.3), (0.5, 0.4, 0.0), (0.5, 0.5, 0.5)], ids=str)
@pytest.mark.parametrize("force", ["off", "take", "take_one", "keep"])
@pytest.mark.parametrize("chunk", [2, 100])
def test_max_iou(scene, overlap, thresholds, force, chunk):
    anchors, objects, crowds = (boxes.tolist() for boxes in scene)
    positive, negative, least = thresholds
    expected = [matched_by_max_iou(anchors, objects, overlap, positive, negative, least, force, i)
                for i in range(len(anchors))]  # fmt: skip
    for i, anchor in enumerate(anchors):
        if expected[i] < 0 and any(share_inside(anchor, crowd) > 0.5 for crowd in crowds):
            expected[i] = IGNORE
    assigner = MaxIoU(positive, negative, least, force_match=force, chunk=chunk)
    ground_truth = GroundTruth.from_lists([scene[1]], [torch.zeros(len(objects), dtype=torch.int64)], [scene[2]])
    assert assigner(scene[0][None], ground_truth).matched_gt[0].tolist() == expected


def matched_by_max_iou(anchors, objects, overlap, positive, negative, least, force, i) -> int:
    own = [overlap(anchors[i], gt) for gt in objects]
    best = max(own, default=0.0)
    matched = BACKGROUND if best < negative else IGNORE
    if best >= positive:
        matched = own.index(best)
    for g, gt in enumerate(objects):  # a later object wins
        of_all = [overlap(anchor, gt) for anchor in anchors]
        top = max(of_all)
        is_best = of_all.index(top) == i if force == "take_one" else of_all[i] == top
        if force != "off" and is_best and top > 0 and top >= least:
            matched = own.index(best) if force == "keep" else g
    return matched


def share_inside(anchor: list[float], crowd: list[float]) -> float:
    width = max(0.0, min(anchor[2], crowd[2]) - max(anchor[0], crowd[0]))
    height = max(0.0, min(anchor[3], crowd[3]) - max(anchor[1], crowd[1]))
    return width * height / ((anchor[2] - anchor[0]) * (anchor[3] - anchor[1]))


LEVELS = ((8, 8), (16, 4), (32, 2))  # stride, cells a side


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [1.5, 0.75])
def test_fcos_points(seed, radius):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(seed * 3, 2, generator=generator) * 40
    objects = torch.cat([corner, corner + 4 + torch.rand(seed * 3, 2, generator=generator) * 60], dim=-1)
    points = [
        (level, x * stride, y * stride, (x + 1) * stride, (y + 1) * stride)
        for level, (stride, cells) in enumerate(LEVELS)
        for y in range(cells)
        for x in range(cells)
    ]
    expected = [matched_by_fcos(point, objects.tolist(), radius) for point in points]
    boxes = torch.tensor([point[1:] for point in points], dtype=torch.float32)
    ground_truth = GroundTruth.from_lists([objects], [torch.zeros(len(objects), dtype=torch.int64)])
    levels = Levels((64, 16, 4), (8.0, 16.0, 32.0), (1, 1, 1))
    assignment = FCOSPoints(radius, chunk=2)(boxes[None], ground_truth, levels=levels)
    assert assignment.matched_gt[0].tolist() == expected
    if seed:
        assert assignment.is_positive.any()


def matched_by_fcos(point, objects, radius) -> int:
    """The smallest object that the point lies in, near its centre, and that its level is there for."""
    level, x1, y1, x2, y2 = point
    stride, x, y = x2 - x1, (x1 + x2) / 2, (y1 + y2) / 2
    smallest = 0 if level == 0 else 4 * stride
    largest = float("inf") if level == len(LEVELS) - 1 else 8 * stride
    fitting = []
    for g, (left, top, right, bottom) in enumerate(objects):
        sides = (x - left, y - top, right - x, bottom - y)
        far = max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2))
        if min(sides) > 0 and far < radius * stride and smallest < max(sides) < largest:
            fitting.append(((right - left) * (bottom - top), g))
    return min(fitting)[1] if fitting else BACKGROUND
