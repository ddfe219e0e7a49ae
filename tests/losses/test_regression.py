"""Arguments, and boxes where others' losses break; the numbers are compared in oracle/ and golden/."""

import math

import pytest
import torch

from hardmine import ASL1, BalancedL1, CIoU, DIoU, GIoU, IoU, SmoothL1
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmoothL1(-1), "SmoothL1 needs beta >= 0, got -1"),
        (lambda: SmoothL1(math.nan), "SmoothL1 needs beta >= 0, got nan"),
        (lambda: ASL1(0), "ASL1 needs mu > 0, got 0"),
        (lambda: BalancedL1(alpha=0), "BalancedL1 needs alpha > 0, .* got 0, 1.0 and 1.5"),
        (lambda: BalancedL1(beta=0), "BalancedL1 needs .* beta > 0 .* got 0.5, 0 and 1.5"),
        (lambda: BalancedL1(gamma=-1), r"BalancedL1 needs .* gamma in \(0, 50 alpha\], got 0.5, 1.0 and -1"),
        (lambda: BalancedL1(gamma=1000), "BalancedL1 needs .* got 0.5, 1.0 and 1000"),
        (lambda: IoU("ln"), "unknown mode 'ln'; .*log"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


OF_BOXES = [IoU(), IoU("log"), GIoU(), DIoU(), CIoU()]
NAMES = ["IoU", "IoU, log", "GIoU", "DIoU", "CIoU"]


def with_gradient(loss, predicted, target) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = predicted.clone().requires_grad_()
    values = loss(leaf, target)
    return values.detach(), torch.autograd.grad(values.sum(), leaf)[0]


@pytest.mark.parametrize("loss", OF_BOXES, ids=NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_perfect_box_has_exactly_no_loss_and_a_finite_gradient(loss, dtype):
    """mmdetection's CIoU is NaN here in float32, since it divides 1 - IoU = 0 and no difference in shape: 0 / 0."""
    corner = torch.rand(1, 50, 2) * 500
    boxes = torch.cat([corner, corner + 2 + torch.rand(1, 50, 2) * 200], dim=-1).to(dtype)
    values, gradient = with_gradient(loss, boxes, boxes)
    assert (values == 0).all()
    assert torch.isfinite(gradient).all()


WITHOUT_EXTENT = torch.tensor([[[5.0, 5, 5, 5], [5, 5, 9, 5], [5, 5, 5, 9], [7, 7, 7, 7], [5, 5, 5 + 1e-30, 5]]])


@pytest.mark.parametrize("loss", OF_BOXES, ids=NAMES)
@pytest.mark.parametrize("target", [[5.0, 5, 9, 9], [5.0, 5, 5, 5], [5.0, 5, 9, 5]], ids=str)
def test_boxes_without_extent_have_finite_losses_and_moderate_gradients(loss, target):
    """torchvision's CIoU is NaN here, since it divides the width by the height."""
    values, gradient = with_gradient(loss, WITHOUT_EXTENT, torch.tensor(target).expand(1, 5, 4))
    assert torch.isfinite(values).all()
    assert (gradient.abs() < 100).all()


@pytest.mark.parametrize("loss", OF_BOXES, ids=NAMES)
def test_tiny_boxes_have_finite_gradients(loss):
    """At 1e-20 the square of a side is hardly a number any more, and its inverse is none."""
    for side in torch.logspace(-38, 0, 39).tolist():
        predicted, target = torch.tensor([[[5.0, 5, 5, 5]]]), torch.tensor([[[0.0, 0, side, side / 2]]])
        for first in (predicted, target, target * 2):
            values, gradient = with_gradient(loss, first, target)
            assert torch.isfinite(values).all()
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [DIoU(), CIoU()], ids=["DIoU", "CIoU"])
def test_a_box_that_does_not_overlap_is_drawn_nearer(loss):
    """Where IoU by itself has nothing to say."""
    predicted, target = torch.tensor([[[0.0, 0, 4, 4]]]), torch.tensor([[[10.0, 0, 14, 4]]])
    _, gradient = with_gradient(loss, predicted, target)
    assert gradient[0, 0, [0, 2]].sum() < 0
    for mode in ("linear", "log"):
        assert (with_gradient(IoU(mode), predicted, target)[1] == 0).all()


@pytest.mark.parametrize("loss", OF_BOXES, ids=NAMES)
def test_large_boxes_do_not_overflow_in_half_precision(loss):
    predicted, target = torch.tensor([[[0.0, 0, 1024, 1024]]]), torch.tensor([[[0.0, 512, 1024, 1024]]])
    half, gradient = with_gradient(loss, predicted.half(), target.half())
    torch.testing.assert_close(half.float(), loss(predicted, target), rtol=1e-3, atol=1e-3)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [IoU(), IoU("log"), DIoU(), CIoU()], ids=["IoU", "IoU, log", "DIoU", "CIoU"])
def test_inverted_boxes_overlap_nothing(loss):
    target = torch.tensor([[[5.0, 5, 9, 9]]]).expand(1, 3, 4)
    inverted = torch.tensor([[[9.0, 9, 5, 5], [9, 5, 5, 9], [5, 9, 9, 5]]])
    values, gradient = with_gradient(loss, inverted, target)
    assert (values >= 1).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("beta", [0.25, 1.0, 3.0])
def test_balanced_l1_has_its_two_pieces_meet_and_its_least_loss_at_the_target(beta):
    loss = BalancedL1(beta=beta)
    d = torch.tensor([[[0.0, beta - 1e-7, beta, beta + 1e-7]]], dtype=torch.float64, requires_grad=True)
    values = loss(d, torch.zeros_like(d))
    (gradient,) = torch.autograd.grad(values.sum(), d)
    assert values[0, 0, 0] == gradient[0, 0, 0] == 0
    torch.testing.assert_close(values[0, 0, 1:], values[0, 0, 2].expand(3), rtol=0, atol=1e-6)
    assert gradient[0, 0, 1:].tolist() == pytest.approx([1.5] * 3, abs=1e-6)


@pytest.mark.parametrize(
    ("error", "dtype"), [(1e30, torch.float32), (3e4, torch.float16), (1e-6, torch.float32)], ids=str
)
def test_asl1_survives_errors_whose_square_does_not(error, dtype):
    """d² overflows or vanishes beside μ²; √(d² + μ²) - μ would be inf or noise."""
    predicted = torch.tensor([[[error]]], dtype=dtype)
    values, slope = with_gradient(ASL1(0.02), predicted, torch.zeros_like(predicted))
    expected = math.hypot(error, 0.02) - 0.02 if error > 1 else error**2 / 0.04
    torch.testing.assert_close(values, torch.full_like(values, expected))
    torch.testing.assert_close(slope, torch.full_like(slope, error / math.hypot(error, 0.02)))
