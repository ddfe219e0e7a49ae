"""GIoU against torchvision's (the same formula) and mmdetection's.

torchvision adds 1e-7 to both denominators and mmdetection bounds them from below by 1e-6; ours are as they are,
but that 0 becomes 1. mmdetection clamps the sides of the overlap but not of the areas. All agree on boxes of positive
area, and differ on empty boxes by what 0/0 is.
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
    if case.method == "giou_tv":
        torch.testing.assert_close(loss, theirs)
        torch.testing.assert_close(gradient, their_gradient)
        return
    sides = (predicted[:, 2:] - predicted[:, :2]).detach()
    same = (sides > 0).all(-1) & (target[:, 2:] > target[:, :2]).all(-1)
    torch.testing.assert_close(loss[same], theirs[same], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient[same], their_gradient[same], rtol=1e-5, atol=1e-6)
