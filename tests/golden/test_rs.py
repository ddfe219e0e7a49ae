"""Rank & Sort loss against the authors' code.

One difference: their code fails without positives; ours gives 0 and a gradient of zeros.
"""

import torch

from hardmine import RankSort

GOLDEN = ("rs",)


def test_value_and_gradient_agree(case, one_class):
    logits, labels = one_class
    loss = RankSort(case.params["delta"])(logits, labels, predicted_iou=case.given["iou"].double()[None])
    (gradient,) = torch.autograd.grad(loss, logits)
    assert bool(case.expected) == bool((case.given["target"] == 1).any())
    if not case.expected:
        assert loss == 0
        assert (gradient == 0).all()
        return
    torch.testing.assert_close(loss.detach(), case.expected["ranking"] + case.expected["sorting"])
    torch.testing.assert_close(gradient.flatten(), case.expected["grad_logits"])
