"""Pixel OHEM against mmsegmentation's: the same pixels, but that at least ``min_kept`` an image are kept, always.

Theirs keeps p < max(threshold, p_(k)), p_(k) the k-th smallest probability with k = min_kept · B, or the last one.
Where there are fewer pixels (few_pixels) that drops the easiest, and where pixels tie with p_(k) all of these, so that
none at all is kept where every pixel is equally sure (all_easy). Ours keeps as many as the method says.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, CrossEntropy, PixelOHEM, Samples

GOLDEN = ("ohem_pixel",)
DIFFERS = ("all_easy", "few_pixels")


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
    assert kept >= min(wanted, int((labels != IGNORE).sum()))
    if case.kind in DIFFERS:
        assert (weights >= theirs).all()
        assert kept > theirs.sum()
        assert theirs.sum() < wanted
    else:
        assert torch.equal(weights, theirs.to(weights.dtype))
