"""Masks and keypoints beside the boxes, on torchvision's own models."""

import pytest
import torch
from torchvision.models import detection

from hardmine import recipes, wrap
from hardmine.detectors.torchvision.roi_branches import branch_fields
from hardmine.errors import ShapeError

BRANCHES = {
    "maskrcnn_resnet50_fpn": ("masks", "loss_mask"),
    "maskrcnn_resnet50_fpn_v2": ("masks", "loss_mask"),
    "keypointrcnn_resnet50_fpn": ("keypoints", "loss_keypoint"),
}


@pytest.mark.parametrize("name", list(BRANCHES))
def test_torchvisions_own_builders_train(name):
    torch.manual_seed(0)
    sizes = {"min_size": 64, "max_size": 64, "rpn_post_nms_top_n_train": 20}
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=3, **sizes)
    field, loss = BRANCHES[name]
    assert branch_fields(model.roi_heads) == (field,)
    target = {
        "boxes": torch.tensor([[10.0, 10, 50, 60]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 64, 64, dtype=torch.uint8),
        "keypoints": torch.tensor([[[20.0, 20, 1]] * 17]),
    }
    losses = wrap(model, recipes.random()).train()([torch.rand(3, 64, 64)], [target])
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", loss}
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses[loss] > 0


def test_a_detector_of_boxes_has_no_branches(make_model):
    assert branch_fields(make_model("fasterrcnn").roi_heads) == ()


@pytest.mark.parametrize(("name", "field"), [("maskrcnn", "masks"), ("keypointrcnn", "keypoints")])
def test_a_target_without_what_a_branch_learns_from_is_named(name, field, make_model, make_full_batch):
    images, targets = make_full_batch()
    del targets[1][field]
    with pytest.raises(ShapeError, match=f"image 1 of the batch: its target has no '{field}'"):
        wrap(make_model(name), recipes.random()).train()(images, targets)


def test_another_number_of_keypoints_is_named(make_model, make_full_batch):
    images, targets = make_full_batch()
    targets[2]["keypoints"] = targets[2]["keypoints"][:, :4]
    with pytest.raises(ShapeError, match="image 2 of the batch, 'keypoints': got 4 of an object, expected 5"):
        wrap(make_model("keypointrcnn"), recipes.random()).train()(images, targets)


@pytest.mark.parametrize("field", ["iscrowd", "weights"])
@pytest.mark.parametrize(("name", "loss"), [("maskrcnn", "loss_mask"), ("keypointrcnn", "loss_keypoint")])
def test_crowds_and_objects_of_weight_0_teach_a_branch_nothing(name, loss, field, make_model, make_full_batch):
    """Whatever the mask or the points of such an object are, the loss stays."""
    detector = wrap(make_model(name), recipes.random()).train()
    images, targets = make_full_batch((3, 0, 6))
    targets[0][field] = torch.tensor([0, 1, 0]) if field == "iscrowd" else torch.tensor([1.0, 0.0, 0.3])
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        losses.append(detector(images, targets)[loss])
        targets[0]["masks"][1] = 1 - targets[0]["masks"][1]
        targets[0]["keypoints"][1, :, :2] += 3
    assert losses[0] > 0
    assert losses[0] == losses[1]
