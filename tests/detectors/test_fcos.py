"""FCOS: samples are points, and centre-ness."""

import pytest
import torch

from hardmine import recipes, wrap
from hardmine.detectors.fcos import centerness
from hardmine.errors import EvidenceError


def test_ohem_with_nms_is_refused_because_points_have_no_boxes(make_model):
    with pytest.raises(EvidenceError, match=r"'ohem' in slot 'select' of fcos's dense head: OHEM needs boxes"):
        wrap(make_model("fcos"), recipes.ohem())


@pytest.mark.parametrize("recipe", [recipes.ohem(nms_iou=None), recipes.ohem_mmdet()], ids=lambda r: r.name)
def test_ohem_without_nms_is_taken(recipe, make_model, make_batch):
    losses = wrap(make_model("fcos"), recipe).train()(*make_batch(0))
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())


def test_centerness_is_one_in_the_middle_and_falls_to_the_sides():
    sides = torch.tensor([[2.0, 2, 2, 2], [1, 2, 4, 2], [1, 1, 4, 4]])
    assert centerness(sides).tolist() == pytest.approx([1, 0.5, 0.25])


def test_a_point_outside_its_box_has_no_centerness():
    """SimOTA takes points near a small object's centre, whether they lie in the object or not."""
    assert centerness(torch.tensor([[-1.0, 1, 4, 2], [-1, -2, 4, 5], [0, 1, 3, 1]])).tolist() == [0, 0, 0]


def test_objects_smaller_than_a_stride_leave_simota_finite(make_model, loss_and_gradients):
    model = make_model("fcos")
    corner = torch.rand(300, 2) * 80
    boxes = torch.cat([corner, corner + 1 + torch.rand(300, 2) * 6], dim=-1)
    target = {"boxes": boxes, "labels": torch.randint(0, 3, (300,))}
    detector = wrap(model, recipes.simota()).train()
    losses, gradients = loss_and_gradients(detector, model, [torch.rand(3, 96, 96)], [target])
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values() if gradient is not None)
