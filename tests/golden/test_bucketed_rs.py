"""RS loss against its bucketed version (Bucketed Ranking-based Losses, ECCV 2024, arXiv:2407.14204).

A bucket is the run of negatives between two positives in the order of scores; all in it get the mean of their scores.
- With a hard step, which sees only the order, and where no negative is part of the way up a step, the two agree. With a
  soft step they do not: the mean of a bucket stands for negatives on both sides of the end of a window. Gradients then
  differ by 1 to 14 % on these 160 scores. Ours is exact at the same cost, so that nothing has to be bucketed.
- Among equal scores ("extreme") theirs depends on the order in which a sort puts them; with a stable one it agrees.
"""

import torch

from hardmine import RankSort

GOLDEN = ("bucketed_rs",)
UNCHANGED_BY_BUCKETS = ("all_pos", "separated", "inverted", "const", "no_pos")


def test_agrees_where_buckets_change_nothing_and_else_differs(case, one_class):
    logits, labels = one_class
    loss = RankSort(case.params["delta"])(logits, labels, predicted_iou=case.given["iou"].double()[None])
    gradient = torch.autograd.grad(loss, logits)[0].flatten()
    theirs = case.expected["grad_logits"].double()
    difference = (gradient - theirs).norm() / gradient.norm()
    if case.kind in UNCHANGED_BY_BUCKETS or case.params["delta"] == 0:
        value = case.expected["ranking"] + case.expected["sorting"]
        torch.testing.assert_close(loss.detach(), value.double(), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(gradient, theirs, rtol=1e-6, atol=1e-7)
    elif case.kind == "extreme":
        assert difference > 0.01
        torch.testing.assert_close(gradient, case.expected["grad_logits_stablesort"], rtol=1e-6, atol=1e-7)
    else:
        assert 0.01 < difference < 0.14
