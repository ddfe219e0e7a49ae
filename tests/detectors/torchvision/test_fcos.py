"""FCOS: samples are points, and centre-ness."""

import pytest
import torch

from hardmine import GroundTruth, recipes, wrap
from hardmine.core.samples import Levels
from hardmine.detectors.torchvision.fcos import centerness
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


def test_atss_gives_objects_points_of_the_level_of_their_size(make_model):
    """Compared by the size of their stride, the coarsest points overlap an object most whatever its size."""
    strides, levels, points = (8.0, 16.0, 32.0), [], []
    for stride in strides:
        at = torch.arange(0, 256, stride)
        centre = torch.cartesian_prod(at, at)
        points.append(torch.cat([centre - stride / 2, centre + stride / 2], dim=-1))
        levels.append(torch.full((len(centre),), stride))
    pyramid = Levels(tuple(map(len, levels)), strides, (1, 1, 1))
    objects = torch.tensor([[90.0, 90, 154, 154], [1, 1, 255, 255]])  # 8 strides of the first level, and of the last
    ground_truth = GroundTruth.from_lists([objects], [torch.zeros(2, dtype=torch.int64)])
    assigner = wrap(make_model("fcos"), recipes.atss()).head.assigner
    matched = assigner(torch.cat(points)[None], ground_truth, levels=pyramid).matched_gt[0]
    assert [set(torch.cat(levels)[matched == gt].tolist()) for gt in (0, 1)] == [{8.0}, {32.0}]
