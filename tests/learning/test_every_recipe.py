"""Every recipe trains every detector that takes it: a few steps on a few scenes, and the detector is better at them.

Better by one of two measures: the losses that the framework itself trains the detector with, or the recipe's own. Some
own losses rise while the detector learns (harmonised weights find what is left, targets of scores rise with the boxes);
and to a recipe that assigns differently the framework's definition of right need not matter.
"""

import math

import pytest
import torch
from torch import Tensor

from hardmine import RECIPES, recipes, wrap
from hardmine.data import open_scenes
from hardmine.detectors import DETECTORS, Detector
from hardmine.detectors.support import heads_under
from hardmine.equation.recipe import PIXELS
from hardmine.training import TrainingConfig
from hardmine.training.run import make_detector

STEPS, SIZE = 16, 96
TAKEN = [
    (detector, name)
    for name, make in RECIPES.items()
    for detector, heads in heads_under(make()).items()
    if detector in DETECTORS and isinstance(heads, list)
]
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


@pytest.fixture(scope="module")
def scenes():
    return open_scenes("train", num_images=4, size=SIZE)


def test_all_combinations_are_here():
    assert {name for _, name in TAKEN} == {name for name, make in RECIPES.items() if make().on != PIXELS}
    assert {detector for detector, _ in TAKEN} == set(DETECTORS)


@pytest.mark.parametrize(("detector", "name"), TAKEN, ids=lambda part: part)
def test_a_short_training_makes_it_better(detector, name, scenes):
    given = {"proposals": "selective_search"} if detector == "fastrcnn" else {}  # which is said, and not done here
    config = TrainingConfig(detector=detector, recipe=name, image_size=SIZE, **given)
    learner = make_detector(config, len(scenes.classes))
    batch = batch_of(scenes, learner.label_offset)
    judges = learner, wrap(learner.model, recipes.random())
    before = [loss_of(judge, batch) for judge in judges]
    optimizer = torch.optim.AdamW(learner.parameters(), 2e-3)
    for _ in range(STEPS):
        loss = total_loss(learner.train(), batch)
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 10)
        optimizer.step()
    after = [loss_of(judge, batch) for judge in judges]
    assert all(map(math.isfinite, after))
    assert any(end < 0.9 * start for start, end in zip(before, after, strict=True))


def batch_of(scenes, label_offset: int) -> Batch:
    images = [torch.from_numpy(scenes.pixels(index)).permute(2, 0, 1) / 255 for index in range(len(scenes.records))]
    targets = [
        {
            "boxes": torch.from_numpy(record.boxes),
            "labels": torch.from_numpy(record.labels).long() + label_offset,
            "proposals": near_and_far(torch.from_numpy(record.boxes)),
        }
        for record in scenes.records
    ]
    return images, targets


def near_and_far(boxes: Tensor) -> Tensor:
    """What a search for proposals might give: most of the boxes lie anywhere."""
    generator = torch.Generator().manual_seed(0)
    corner, side = SIZE * torch.rand(100, 2, generator=generator), 10 + 20 * torch.rand(100, 2, generator=generator)
    near = boxes + torch.randn(boxes.shape, generator=generator)
    return torch.cat([near, torch.cat([corner, corner + side], dim=1)])


def total_loss(detector: Detector, batch: Batch) -> Tensor:
    images, targets = batch
    return torch.stack(list(detector(list(images), [dict(target) for target in targets]).values())).sum()


@torch.no_grad()
def loss_of(detector: Detector, batch: Batch) -> float:
    """The mean of a few looks, since some samplings are random."""
    return sum(total_loss(detector.train(), batch).item() for _ in range(4)) / 4
