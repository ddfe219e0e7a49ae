"""Samples on which a base model is right but in one corner, where it is sure and wrong."""

from collections.abc import Callable

import pytest
import torch

from hardmine.experts import HeldOutSamples

NUM_FEATURES, NUM_CLASSES = 6, 3


@pytest.fixture
def make_samples() -> Callable[..., HeldOutSamples]:
    """Class 0 left, class 1 right, the other way round where the second feature is above 1; class 2 never.

    The base does not know of the corner. Twenty samples an image.
    """

    def make(images: int = 20, seed: int = 0) -> HeldOutSamples:
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(images * 20, NUM_FEATURES, generator=generator)
        right = features[:, 0] > 0
        corner = features[:, 1] > 1
        logits = torch.zeros(len(features), NUM_CLASSES)
        logits[:, 1] = torch.where(right, 3.0, -3.0)
        logits[:, 2] = -6
        return HeldOutSamples(features, logits, (right ^ corner).long(), torch.arange(images).repeat_interleave(20))

    return make
