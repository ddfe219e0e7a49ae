"""Random evidence for the slow versions, in plain lists."""

from collections.abc import Callable

import pytest
import torch

from hardmine.core.samples import Assignment, Samples


@pytest.fixture(params=range(6))
def samples(request) -> Samples:
    """Overlapping boxes, three classes, ignored samples; the third batch has ties, the fourth no positives."""
    seed = request.param
    generator = torch.Generator().manual_seed(seed)
    B, N = 2, 40
    matched = torch.randint(-2, 4, (B, N), generator=generator)
    matched = torch.where(torch.rand(B, N, generator=generator) < 0.5, -1, matched)
    loss = torch.rand(3, B, N, generator=generator, dtype=torch.float64)
    if seed == 2:
        loss = (loss * 4).round()
    if seed == 3:
        matched = matched.clamp_max(-1)
    corner = torch.rand(B, N, 2, generator=generator, dtype=torch.float64) * 12
    return Samples(
        Assignment(matched, loss[0]),
        labels=torch.where(matched >= 0, matched % 3, matched),
        boxes=torch.cat([corner, corner + 20], dim=-1),
        classification_loss=loss[0],
        regression_loss=loss[1] * (matched >= 0),
        noise=loss[2],
    )


@pytest.fixture(scope="session")
def overlap() -> Callable[[list[float], list[float]], float]:
    return _overlap


def _overlap(a: list[float], b: list[float]) -> float:
    """IoU of two boxes, as it is explained at school."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union else 0.0
