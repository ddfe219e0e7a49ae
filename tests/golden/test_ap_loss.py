"""AP loss against the authors' code and the copy of it beside aLRP's.

One difference: the copy fails without positives, where the authors' code and ours give 0 and a gradient of zeros.
"""

import torch

from hardmine import APLoss

GOLDEN = ("ap_loss", "ap_loss_official")


def test_value_and_gradient_agree(case, one_class):
    logits, labels = one_class
    loss = APLoss(case.params["delta"])(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    has_positives = bool((case.given["target"] == 1).any())
    assert bool(case.expected) == (has_positives or case.method == "ap_loss_official")
    if not has_positives:
        assert loss == 0
        assert (gradient == 0).all()
    if case.expected:
        torch.testing.assert_close(loss.detach(), case.expected["loss"].squeeze())
        torch.testing.assert_close(gradient.flatten(), case.expected["grad_logits"])
