"""GIoU against torchvision's (the same formula) and mmdetection's.

torchvision adds 1e-7 to both denominators and mmdetection bounds them from below by 1e-6; ours are as they are,
but that 0 becomes 1. All agree on boxes of positive area, and differ on empty boxes by what 0/0 is. Neither clamps the
sides of an inverted box, whose area may then be below 0 and the union anything.
"""

import torch

from hardmine import GIoU

GOLDEN = ("giou_tv", "giou_mmdet")


def test_losses_and_gradients_agree(case):
    predicted, target = case.given["pred"].double().requires_grad_(), case.given["target"].double()
    loss = GIoU()(predicted[None], target[None])[0]
    if len(predicted) == 0:  # they give one 0
        assert loss.shape == case.expected["none"].shape
        return
    (gradient,) = torch.autograd.grad(loss.sum(), predicted)
    theirs, their_gradient = case.expected["none"], case.expected["grad_pred"]
    shortest = torch.cat([boxes[:, 2:] - boxes[:, :2] for boxes in (predicted.detach(), target)], dim=1).amin(dim=1)
    same, close = shortest > 0, {"rtol": 1e-6, "atol": 1e-7 if case.method == "giou_tv" else 1e-6}
    torch.testing.assert_close(loss.detach()[same], theirs[same], **close)
    torch.testing.assert_close(gradient[same], their_gradient[same], **close)
