"""RS loss against its bucketed version (Bucketed Ranking-based Losses, ECCV 2024, arXiv:2407.14204).

A bucket is the run of negatives between two positives in the order of scores; all in it get the mean of their scores.
So theirs is, exactly, ours of these means: the two agree with a hard step (δ = 0), which sees only the order, and where
no negative is part of the way up a step. Elsewhere the mean stands for negatives on both sides of the end of a window.
Ours is exact at the same cost, so that nothing has to be bucketed.
Which of equal scores stand together is left to a sort in theirs; what a stable one gives is compared.
"""

import torch
from torch import Tensor

from hardmine import RankSort

GOLDEN = ("bucketed_rs",)


def with_gradient(case, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Our loss and its gradient of the flat scores (N,)."""
    logits = scores.view(1, -1, 1).detach().requires_grad_()
    loss = RankSort(case.params["delta"])(logits, labels, predicted_iou=case.given["iou"].double()[None])
    return loss.detach(), torch.autograd.grad(loss, logits)[0].flatten()


def test_theirs_is_ours_of_the_means_of_buckets(case, one_class, of_buckets):
    logits, labels = one_class
    loss, gradient = with_gradient(case, of_buckets, labels)
    close = {"rtol": 1e-6, "atol": 1e-7, "check_dtype": False}
    torch.testing.assert_close(loss, case.expected["loss_stablesort"], **close)
    torch.testing.assert_close(gradient, case.expected["grad_logits_stablesort"], **close)
    if torch.equal(of_buckets, logits.flatten()) or case.params["delta"] == 0:
        _, exact = with_gradient(case, logits, labels)
        torch.testing.assert_close(exact, case.expected["grad_logits_stablesort"], **close)
