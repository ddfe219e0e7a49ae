"""IoU, DIoU and CIoU losses against torchvision's and mmdetection's.

Four differences, all meant:
- They add 1e-7 (torchvision) or 1e-6 (mmdetection) to denominators, or bound them from below by that. Ours takes a
  denominator of 0 for 1 and leaves all others as they are, so a box and itself have a loss of exactly 0. On boxes of
  some pixels that is no visible difference.
- A box without extent. torchvision's CIoU divides its width by its height: NaN. Ours takes the angle of its diagonal,
  and a point has the angle 0.
- An inverted box. Its negative sides give torchvision's and mmdetection's CIoU an angle below 0, and may give a union
  of any sign; ours takes them for 0, so that the shape term stays in [0, 1].
- mmdetection's CIoU looks at the shape only where IoU > 0.5 (a later variant of the method), and limits the loss to 2.
  Ours is the paper's, as torchvision's is. Where IoU <= 0.5 their loss is therefore our DIoU loss.

The float32 run of mmdetection's CIoU is NaN for a perfect box, see tests/losses/test_regression.py.
"""

import pytest
import torch
from torch import Tensor

from hardmine import CIoU, DIoU, IoU
from hardmine.core.boxes import paired_iou

GOLDEN = ("diou_tv", "diou_mmdet", "ciou_tv", "ciou_mmdet", "iou_log_mmdet")
LOSSES = {"diou": DIoU, "ciou": CIoU, "iou": lambda: IoU("log")}


@pytest.fixture
def pair(case) -> tuple[Tensor, Tensor]:
    return case.given["pred"].double().requires_grad_(), case.given["target"].double()


def with_gradient(loss: torch.nn.Module, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    values = loss(*(boxes[None] for boxes in pair))[0]
    (gradient,) = torch.autograd.grad(values.sum(), pair[0])
    return values.detach(), gradient


def is_upright(pair: tuple[Tensor, Tensor]) -> Tensor:
    """Whether both boxes have an area, (N,)."""
    return torch.stack([boxes[:, 2:] > boxes[:, :2] for boxes in pair]).all(dim=-1).all(dim=0)


def test_losses_and_gradients_agree_and_ours_are_always_finite(case, pair):
    name, library = case.method.split("_")[0], case.method.split("_")[-1]
    loss, gradient = with_gradient(LOSSES[name](), pair)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()
    if len(loss) == 0:
        assert loss.shape == case.expected["none"].shape
        return
    same = is_upright(pair)
    if case.method == "ciou_mmdet":
        loss, gradient = without_shape_below_half(loss, gradient, pair)
    close = {"rtol": 1e-6, "atol": 2e-6 if library == "mmdet" else 1e-7}
    torch.testing.assert_close(loss[same], case.expected["none"][same], **close)
    torch.testing.assert_close(gradient[same], case.expected["grad_pred"][same], **close)


def without_shape_below_half(loss: Tensor, gradient: Tensor, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    few, few_gradient = with_gradient(DIoU(), pair)
    overlaps = paired_iou(*pair) > 0.5
    return torch.where(overlaps, loss, few), torch.where(overlaps[:, None], gradient, few_gradient)


def test_complete_iou_differs_where_this_is_meant(case, pair):
    if not case.method.startswith("ciou") or len(pair[0]) == 0:
        return
    loss, _ = with_gradient(CIoU(), pair)
    theirs, upright = case.expected["none"], is_upright(pair)
    differs = ~((loss - theirs).abs() < 1e-5)  # or NaN
    if case.method == "ciou_tv":
        assert torch.equal(theirs.isnan(), has_a_point(pair))
        assert not differs[upright].any()
        return
    below_half = upright & (paired_iou(*pair) <= 0.5)
    assert not differs[upright & ~below_half].any()
    shape = loss - with_gradient(DIoU(), pair)[0]
    torch.testing.assert_close((loss - theirs)[below_half], shape[below_half], rtol=0, atol=2e-6)


def has_a_point(pair: tuple[Tensor, Tensor]) -> Tensor:
    """Whether one of the two boxes is a point, (N,)."""
    return torch.stack([boxes[:, 2:] == boxes[:, :2] for boxes in pair]).all(dim=-1).any(dim=0)
