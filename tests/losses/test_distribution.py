"""Arguments and shapes, and targets at and beyond both ends; the numbers are compared in oracle/ and golden/."""

import pytest
import torch

from hardmine import DFL
from hardmine.errors import ConfigError, ShapeError


def test_no_bins_are_refused():
    with pytest.raises(ConfigError, match="DFL needs bins >= 1, got 0"):
        DFL(0)


@pytest.mark.parametrize("shape", [(2, 5, 4, 16), (2, 5, 17), (2, 5, 3, 17)])
def test_logits_that_do_not_fit_are_refused(shape):
    with pytest.raises(ShapeError, match=r"DFL got logits .* and targets \(2, 5, 4\); expected \(B, N, 4, 17\)"):
        DFL()(torch.zeros(shape), torch.zeros(2, 5, 4))


def test_the_last_bin_is_a_target_like_any_other_and_the_ends_hold_what_lies_outside():
    logits = torch.randn(1, 1, 4, 4)
    loss = DFL(3)(logits, torch.tensor([[[3.0, 7.5, 0.0, -2.0]]]))
    log_p = logits.log_softmax(-1)[0, 0]
    torch.testing.assert_close(loss[0, 0], -torch.stack([log_p[0, 3], log_p[1, 3], log_p[2, 0], log_p[3, 0]]))


def test_a_target_that_is_not_a_number_reads_no_bin_that_is_not_there():
    loss = DFL(3)(torch.zeros(1, 1, 4, 4), torch.tensor([[[torch.nan, 1.0, torch.inf, -torch.inf]]]))
    assert torch.isfinite(loss[0, 0, 1:]).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [50.0, 1e4])
def test_saturated_logits_give_finite_losses_and_gradients(dtype, size):
    logits = (torch.randn(2, 3, 4, 17).sign() * size).to(dtype).requires_grad_()
    loss = DFL()(logits, (torch.rand(2, 3, 4) * 16).to(dtype))
    (gradient,) = torch.autograd.grad(loss.float().sum(), logits)
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()


def test_the_best_distribution_has_the_target_as_its_mean():
    """At S_i = i + 1 - y and S_{i+1} = y - i the gradient is 0."""
    p = torch.tensor([1e-12, 0.7, 0.3, 1e-12], dtype=torch.float64)
    logits = p.log().expand(1, 1, 4, 4).clone().requires_grad_()
    loss = DFL(3)(logits, torch.full((1, 1, 4), 1.3, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)
