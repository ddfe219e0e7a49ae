"""What every adapted detector takes and refuses, and what a crowd is."""

import pytest
import torch

from hardmine import recipes, wrap
from hardmine.errors import ConfigError, ShapeError
from tests.stand_in import StandInDetector, StandInModel


@pytest.fixture(params=["retinanet", "fasterrcnn", "ssd", "fcos"])
def detector(request, make_model):
    return wrap(make_model(request.param), recipes.random()).train()


def test_training_needs_one_target_an_image(detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    with pytest.raises(ShapeError, match="got 3 images and none targets"):
        detector(images)
    with pytest.raises(ShapeError, match="got 3 images and 2 targets"):
        detector(images, targets[:2])


@pytest.mark.parametrize(
    "box", [[10.0, 10, 10, 30], [20.0, 10, 10, 30], [torch.nan, 10, 20, 30]], ids=["empty", "inverted", "nan"]
)
def test_a_bad_box_is_named(box, detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    targets[2]["boxes"][1] = torch.tensor(box)
    with pytest.raises(ConfigError, match=r"image 2 of the batch, object 1: got .*, expected x2 > x1 and y2 > y1"):
        detector(images, targets)


@pytest.mark.parametrize("beyond", [-1, 3])
def test_a_label_out_of_range_is_named(beyond, detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    first = detector.label_offset
    targets[0]["labels"][2] = first + beyond
    expected = f"image 0 of the batch, object 2: got {first + beyond}, expected a label from {first} to {first + 2}"
    with pytest.raises(ConfigError, match=expected):
        detector(images, targets)


def test_boxes_and_labels_of_different_number_are_named(detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    targets[0]["labels"] = targets[0]["labels"][:-1]
    with pytest.raises(ShapeError, match=r"image 0 of the batch, 'labels': got .* \(2,\), expected .* with G = 3"):
        detector(images, targets)


def test_targets_are_not_changed(detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    copies = [{name: tensor.clone() for name, tensor in target.items()} for target in targets]
    detector(images, targets)
    for target, copy in zip(targets, copies, strict=True):
        assert all(torch.equal(target[name], copy[name]) for name in copy)


def test_a_crowd_is_neither_object_nor_background(detector, make_batch):
    """Watches the assigner: with a crowd over everything no sample is positive for it, and none is background."""
    images, targets = make_batch(detector.label_offset, (2, 0))
    for image, target in zip(images, targets, strict=True):
        everything = torch.tensor([[0.0, 0.0, image.shape[2], image.shape[1]]])
        target["boxes"] = torch.cat([target["boxes"], everything])
        target["labels"] = torch.cat([target["labels"], torch.tensor([detector.label_offset])])
        target["iscrowd"] = torch.tensor([0] * (len(target["labels"]) - 1) + [1])
    seen = []
    for assigner in [module for name, module in detector.named_modules() if name.endswith("assigner")]:
        assigner.register_forward_hook(lambda _, args, out: seen.append((args[1], args[0], out)))
    losses = detector(images, targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    for ground_truth, boxes, assignment in seen:
        assert ground_truth.is_object.sum(dim=1).tolist() == [2, 0]
        inside = (boxes[..., :2] >= 0).all(-1) & (boxes[..., 2:] <= 80).all(-1)
        assert not (assignment.is_negative & inside).any()
        assert not assignment.is_positive[1].any()


def test_targets_without_iscrowd_have_no_crowds(detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    torch.manual_seed(1)
    without = detector(images, targets)
    for target in targets:
        target["iscrowd"] = torch.zeros_like(target["labels"])
    torch.manual_seed(1)
    torch.testing.assert_close(detector(images, targets), without)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_named(weight, detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    targets[2]["weights"] = torch.ones(6)
    targets[2]["weights"][4] = weight
    with pytest.raises(ConfigError, match=r"image 2 of the batch, object 4: got .* expected a finite weight"):
        detector(images, targets)


def test_objects_of_targets_without_weights_count_once(detector, make_batch):
    images, targets = make_batch(detector.label_offset)
    torch.manual_seed(1)
    without = detector(images, targets)
    targets[0]["weights"] = torch.ones(3)
    torch.manual_seed(1)
    torch.testing.assert_close(detector(images, targets), without)


def test_freezing_survives_a_change_of_mode(detector):
    parameter = next(detector.model.parameters()).requires_grad_(False)
    detector.eval().train()
    assert not parameter.requires_grad
    assert detector.model.training


def test_the_final_head_is_that_of_the_detections(make_model):
    detectors = [wrap(make_model(name), recipes.random()) for name in ("retinanet", "fasterrcnn")]
    assert [detector.final_head.traits.name for detector in detectors] == ["dense", "roi"]
    layers = StandInDetector(StandInModel(3), recipes.random(), matches_sets=True)
    assert list(layers.heads) == ["last", "first"]
    assert layers.final_head is layers.heads["last"]
