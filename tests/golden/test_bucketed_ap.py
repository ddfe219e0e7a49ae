"""AP loss against its bucketed version (Bucketed Ranking-based Losses, ECCV 2024, arXiv:2407.14204).

Three differences:
- Theirs counts a positive itself 1/2 where the equation of AP loss has 1, and does not interpolate precision, which the
  authors of AP loss do. So the two agree nowhere, but theirs can be told from all pairs with these two taken out.
- The mean score of a bucket, a run of negatives between two positives, stands for negatives on both sides of the end of
  a window. Where no negative is part of the way up a step, that is exact; elsewhere gradients differ by 2 to 8 % on
  these 160 scores. Ours is exact at the same cost, so that nothing has to be bucketed.
- Theirs fails without positives or without a negative in reach; ours gives 0 and a gradient of zeros.
Among equal scores ("extreme") theirs depends on the order in which a sort puts them; with a stable one it agrees.
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


def test_differs_by_itself_by_interpolation_and_by_buckets(case, one_class):
    logits, labels = one_class
    loss = APLoss(case.params["delta"])(logits, labels)
    gradient = torch.autograd.grad(loss, logits)[0].flatten()
    if not case.expected:
        assert case.kind in ("no_pos", "all_pos", "separated")
        assert loss == 0
        assert (gradient == 0).all()
        return
    theirs = case.expected["grad_logits"]
    assert (gradient - theirs).norm() > 0.005 * gradient.norm()
    exact = from_all_pairs(case.given["logits"].double(), case.given["target"], case.params["delta"])
    if case.kind in ("inverted", "const"):
        torch.testing.assert_close(exact, theirs, rtol=1e-6, atol=1e-7)
    elif case.kind == "extreme":
        torch.testing.assert_close(exact, case.expected["grad_logits_stablesort"], rtol=1e-6, atol=1e-7)
    else:
        assert 0.02 < (exact - theirs).norm() / exact.norm() < 0.08
