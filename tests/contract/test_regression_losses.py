"""What every regression loss must keep to."""

import pytest
import torch
from torch import Tensor


def boxes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Valid as boxes and as codes."""
    corner = torch.rand(*shape, 2) * 4
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2) * 4], dim=-1).to(dtype)


@pytest.mark.parametrize("shape", [(2, 5), (1, 1), (2, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_one_loss_a_box_or_a_number_of_its_code_in_their_dtype(regression_loss, shape, dtype):
    loss = regression_loss(boxes(*shape, dtype=dtype), boxes(*shape, dtype=dtype))
    assert (loss.shape, loss.dtype) == (shape_of(regression_loss, *shape), dtype)
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()


def shape_of(loss, *shape: int) -> tuple[int, ...]:
    return (*shape, 4) if loss.space == "code" else shape


def test_says_what_it_compares(regression_loss):
    assert regression_loss.space in ("code", "box")


def test_the_target_itself_has_no_loss(regression_loss):
    target = boxes(2, 5)
    nothing = torch.zeros(shape_of(regression_loss, 2, 5))
    torch.testing.assert_close(regression_loss(target, target), nothing, atol=1e-6, rtol=0)


@pytest.mark.parametrize("predicted", [[5.0, 5, 5, 5], [6.0, 6, 4, 4], [1e4, 1e4, 2e4, 2e4], [5.0, 5, 7, 7]], ids=str)
def test_odd_boxes_have_finite_losses_and_gradients(regression_loss, predicted):
    leaf = torch.tensor([[predicted]]).requires_grad_()
    loss = regression_loss(leaf, torch.tensor([[[5.0, 5, 7, 7]]]))
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()


def test_a_batch_equals_its_images_one_by_one(regression_loss):
    predicted, target = boxes(3, 5), boxes(3, 5)
    alone = [regression_loss(predicted[b : b + 1], target[b : b + 1]) for b in range(3)]
    torch.testing.assert_close(regression_loss(predicted, target), torch.cat(alone))


def test_gradcheck(regression_loss):
    predicted, target = boxes(2, 5, dtype=torch.float64).requires_grad_(), boxes(2, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(regression_loss, (predicted, target))


def test_is_captured_as_one_graph_once(regression_loss, capture):
    compiled = capture(regression_loss)
    for _ in range(2):
        predicted, target = boxes(2, 5), boxes(2, 5)
        torch.testing.assert_close(compiled(predicted, target), regression_loss(predicted, target))
