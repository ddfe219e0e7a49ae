import pytest
import torch

from hardmine.data import collate, training_transform
from hardmine.errors import ConfigError


def example(boxes=((1.0, 2.0, 4.0, 6.0),)):
    image = torch.arange(3 * 8 * 10, dtype=torch.uint8).reshape(3, 8, 10)
    boxes = torch.tensor(boxes).reshape(-1, 4)
    labels, crowd = torch.ones(len(boxes), dtype=torch.int64), torch.zeros(len(boxes), dtype=torch.bool)
    return image, {"boxes": boxes, "labels": labels, "iscrowd": crowd, "image_id": 7}


@pytest.mark.parametrize(
    ("probabilities", "axes", "box"),
    [
        ((0, 0), [], [1, 2, 4, 6]),
        ((1, 0), [2], [6, 2, 9, 6]),
        ((0, 1), [1], [1, 2, 4, 6]),
        ((1, 1), [1, 2], [6, 2, 9, 6]),
    ],
)
def test_flips_take_the_boxes_along(probabilities, axes, box):
    image, target = example()
    flipped, changed = training_transform(*probabilities)(image, target)
    assert torch.equal(flipped, image.flip(axes))
    assert changed["boxes"].tolist() == [box]
    assert (changed["labels"].tolist(), changed["image_id"]) == ([1], 7)
    assert type(flipped) is type(changed["boxes"]) is torch.Tensor
    assert target["boxes"].tolist() == [[1, 2, 4, 6]]


@pytest.mark.parametrize("flips", [(0, 0), (1, 0), (0, 1)])
def test_proposals_move_as_boxes_do(flips):
    image, target = example(((1.0, 2.0, 4.0, 6.0), (0.0, 0.0, 10.0, 8.0)))
    _, changed = training_transform(*flips)(image, target | {"proposals": target["boxes"].flip(0)})
    assert torch.equal(changed["proposals"], changed["boxes"].flip(0))
    assert type(changed["proposals"]) is torch.Tensor


def test_proposals_outside_of_what_is_cut_out_are_gone():
    image = torch.zeros(3, 100, 100, dtype=torch.uint8)
    corner = torch.cartesian_prod(torch.arange(0.0, 100, 10), torch.arange(0.0, 100, 10))
    everywhere = torch.cat([corner, corner + 10], dim=1)
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "iscrowd": torch.zeros(0).bool()}
    cut, changed = training_transform(0, 0, crop=1.0)(image, nothing | {"proposals": everywhere})
    height, width = cut.shape[-2:]
    sides = changed["proposals"][:, 2:] - changed["proposals"][:, :2]
    assert sides.prod(dim=1).sum() == height * width
    assert (sides > 0).all()


def test_images_without_objects_pass():
    _, changed = training_transform(1.0)(*example(()))
    assert changed["boxes"].shape == (0, 4)


def test_same_seed_same_flips():
    def flips():
        torch.manual_seed(3)
        return [training_transform()(*example())[1]["boxes"].tolist() for _ in range(20)]

    assert flips() == flips()
    assert len({str(boxes) for boxes in flips()}) == 2


@pytest.mark.parametrize(
    "arguments", [{"flip_horizontal": 1.1}, {"flip_vertical": -0.1}, {"flip_vertical": float("nan")}, {"crop": 2.0}]
)
def test_probabilities_outside_their_range_are_refused(arguments):
    with pytest.raises(ConfigError, match="expected a probability from 0 to 1"):
        training_transform(**arguments)


def test_collate_keeps_images_of_different_sizes_apart():
    (image, target), other = example(), torch.full((3, 4, 4), 255, dtype=torch.uint8)
    images, targets = collate([(image, target), (other, {"boxes": torch.zeros(0, 4)})])
    assert [tuple(i.shape) for i in images] == [(3, 8, 10), (3, 4, 4)]
    assert images[1].dtype == torch.float32
    assert images[1].min() == images[1].max() == 1.0
    assert targets[0] is target


def test_a_crop_keeps_what_is_visible_and_ignores_slivers():
    everywhere = torch.stack([torch.arange(100.0) % 10 * 10, torch.arange(100) // 10 * 10.0], dim=1)
    boxes = torch.cat([everywhere, everywhere + 10], dim=1)
    labels = torch.arange(100)
    crowd, image = torch.zeros(100, dtype=torch.bool), torch.zeros(3, 100, 100, dtype=torch.uint8)
    image[:] = (torch.arange(100)[:, None] // 10 * 10 + torch.arange(100) // 10).to(torch.uint8)  # the box's label
    target = {"boxes": boxes, "labels": labels, "iscrowd": crowd, "weights": labels.float(), "image_id": 7}
    target["missed"] = labels % 2 == 0
    torch.manual_seed(0)
    slivers = 0
    for flip in [0.0, 1.0] * 10:
        cut, changed = training_transform(flip, 0, crop=1.0)(image, target)
        height, width = cut.shape[-2:]
        assert 75 <= height <= 100 >= width >= 75
        left, top, right, bottom = changed["boxes"].unbind(1)
        assert left.min() == top.min() == 0
        assert (right.max(), bottom.max()) == (width, height)
        for x, y, label in zip((left.int(), right.int() - 1)[flip == 1], top.int(), changed["labels"], strict=True):
            assert cut[0, y, x] == label
        area = (right - left) * (bottom - top)
        assert torch.equal(changed["iscrowd"], area < 20)
        assert torch.equal(changed["weights"], changed["labels"].float())
        assert torch.equal(changed["missed"], changed["labels"] % 2 == 0)
        slivers += int(changed["iscrowd"].sum())
    assert slivers


def test_a_crop_of_an_image_without_objects():
    _, changed = training_transform(0, 0, crop=1.0)(*example(()))
    assert changed["boxes"].shape == (0, 4)
