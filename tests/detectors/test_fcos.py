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
