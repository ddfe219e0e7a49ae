"""Quality focal loss against mmdetection's: no difference, but that ours leaves the sum over classes to its user."""

import torch

from hardmine import BACKGROUND, IGNORE, QFL

GOLDEN = ("qfl",)
MMDET_EPS = torch.finfo(torch.float32).eps  # its mean divides by avg_factor + this


def test_losses_and_gradients_agree(case):
    logits = case.given["logits"].double().requires_grad_()
    labels, weight = case.given["labels"], case.given["weight"]
    labels = torch.where(labels == logits.shape[-1], BACKGROUND, labels)
    counted = torch.where(weight > 0, labels, IGNORE)
    quality = case.given["score"].double()
    loss = QFL(case.params["beta"])(logits[None], counted[None], quality=quality[None])[0].sum(-1)
    torch.testing.assert_close(loss, case.expected["none"] * weight, check_dtype=False)
    total = loss.sum() / (case.params["avg_factor"] + MMDET_EPS)
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(total.detach(), case.expected["loss"])
    torch.testing.assert_close(gradient, case.expected["grad_logits"])
