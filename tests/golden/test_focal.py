"""Focal loss against torchvision's and mmdetection's.

Two differences:
- With gamma below 1 their gradient is NaN where a score is saturated, because the slope of (1 - p)^gamma is infinite at
  p = 1. The limit is 0 (the loss falls faster than the slope rises), which is what ours gives.
- Their sum is divided by all positives, those that are ignored included; ours does not count what does not count. Here
  the unreduced losses are compared, and the sum over their number.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Focal

GOLDEN = ("focal_torchvision", "focal_mmdet")
MMDET_EPS = torch.finfo(torch.float32).eps


def test_losses_and_gradients_agree_and_ours_are_always_finite(case):
    logits = case.given["logits"].double().requires_grad_()
    weight = case.given["weight"]
    labels = torch.where(case.given["labels"] == logits.shape[-1], BACKGROUND, case.given["labels"])
    counted = torch.where(weight > 0, labels, IGNORE)
    loss = Focal(case.params["gamma"], case.params["alpha"])(logits[None], counted[None])[0]
    torch.testing.assert_close(loss, case.expected["none"] * weight[:, None])
    their_number = (labels >= 0).sum().clamp_min(1) + (MMDET_EPS if case.method == "focal_mmdet" else 0)
    total = loss.sum() / their_number
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(total.detach(), case.expected["loss"])
    theirs = case.expected["grad_logits"]
    torch.testing.assert_close(torch.where(theirs.isnan(), 0, gradient), theirs.nan_to_num(0))
    assert torch.isfinite(gradient).all()
    assert (gradient[theirs.isnan()].abs() < 1e-6).all()
    score, own = logits.detach().sigmoid(), labels[:, None] == torch.arange(logits.shape[-1])
    is_sure = torch.where(own, score, 1 - score) == 1
    assert torch.equal(theirs.isnan(), is_sure & (case.params["gamma"] < 1))
