"""Equalized focal loss against its authors' code.

One difference: where p_t is rounded to 0, their -log p_t is infinite and its gradient NaN. Ours comes from
softplus and stays what the formula says, α_t γ_j/γ times the logit for a score that is wrong beyond doubt.
The ratio of gradients is given to them; here it is set as what was seen before.
"""

import torch

from hardmine import BACKGROUND, EFL, IGNORE, Assignment, CrossEntropy, Samples

GOLDEN = ("efl",)


def test_losses_and_gradients_agree_and_ours_are_always_finite(case):
    logits, given = case.given["logits"].double().requires_grad_(), case.given["target1"]
    labels = torch.where(given > 0, given - 1, torch.where(given == 0, BACKGROUND, IGNORE))[None]
    sampling = EFL(logits.shape[-1], 2.0, 0.25, 8.0).double()
    sampling.positive.copy_(case.given["pos_neg"])
    sampling.negative.fill_(1)
    samples = Samples(Assignment(labels, logits.new_zeros(labels.shape)), labels=labels, logits=logits[None])
    loss = (sampling(samples) * CrossEntropy("sigmoid")(samples["logits"], labels))[0]
    (gradient,) = torch.autograd.grad(loss.sum() / case.params["normalizer"], logits)
    valid = labels[0] != IGNORE
    theirs, their_gradient = case.expected["none"], case.expected["grad_logits"]
    agrees, slope_agrees = torch.isfinite(theirs), torch.isfinite(their_gradient)
    torch.testing.assert_close(loss[valid][agrees], theirs[agrees])
    torch.testing.assert_close(gradient[slope_agrees], their_gradient[slope_agrees])
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()
    assert (loss[~valid] == 0).all()
    score, own = logits.detach().sigmoid(), labels[0, :, None] == torch.arange(logits.shape[-1])
    is_possible = torch.where(own, score, 1 - score) > 0
    assert torch.equal(agrees, is_possible[valid])
    assert torch.equal(slope_agrees[valid], is_possible[valid])
