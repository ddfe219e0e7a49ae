"""Pixel OHEM against mmsegmentation's: `PixelOHEM.mmseg` keeps the same pixels, to the last one.

Ours by default keeps at least ``min_kept`` an image, always. Theirs keeps p < max(threshold, p_(k)), p_(k) the one
after the k smallest probabilities with k = min_kept · B, or the last. Where there are no more than k pixels that drops
the easiest, and where pixels tie with p_(k) all of these, so that none at all is kept where every pixel is equally
sure. Ours keeps as many as the method says.
Without a threshold both keep the k largest losses, and theirs leaves open which of equal ones.
"""

import pytest
import torch
from torch import Tensor

from hardmine import IGNORE, Assignment, CrossEntropy, PixelOHEM, Samples

GOLDEN = ("ohem_pixel",)


@pytest.fixture
def samples(case) -> Samples:
    logits = case.given["logits"].double().flatten(2).transpose(1, 2)  # (B, N, C), in planes
    labels = case.given["label"].long().flatten(1)
    labels = labels.masked_fill(labels == 255, IGNORE)
    loss = CrossEntropy("softmax")(logits, labels)
    return Samples(Assignment(labels, torch.zeros(labels.shape)), classification_loss=loss)


@pytest.fixture
def theirs(case) -> Tensor:
    return case.expected["weight"].flatten(1)


def assert_equal_losses_are_kept(samples: Samples, weights: Tensor, theirs: Tensor) -> None:
    loss = samples["classification_loss"]
    torch.testing.assert_close(loss[weights > 0].sort().values, loss[theirs > 0].sort().values)


def test_their_form_keeps_the_same_pixels(case, samples, theirs):
    weights = PixelOHEM.mmseg(case.params["min_kept"], case.params["thresh"])(samples)
    if case.params["thresh"] is None:
        assert_equal_losses_are_kept(samples, weights, theirs)
    else:
        assert torch.equal(weights, theirs.to(weights.dtype))


def test_ours_keeps_the_same_and_never_fewer_than_the_least_number(case, samples, theirs):
    weights = PixelOHEM(case.params["min_kept"], case.params["thresh"])(samples)
    kept, wanted = int(weights.sum()), case.params["min_kept"] * len(theirs)
    wanted = min(wanted, int(samples.assignment.is_valid.sum()))
    assert kept >= wanted
    if case.params["thresh"] is None:
        assert_equal_losses_are_kept(samples, weights, theirs)
    elif theirs.sum() < wanted:
        assert (weights >= theirs).all()
        assert kept == wanted
    else:
        assert torch.equal(weights, theirs.to(weights.dtype))
