"""Cross entropy against mmdetection's: no difference, but that its sigmoid form rounds to float32 at the end."""

import torch

from hardmine import BACKGROUND, IGNORE, CrossEntropy

GOLDEN = ("ce_softmax", "bce")
MMDET_EPS = torch.finfo(torch.float32).eps  # its mean divides by avg_factor + this


def test_losses_and_gradients_agree(case):
    softmax = case.method == "ce_softmax"
    logits = case.given["logits"].double().requires_grad_()
    labels, weight = case.given["labels"], case.given["weight"]
    labels = torch.where(labels == logits.shape[-1] - softmax, BACKGROUND, labels)
    labels = torch.where(weight > 0, labels, IGNORE)
    loss = CrossEntropy("softmax" if softmax else "sigmoid")(logits[None], labels[None])[0]
    torch.testing.assert_close(loss, case.expected["none"], check_dtype=False)
    total = loss.sum() / ((weight > 0).sum().clamp_min(1) + MMDET_EPS)
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(total.detach(), case.expected["loss"], check_dtype=False)
    torch.testing.assert_close(gradient, case.expected["grad_logits"], check_dtype=False)
