import numpy as np
import pytest
import torch

from hardmine.augmentation import HardCrops
from hardmine.errors import ConfigError
from tests.augmentation.conftest import backgrounds, colour, made, painted, places_of


def test_the_core_is_the_object_and_is_shown_as_it_is():
    images = [painted((60, 80), [(10, 20, 30, 50)], [3])]
    patch = HardCrops(images, places_of(images)).patch(0)
    assert patch.core.tolist() == [3, 5, 23, 35]  # .15 of 20 and of 30 pixels, 4.5 rounded outwards
    assert patch.pixels.shape == (3, 40, 26)
    assert (patch.alpha[5:35, 3:23] == 1).all()
    assert (patch.pixels[:, 5:35, 3:23] == colour(3)).all()
    assert patch.target["boxes"].tolist() == [[3, 5, 23, 35]]


def test_a_border_fades_outwards():
    images = [painted((60, 80), [(10, 20, 30, 50)])]
    alpha = HardCrops(images, places_of(images), border=0.5).patch(0).alpha
    row = alpha[30].tolist()
    assert row[:11] == sorted(row[:11])
    assert row[0] < 0.15
    assert row[10] == 1


def test_at_the_edge_of_an_image_there_is_no_border():
    images = [painted((60, 80), [(0, 0, 80, 60)])]
    patch = HardCrops(images, places_of(images)).patch(0)
    assert patch.pixels.shape == (3, 60, 80)
    assert (patch.alpha == 1).all()


def test_what_lies_in_the_box_goes_along_and_slivers_as_crowds():
    boxes = [(10, 10, 50, 50), (15, 15, 25, 25), (48, 20, 58, 30), (60, 60, 70, 70)]
    images = [painted((80, 80), boxes)]
    target = HardCrops(images, places_of(images)).patch(0).target
    assert target["labels"].tolist() == [0, 1, 2]
    assert target["iscrowd"].tolist() == [False, False, True]
    assert (target["boxes"] + torch.tensor([4.0, 4, 4, 4])).tolist() == [
        [10, 10, 50, 50],
        [15, 15, 25, 25],
        [48, 20, 50, 30],
    ]


def test_under_a_mask_the_object_is_alone():
    boxes = [(10, 10, 50, 50), (15, 15, 25, 25)]
    images = [painted((80, 80), boxes)]
    mask = np.zeros((80, 80), dtype=bool)
    mask[10:50, 30:50] = True
    patch = HardCrops(images, places_of(images), lambda image, box: mask).patch(0)
    assert patch.target["labels"].tolist() == [0]
    assert patch.alpha.shape == (40, 40)
    assert (patch.alpha[:, 20:] == 1).all()
    assert (patch.alpha[:, :20] == 0).all()


def test_a_mask_that_has_nothing_in_the_box_is_none():
    images = [painted((80, 80), [(10, 10, 50, 50)])]
    patch = HardCrops(images, places_of(images), lambda image, box: np.zeros((80, 80), dtype=bool)).patch(0)
    assert patch.mask is None


def test_backgrounds_have_no_label():
    images = [painted((80, 80), [])]
    patch = HardCrops(images, backgrounds((0, (10, 10, 20, 30)))).patch(0)
    assert len(patch.target["boxes"]) == 0
    assert patch.core.tolist() == [2, 3, 12, 23]


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flip_takes_everything_along(axis):
    images = [painted((80, 80), [(10, 10, 50, 40), (12, 12, 20, 20)])]
    patch = HardCrops(images, places_of(images)).patch(0)
    flipped = patch.flipped(axis)
    x1, y1, x2, y2 = flipped.target["boxes"][1].int().tolist()
    assert (flipped.pixels[:, y1:y2, x1:x2] == colour(1)).all()
    assert torch.equal(flipped.alpha, patch.alpha.flip(1 - axis))
    assert torch.equal(flipped.flipped(axis).pixels, patch.pixels)
    assert torch.equal(flipped.flipped(axis).target["boxes"], patch.target["boxes"])


@pytest.mark.parametrize("scale", [0.01, 0.5, 1.0, 3.0])
def test_boxes_grow_with_the_pixels(scale):
    images = [painted((80, 80), [(10, 10, 50, 40)])]
    patch = HardCrops(images, places_of(images)).patch(0).resized(scale)
    height, width = patch.pixels.shape[-2:]
    assert (patch.core[2] / width, patch.core[3] / height) == pytest.approx((46 / 52, 35 / 40))
    assert patch.alpha.shape == (height, width)


def test_an_image_is_decoded_when_it_is_needed_and_little_is_kept():
    class Counted(list):
        asked = 0

        def __getitem__(self, index):
            Counted.asked += 1
            return super().__getitem__(index)

    images = Counted([painted((64, 64), [(0, 0, 64, 64)])] * 3)
    places = made([0, 1, 2], [(0, 0, 64, 64)] * 3, [0, 0, 0], [0, 0, 0])
    crops = HardCrops(images, places, kept_mb=2.5 * 3 * 64 * 64 / 2**20)
    assert Counted.asked == 0
    for place in (0, 1, 0, 2, 0, 1):
        crops.patch(place)
    assert Counted.asked == 4  # 0 stayed, since it was asked for again; 1 went when 2 came


def test_places_are_drawn_as_often_as_they_weigh():
    images = [painted((64, 64), [(0, 0, 8, 8), (8, 8, 16, 16), (20, 20, 30, 30)], [0, 0, 1])]
    crops = HardCrops(images, places_of(images))
    counts = np.bincount([crops.draw() for _ in range(2000)], minlength=3) / 2000
    assert counts == pytest.approx([0.25, 0.25, 0.5], abs=0.05)


@pytest.mark.parametrize("arguments", [{"border": -0.1}, {"border": 2.0}, {"visible": 1.5}])
def test_shares_outside_their_range_are_refused(arguments):
    images = [painted((64, 64), [(0, 0, 8, 8)])]
    with pytest.raises(ConfigError, match="expected shares from 0 to 1"):
        HardCrops(images, places_of(images), **arguments)


def test_no_place_is_refused():
    with pytest.raises(ConfigError, match="no hard place"):
        HardCrops([], backgrounds((0, (0, 0, 1, 1))).of_objects)
