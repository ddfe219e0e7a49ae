"""Pixel OHEM against mmsegmentation's: the same pixels, but that at least ``min_kept`` an image are kept, always.

Theirs keeps p < max(threshold, p_(k)), p_(k) the one after the k smallest probabilities with k = min_kept · B, or the
last. Where there are no more than k pixels that drops the easiest, and where pixels tie with p_(k) all of these, so
that none at all is kept where every pixel is equally sure. Ours keeps as many as the method says.
Without a threshold both keep the k largest losses, and theirs leaves open which of equal ones.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, CrossEntropy, PixelOHEM, Samples

GOLDEN = ("ohem_pixel",)


def test_the_same_pixels(case):
    logits = case.given["logits"].double().flatten(2).transpose(1, 2)  # (B, N, C)
    labels = case.given["label"].long().flatten(1)
    labels = labels.masked_fill(labels == 255, IGNORE)
    matched = labels.clamp_max(BACKGROUND + 1)
    loss = CrossEntropy("softmax")(torch.cat([logits, torch.full_like(logits[..., :1], -1e9)], -1), labels)
    sampling = PixelOHEM(case.params["min_kept"], case.params["thresh"])
    weights = sampling(Samples(Assignment(matched, torch.zeros(labels.shape)), classification_loss=loss))
    theirs = case.expected["weight"].flatten(1)
    kept, wanted = int(weights.sum()), case.params["min_kept"] * len(labels)
    wanted = min(wanted, int((labels != IGNORE).sum()))
    assert kept >= wanted
    if case.params["thresh"] is None:
        torch.testing.assert_close(loss[weights > 0].sort().values, loss[theirs > 0].sort().values)
    elif theirs.sum() < wanted:
        assert (weights >= theirs).all()
        assert kept == wanted
    else:
        assert torch.equal(weights, theirs.to(weights.dtype))
