"""Cross entropy of pixels: values and gradients are those of torch, whichever pixels have a gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.planes import cross_entropy_of_planes, lies_in_planes, sees_only_valid
from hardmine.core.samples import IGNORE


def pixels(dtype: torch.dtype = torch.float64, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits (B, C, N) with their gradient, and columns (B, N) of which some are ignored."""
    column = torch.randint(0, classes, (2, 12))
    column[0, :3] = column[1, 5] = IGNORE
    return torch.randn(2, classes, 12, dtype=dtype).mul_(3).requires_grad_(), column


def test_planes_are_told_by_how_they_lie():
    planes = torch.zeros(2, 4, 12)
    assert lies_in_planes(planes.transpose(1, 2))
    assert not lies_in_planes(torch.zeros(2, 12, 4))
    assert not lies_in_planes(planes[:, :, ::2].transpose(1, 2))
    assert sees_only_valid(planes.transpose(1, 2))
    assert not sees_only_valid(planes.transpose(1, 2).to("meta"))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_values_and_gradients_are_those_of_torch(share):
    """Few pixels with a gradient are picked out; of many all are worked out."""
    planes, column = pixels()
    outer = torch.rand(2, 12, dtype=torch.float64) * (torch.rand(2, 12) < share)
    ours = cross_entropy_of_planes(planes.transpose(1, 2), column)
    theirs = F.cross_entropy(planes, column, ignore_index=IGNORE, reduction="none")
    torch.testing.assert_close(ours, theirs)
    (expected,) = torch.autograd.grad(theirs, planes, outer)
    torch.testing.assert_close(torch.autograd.grad(ours, planes, outer)[0], expected)


@pytest.mark.parametrize("counts_all", [False, True])
def test_gradcheck(counts_all):
    planes, column = pixels()
    counted = torch.ones(2, 12) if counts_all else (torch.arange(24).view(2, 12) % 5 == 0).double()
    assert torch.autograd.gradcheck(lambda z: cross_entropy_of_planes(z.transpose(1, 2), column) * counted, planes)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
@pytest.mark.parametrize("outer", [0.0, 1.0])
def test_what_ignored_pixels_hold_changes_nothing(poison, outer):
    planes, column = pixels()
    poisoned = planes.detach().masked_fill((column == IGNORE).unsqueeze(1), poison).requires_grad_()
    loss = cross_entropy_of_planes(poisoned.transpose(1, 2), column)
    assert (loss[column == IGNORE] == 0).all()
    (gradient,) = torch.autograd.grad(loss, poisoned, torch.full_like(loss, outer))
    assert torch.isfinite(gradient).all()
    assert (gradient.transpose(1, 2)[column == IGNORE] == 0).all()


def test_elsewhere_it_is_torch_s_own():
    planes, column = pixels()
    meta = cross_entropy_of_planes(planes.to("meta").transpose(1, 2), column.to("meta"))
    assert meta.shape == column.shape
    assert "OfPlanes" not in type(meta.grad_fn).__name__


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_saturated_logits_have_finite_losses_and_gradients(size):
    planes, column = pixels(torch.float32)
    saturated = (planes.detach().sign() * size).requires_grad_()
    loss = cross_entropy_of_planes(saturated.transpose(1, 2), column)
    (gradient,) = torch.autograd.grad(loss.sum(), saturated)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()
