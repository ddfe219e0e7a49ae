"""What every regression loss must keep to."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def boxes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Valid as boxes, as codes, and as distances in bins."""
    corner = torch.rand(*shape, 2) * 4
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2) * 4], dim=-1).to(dtype)


def prediction(loss, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Boxes or codes, or the logits of their distributions."""
    if loss.space == "distribution":
        return torch.randn(*shape, 4, loss.bins + 1).to(dtype)
    return boxes(*shape, dtype=dtype)


def exact(loss, target: Tensor) -> Tensor:
    """The prediction that cannot be better."""
    if loss.space == "distribution":
        return F.one_hot(target.long(), loss.bins + 1) * 100.0
    return target


@pytest.mark.parametrize("shape", [(2, 5), (1, 1), (2, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_one_loss_a_box_or_a_number_of_its_code_in_their_dtype(regression_loss, shape, dtype):
    loss = regression_loss(prediction(regression_loss, *shape, dtype=dtype), boxes(*shape, dtype=dtype))
    assert (loss.shape, loss.dtype) == (shape_of(regression_loss, *shape), dtype)
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()


def shape_of(loss, *shape: int) -> tuple[int, ...]:
    return shape if loss.space == "box" else (*shape, 4)


def test_says_what_it_compares(regression_loss):
    assert regression_loss.space in ("code", "box", "distribution")


def test_the_target_itself_has_no_loss_and_a_finite_gradient(regression_loss):
    target = boxes(2, 5).round()  # between two bins no distribution is without loss
    predicted = exact(regression_loss, target).requires_grad_()
    loss = regression_loss(predicted, target)
    torch.testing.assert_close(loss, torch.zeros(shape_of(regression_loss, 2, 5)), atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(loss.sum(), predicted)
    assert torch.isfinite(gradient).all()


ODD = [[5.0, 5, 5, 5], [6.0, 6, 4, 4], [5.0, 5, 7, 5], [1e4, 1e4, 2e4, 2e4], [5.0, 5, 7, 7]]


@pytest.mark.parametrize("predicted", ODD, ids=str)
@pytest.mark.parametrize("target", [[5.0, 5, 7, 7], [5.0, 5, 5, 5], [5.0, 5, 7, 5]], ids=str)
def test_odd_boxes_have_finite_losses_and_moderate_gradients(regression_loss, predicted, target):
    leaf = torch.tensor([[predicted]])
    if regression_loss.space == "distribution":  # as far apart as the numbers are, with the mass at one end
        leaf = torch.linspace(0, 1, regression_loss.bins + 1) * leaf.unsqueeze(-1)
    leaf = leaf.requires_grad_()
    loss = regression_loss(leaf, torch.tensor([[target]]))
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert torch.isfinite(loss).all()
    assert (gradient.abs() < 100).all()


def test_a_batch_equals_its_images_one_by_one(regression_loss):
    predicted, target = prediction(regression_loss, 3, 5), boxes(3, 5)
    alone = [regression_loss(predicted[b : b + 1], target[b : b + 1]) for b in range(3)]
    torch.testing.assert_close(regression_loss(predicted, target), torch.cat(alone))


def test_gradcheck(differentiable_regression_loss):
    """Of those whose gradient is that of the whole loss; where a factor is held fixed, oracle/ compares it."""
    predicted = prediction(differentiable_regression_loss, 2, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(differentiable_regression_loss, (predicted, boxes(2, 5, dtype=torch.float64)))


def test_is_captured_as_one_graph_once(regression_loss, capture):
    """A compiler is given the values alone and differentiates them; the slopes by formula must be the same."""
    compiled = capture(regression_loss)
    for _ in range(2):
        predicted, target = prediction(regression_loss, 2, 5), boxes(2, 5)
        captured, eager = predicted.clone().requires_grad_(), predicted.clone().requires_grad_()
        loss, expected = compiled(captured, target), regression_loss(eager, target)
        torch.testing.assert_close(loss, expected)
        (gradient,) = torch.autograd.grad(loss.sum(), captured)
        torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), eager)[0])
