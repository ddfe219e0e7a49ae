"""Values with slopes of their own: the gradient is the slope times what comes in, and nothing else is kept."""

import pytest
import torch
from torch import Tensor

from hardmine.core.slopes import Sloped, held_fixed, with_slope


def scaled_square(x: Tensor, scale: Tensor) -> Sloped:
    return scale * x**2, lambda: 2 * scale * x


def squared_norm(x: Tensor) -> Sloped:
    return x.square().sum(-1), lambda: 2 * x


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_of_each_number_and_of_each_row():
    scale = torch.rand(5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: with_slope(scaled_square, x, scale), leaf(5, 3))
    assert torch.autograd.gradcheck(lambda x: with_slope(squared_norm, x), leaf(5, 3))


def test_others_have_no_gradient():
    x, scale = leaf(4), leaf(4)
    value = with_slope(scaled_square, x, scale)
    assert torch.autograd.grad(value.sum(), (x, scale), allow_unused=True)[1] is None


def test_without_gradient_no_slope_is_sought():
    def unsought(x: Tensor) -> Sloped:
        return x**2, lambda: pytest.fail("a slope was sought")

    assert not with_slope(unsought, torch.ones(2)).requires_grad
    with torch.no_grad():
        assert not with_slope(unsought, leaf(2)).requires_grad


def test_a_second_derivative_is_refused():
    x = leaf(3)
    (slope,) = torch.autograd.grad((with_slope(squared_norm, x) * leaf(1)).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_what_is_held_fixed_has_no_slope():
    value, slope = held_fixed(leaf(2))
    assert not value.requires_grad
    assert slope().tolist() == [0, 0]


def test_a_compiler_finds_the_same_gradient_by_itself():
    x = leaf(5, 3)
    value = torch.compile(lambda x: with_slope(squared_norm, x), fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), x)[0], 2 * x)
