"""Each way in which a target can be of the wrong form, and what of it is an object."""

import pytest
import torch
from torchvision.tv_tensors import BoundingBoxes

from hardmine.detectors.targets import check_targets, missed_of, split_crowds, weights_of
from hardmine.errors import ShapeError

IMAGES = [torch.zeros(3, 20, 30)] * 3
NEEDED = ("boxes", "labels", "masks", "keypoints")


def target() -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.tensor([[1.0, 2, 8, 9], [3.0, 4, 9, 9]]),
        "labels": torch.tensor([1, 2]),
        "iscrowd": torch.tensor([0, 1]),
        "weights": torch.tensor([0.5, 7.0]),
        "masks": torch.ones(2, 20, 30, dtype=torch.uint8),
        "keypoints": torch.ones(2, 5, 3),
    }


def empty() -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.zeros(0, 4),
        "labels": torch.tensor([]),  # of what type nothing is makes no difference
        "masks": torch.zeros(0, 20, 30),
        "keypoints": torch.zeros(0, 5, 3),
    }


WRONG = {
    "boxes of nothing": ("boxes", torch.tensor([]), r"\(0,\).*image without objects has boxes torch.zeros\(0, 4\)"),
    "one box": ("boxes", torch.ones(4), r"\(4,\), expected .* \(G, 4\)"),
    "five numbers": ("boxes", torch.ones(2, 5), r"\(2, 5\)"),
    "whole numbers": ("boxes", torch.ones(2, 4).long(), "int64 .* expected floating point"),
    "list": ("boxes", [[1.0, 2, 8, 9]], "list, expected a tensor"),
    "xywh": (
        "boxes",
        BoundingBoxes(torch.ones(2, 4), format="XYWH", canvas_size=(20, 30)),
        "format XYWH, expected XYXY",
    ),
    "fractions": ("labels", torch.tensor([1.5, 2]), "float32 .* expected integer numbers"),
    "truths": ("labels", torch.tensor([True, False]), "bool .* expected integer numbers"),
    "one label": ("labels", torch.tensor([1]), r"\(1,\), expected .* \(G,\) with G = 2"),
    "one number": ("labels", torch.tensor(1), r"\(\), expected"),
    "column": ("labels", torch.tensor([[1], [2]]), r"\(2, 1\)"),
    "none": ("labels", None, "NoneType, expected a tensor"),
    "one crowd": ("iscrowd", torch.tensor([1]), r"\(1,\), expected .* with G = 2"),
    "one weight": ("weights", torch.ones(1), r"\(1,\), expected .* with G = 2"),
    "three weights": ("weights", torch.ones(3), r"\(3,\), expected .* with G = 2"),
    "weights in a column": ("weights", torch.ones(2, 1), r"\(2, 1\)"),
    "complex weights": ("weights", torch.ones(2, dtype=torch.complex64), "complex64 .* expected real"),
    "masks of another image": (
        "masks",
        torch.ones(2, 30, 20),
        r"\(2, 30, 20\), expected .* with G = 2, H = 20, W = 30",
    ),
    "one mask": ("masks", torch.ones(1, 20, 30), r"\(1, 20, 30\)"),
    "points in a plane": ("keypoints", torch.ones(2, 5, 2), r"\(2, 5, 2\), expected .* \(G, K, 3\)"),
    "whole points": ("keypoints", torch.ones(2, 5, 3).long(), "expected floating point"),
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_a_field_of_the_wrong_form_is_named(wrong):
    name, value, expected = WRONG[wrong]
    targets = [target(), target() | {name: value}, target()]
    with pytest.raises(ShapeError, match=f"image 1 of the batch, '{name}': got .*{expected}"):
        check_targets(IMAGES, targets, NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_field_is_named(name):
    targets = [target(), target(), {key: value for key, value in target().items() if key != name}]
    with pytest.raises(ShapeError, match=f"image 2 of the batch: its target has no '{name}', only '"):
        check_targets(IMAGES, targets, NEEDED)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (None, "got 3 images and none targets"),
        ([target()], "got 3 images and 1 targets"),
        (target(), "a dict, not a list, of targets"),
        (iter([target()] * 3), "not a list, of targets"),
        ([target(), target(), [target()]], "image 2 of the batch: got a target of type list, expected a dict"),
        ([target(), None, target()], "image 1 of the batch: got a target of type NoneType, expected a dict"),
    ],
    ids=["none", "too few", "one dict", "iterator", "list", "none among them"],
)
def test_what_is_no_list_of_one_target_an_image_is_named(targets, expected):
    with pytest.raises(ShapeError, match=expected):
        check_targets(IMAGES, targets, NEEDED)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_right_targets_pass(dtype):
    others = {"image_id": 7, "area": None, "scores": torch.ones(9)}  # fields that are not read
    boxes = BoundingBoxes(target()["boxes"], format="XYXY", canvas_size=(20, 30))
    targets = (target() | {"labels": target()["labels"].to(dtype)}, empty() | others, target() | {"boxes": boxes})
    check_targets(IMAGES, targets, NEEDED)


def test_masks_are_not_looked_at_where_nothing_learns_from_them():
    check_targets(IMAGES[:1], [target() | {"masks": torch.zeros(7)}], ("boxes", "labels"))


def test_no_value_is_read():
    """A tensor on the meta device has a shape and no values: looking at one fails."""
    check_targets(IMAGES[:1], [{name: value.to("meta") for name, value in target().items()}], NEEDED)


def test_crowds_are_taken_out_of_every_field():
    objects, crowds = split_crowds([target(), empty()], NEEDED)
    assert [boxes.tolist() for boxes in crowds] == [[[3, 4, 9, 9]], []]
    assert objects[0].keys() == {*NEEDED, "weights"}
    for name, values in objects[0].items():
        assert torch.equal(values, target()[name][:1])
    assert all(len(values) == 0 for values in objects[1].values())


def test_without_crowds_there_are_no_regions():
    objects, crowds = split_crowds([target() | {"iscrowd": torch.zeros(2)}, empty()], ("boxes", "labels"))
    assert crowds is None
    assert objects[0].keys() == {"boxes", "labels", "weights"}
    assert len(objects[0]["boxes"]) == 2


def test_weights_are_one_where_a_target_has_none():
    unweighted = {"boxes": torch.zeros(3, 4)}
    assert weights_of([unweighted, empty()]) is None
    weights = weights_of([target() | {"weights": torch.tensor([2, 0])}, unweighted])
    assert [weight.tolist() for weight in weights] == [[2.0, 0.0], [1.0, 1.0, 1.0]]
    assert all(weight.dtype == torch.float32 for weight in weights)


def test_proposals_are_as_many_as_they_like_and_no_objects():
    given = target() | {"proposals": torch.ones(7, 4)}
    check_targets(IMAGES[:1], [given], (*NEEDED, "proposals"))
    check_targets(IMAGES[:1], [{"proposals": torch.ones(7, 4)}], ["proposals"])
    with pytest.raises(ShapeError, match=r"image 0 of the batch, 'proposals': .*\(7, 3\), expected .* \(P, 4\)"):
        check_targets(IMAGES[:1], [given | {"proposals": torch.ones(7, 3)}], (*NEEDED, "proposals"))
    (objects,), _ = split_crowds([given], (*NEEDED, "proposals"))
    assert (len(objects["boxes"]), len(objects["proposals"])) == (1, 7)


def test_nothing_is_missed_where_a_target_does_not_say_so():
    silent = {"boxes": torch.rand(3, 4)}
    assert missed_of([silent, empty()]) is None
    missed = missed_of([target() | {"missed": torch.tensor([1, 0])}, silent])
    assert [marks.tolist() for marks in missed] == [[True, False], [False, False, False]]
    assert all(marks.dtype == torch.bool for marks in missed)


def test_the_mark_of_a_crowd_goes_with_it():
    marked = target() | {"iscrowd": torch.tensor([True, False]), "missed": torch.tensor([True, False])}
    objects, _ = split_crowds([marked], NEEDED)
    assert objects[0]["missed"].tolist() == [False]
