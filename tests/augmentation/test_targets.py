import pytest
import torch
from torchvision import tv_tensors

from hardmine.augmentation import joined
from hardmine.augmentation.targets import prepared, without_objects
from tests.augmentation.conftest import painted


def test_weights_of_either_are_kept_and_the_others_count_fully():
    image, target = painted((10, 10), [(0, 0, 2, 2)])
    _, other = painted((10, 10), [(4, 4, 6, 6), (7, 7, 9, 9)])
    assert "weights" not in joined(image, target, other)
    assert joined(image, target | {"weights": torch.tensor([0.5])}, other)["weights"].tolist() == [0.5, 1, 1]
    assert joined(image, target, other | {"weights": torch.tensor([0.5, 0.2])})["weights"].tolist() == pytest.approx(
        [1, 0.5, 0.2]
    )


def test_what_was_missed_on_either_stays_so():
    image, target = painted((10, 10), [(0, 0, 2, 2)])
    _, other = painted((10, 10), [(4, 4, 6, 6), (7, 7, 9, 9)])
    assert "missed" not in joined(image, target, other)
    assert joined(image, target | {"missed": torch.tensor([True])}, other)["missed"].tolist() == [True, False, False]
    missed = torch.tensor([False, True])
    assert joined(image, target, other | {"missed": missed})["missed"].tolist() == [False, False, True]


def test_what_is_added_is_no_object_of_the_image_itself():
    image, target = painted((10, 10), [(0, 0, 2, 2)])
    _, other = painted((10, 10), [(4, 4, 6, 6)])
    assert joined(image, target | {"place": torch.tensor([0])}, other)["place"].tolist() == [0, -1]


def test_boxes_that_are_added_are_proposals_where_there_are_such():
    image, target = painted((10, 10), [(0, 0, 2, 2)])
    _, other = painted((10, 10), [(4, 4, 6, 6)])
    both = joined(image, target | {"proposals": torch.tensor([[0.0, 0, 9, 9]])}, other)
    assert both["proposals"].tolist() == [[0, 0, 9, 9], [4, 4, 6, 6]]
    assert isinstance(both["boxes"], tv_tensors.BoundingBoxes)
    assert "proposals" not in joined(image, target, other)


def test_a_target_that_says_nothing_of_crowds_has_none():
    image, target = painted((10, 10), [(0, 0, 2, 2)])
    del target["iscrowd"]
    assert prepared(image, target)[1]["iscrowd"].tolist() == [False]


def test_what_is_said_of_the_image_outlasts_its_objects():
    _, target = painted((10, 10), [(0, 0, 2, 2)])
    bare = without_objects(target)
    assert bare["image_id"] == 7
    assert [len(bare[name]) for name in ("boxes", "labels", "iscrowd")] == [0, 0, 0]
