"""Every recipe of pixels trains a segmenter: a few steps on a few drawn shapes, and more pixels are right."""

import pytest
import torch
from torch import Tensor
from torchvision.models.segmentation import LRASPP

from hardmine import RECIPES, wrap
from hardmine.detectors.support import heads_under
from hardmine.errors import EvidenceError
from tests.detectors.torchvision.test_segmentation import Backbone

STEPS, SIDE, CLASSES = 40, 32, 3
TAKEN = [name for name, make in RECIPES.items() if not isinstance(heads_under(make())["pixels"], EvidenceError)]


def shapes(number: int) -> tuple[Tensor, Tensor]:
    """A rare and a rarer class on a background of noise, each brighter in a colour of its own; ignored borders."""
    images, masks = torch.rand(number, 3, SIDE, SIDE) * 0.7, torch.zeros(number, SIDE, SIDE, dtype=torch.long)
    for image, mask in zip(images, masks, strict=True):
        for label, side in ((1, 12), (2, 6)):
            y, x = (int(place) for place in torch.randint(1, SIDE - side - 1, (2,)))
            mask[y - 1 : y + side + 1, x - 1 : x + side + 1] = 255
            mask[y : y + side, x : x + side] = label
            image[label, y : y + side, x : x + side] += 0.5
    return images, masks


@pytest.mark.parametrize("name", TAKEN)
def test_a_short_training_finds_the_shapes(name):
    images, masks = shapes(6)
    segmenter = wrap(LRASPP(Backbone("low", "high", stride=2), 16, 16, CLASSES, 16), RECIPES[name]()).train()
    optimizer = torch.optim.AdamW(segmenter.parameters(), 1e-2)
    for _ in range(STEPS):
        loss = sum(segmenter(images, masks).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = segmenter.scores(images).argmax(1)
    for label in (1, 2):
        right = (found == label) & (masks == label)
        either = ((found == label) | (masks == label)) & (masks != 255)
        assert right.sum() > 0.5 * either.sum(), label
