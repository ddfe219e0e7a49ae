"""Distribution focal loss against mmdetection's.

One difference: a target of n itself, the last bin. Theirs looks for a bin n + 1 and fails; ours gives all the weight to
bin n, which is what the loss tends to as the target tends to n.
"""

import torch

from hardmine.losses import DFL

GOLDEN = ("dfl",)


def test_losses_and_gradients_agree(case):
    loss, bins = DFL(case.params["n"]), case.params["n"]
    logits, target = case.given["pred"].double().requires_grad_(), case.given["target"].double()
    ours = loss(logits[None, :, None], target[None, :, None])[0, :, 0]
    assert bool(case.expected) == (not (target == bins).any())
    if not case.expected:
        torch.testing.assert_close(ours[target == bins], -logits.log_softmax(-1)[target == bins, bins])
        nearly = loss(logits[None, :, None], (target - 1e-9).clamp_min(0)[None, :, None])[0, :, 0]
        torch.testing.assert_close(ours, nearly)
        return
    torch.testing.assert_close(ours.detach(), case.expected["none"])
    total = ours.sum() / 4  # of the four sides of a box
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(total.detach(), case.expected["loss"])
    torch.testing.assert_close(gradient, case.expected["grad_pred"])
