"""Varifocal loss against mmdetection's: no difference.

Its targets (N, C) are 0 but for the labelled class of a positive, which is what ours makes of labels and qualities.
"""

import torch

from hardmine import BACKGROUND, IGNORE, VFL

GOLDEN = ("varifocal",)
MMDET_EPS = torch.finfo(torch.float32).eps  # its mean divides by avg_factor + this


def test_losses_and_gradients_agree(case):
    logits = case.given["logits"].double().requires_grad_()
    labels = torch.where(case.given["labels"] == logits.shape[-1], BACKGROUND, case.given["labels"])
    quality, vfl = case.given["target"].double().sum(-1), VFL(iou_weighted=case.params["iou_weighted"])
    loss = vfl(logits[None], labels[None], quality=quality[None])[0]
    torch.testing.assert_close(loss, case.expected["none"], check_dtype=False)
    total = loss.sum() / (case.params["avg_factor"] + MMDET_EPS)  # their call was not told what to ignore
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(total.detach(), case.expected["loss"])
    torch.testing.assert_close(gradient, case.expected["grad_logits"])
    counted = torch.where(case.given["weight"] > 0, labels, IGNORE)
    assert (vfl(logits[None], counted[None], quality=quality[None])[0][counted == IGNORE] == 0).all()
