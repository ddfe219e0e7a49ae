"""AP loss against its bucketed version (Bucketed Ranking-based Losses, ECCV 2024, arXiv:2407.14204).

Three differences:
- Theirs counts a positive itself 1/2 where the equation of AP loss has 1, and does not interpolate precision, which the
  authors of AP loss do. So the two agree nowhere, but theirs can be told from all pairs with these two taken out.
- The mean score of a bucket, a run of negatives between two positives, stands for all its negatives. That is exact
  where no negative is part of the way up a step; elsewhere theirs is, exactly, what all pairs give for the means. Ours
  is exact at the same cost, so that nothing has to be bucketed.
- Theirs fails without positives or without a negative in reach, that is, above the window of the lowest positive; ours
  gives 0 and a gradient of zeros.
Which of equal scores stand together is left to a sort in theirs; what a stable one gives is compared.
"""

import torch
from torch import Tensor

from hardmine import APLoss

GOLDEN = ("bucketed_ap",)


def from_all_pairs(scores: Tensor, target: Tensor, delta: float) -> Tensor:
    """Gradient of AP loss where a positive counts itself 1/2 and precision is not interpolated."""
    own, positive, negative = scores[target == 1], target == 1, target == 0
    above = ((scores[negative] - own[:, None]) / (2 * delta) + 0.5).clamp(0, 1)
    rank = ((own - own[:, None]) / (2 * delta) + 0.5).clamp(0, 1).sum(1) + above.sum(1)
    gradient = torch.zeros_like(scores)
    gradient[positive], gradient[negative] = -above.sum(1) / rank, (above / rank[:, None]).sum(0)
    return gradient / len(own)


def test_differs_by_itself_by_interpolation_and_by_buckets(case, one_class, of_buckets):
    logits, labels = one_class
    loss = APLoss(case.params["delta"])(logits, labels)
    gradient = torch.autograd.grad(loss, logits)[0].flatten()
    scores, target = case.given["logits"].double(), case.given["target"]
    in_reach = scores[target == 0, None] >= scores[target == 1] - case.params["delta"]
    assert bool(case.expected) == bool(in_reach.any())
    if not case.expected:
        assert loss == 0
        assert (gradient == 0).all()
        return
    theirs = case.expected["grad_logits_stablesort"]
    torch.testing.assert_close(from_all_pairs(of_buckets, target, case.params["delta"]), theirs, rtol=1e-6, atol=1e-7)
    exact, positive = from_all_pairs(scores, target, case.params["delta"]), target == 1
    assert (gradient - exact)[positive & (exact < 0)].min() > 0, "it counts itself 1/2 and is not interpolated"
