"""GHM-R against mmdetection's, the authors' code.

Two differences:
- As GHM-C: it divides by the bins that are not empty (``over="non-empty"``), the paper by all.
- N is the sum of its label weights there, the number of what counts here. The two differ only where label weights are
  fractions, and N cancels in the loss, Σ w ℓ / N.
"""

import torch

from hardmine import ASL1, BACKGROUND, GHMR, Assignment, Samples

GOLDEN = ("ghmr",)


def test_losses_and_gradients_agree_but_for_what_n_counts(case):
    predicted = case.given["pred"].double().requires_grad_()
    target, weight = case.given["target"].double(), case.given["weight"].double()
    positive = weight[:, 0] > 0
    assert torch.equal(positive[:, None].expand(-1, 4), weight > 0)
    matched = torch.where(positive, 0, BACKGROUND)[None]
    samples = Samples(
        Assignment(matched, torch.zeros(matched.shape)), code_error=(predicted - target)[None].detach()
    )  # fmt: skip
    weights = GHMR(case.params["mu"], case.params["bins"], 0, "non-empty")(samples)[0]
    loss = weights * ASL1(case.params["mu"])(predicted, target)
    ours, theirs = (4 * positive.sum()).clamp_min(1), weight.sum().clamp_min(1)
    torch.testing.assert_close(loss.detach() * theirs / ours, case.expected["none"])
    if (weight[positive] == 1).all():
        assert ours == theirs
    total = loss.sum() / ours
    torch.testing.assert_close(total.detach(), case.expected["loss"])
    (gradient,) = torch.autograd.grad(total, predicted)
    torch.testing.assert_close(gradient, case.expected["grad_pred"])
