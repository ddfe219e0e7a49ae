"""Score-HLR against mmdetection's: the same negatives with the same weights.

Theirs leaves open which of equal scores comes first (float32; mmcv's NMS sorts unstably): where scores tie, only what
does not depend on that order is compared, that is, the weights. What fills the places of low scores is chance: there
every candidate must have the same, and the smallest, weight. The objects' positives are random in both.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, Combined, CrossEntropy, Random, Samples, ScoreHLR

GOLDEN = ("score_hlr",)


def test_the_same_negatives_with_the_same_weights(case):
    gt_inds, labels = case.given["gt_inds"].long(), case.given["labels"].long()
    matched = torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE))
    logits, negatives = case.given["logits"], case.expected["neg_all"].long()
    assert torch.equal(negatives, (matched == BACKGROUND).nonzero().flatten())
    loss = CrossEntropy("softmax")(logits[None], torch.where(matched >= 0, labels, matched)[None])
    boxes = torch.zeros(1, len(matched), 4)
    if len(negatives):
        boxes[0, negatives] = case.expected["pred_boxes"].float()
    samples = Samples(
        Assignment(matched[None], torch.zeros(1, len(matched))),
        logits=logits[None],
        predicted_boxes=boxes,
        classification_loss=loss,
        noise=torch.rand(1, len(matched)),
    )
    weights = Combined(Random(), ScoreHLR(), case.params["num"], case.params["pos_fraction"])(samples)[0]
    assert (weights[matched >= 0] > 0).sum() == len(case.expected["pos_inds"])
    kept = ((weights > 0) & (matched == BACKGROUND)).nonzero().flatten()
    theirs = case.expected["neg_inds"].long()
    assert len(kept) == len(theirs)
    if not len(negatives):
        return
    expected = torch.zeros(len(matched)).index_copy(0, theirs, case.expected["neg_label_weights"].float())
    score = torch.zeros(len(matched)).index_copy(0, negatives, case.expected["max_score"].float())
    ranked = score > 0.05
    if have_ties(score[ranked & (matched == BACKGROUND)]):
        ratio = lambda w: (w / w.max()).sort(descending=True).values  # noqa: E731  # which of equals: not the factor
        torch.testing.assert_close(ratio(weights[kept]), ratio(expected[theirs]), rtol=1e-5, atol=1e-6)
        return
    assert ranked.sum() == case.expected["num_valid"]
    if ranked.sum() < len(kept):
        assert (weights[kept[~ranked[kept]]] == weights[kept].min()).all()
        factor = weights[ranked] / expected[ranked]  # the sum that is kept is over other random samples
        torch.testing.assert_close(factor, factor[:1].expand_as(factor))
        return
    assert torch.equal(kept, theirs.sort().values)
    torch.testing.assert_close(weights[kept], expected[kept], rtol=1e-5, atol=1e-6)


def have_ties(scores: torch.Tensor) -> bool:
    """Whether rounding may change their order."""
    return bool((scores.sort().values.diff() < 1e-6).any())
