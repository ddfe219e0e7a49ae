import numpy as np
import pytest

from hardmine.augmentation import BACKGROUND, HardPlaces
from hardmine.errors import ShapeError


def places(labels, hardness):
    num = len(labels)
    numbers = np.arange(num), np.zeros((num, 4)), np.array(labels), np.arange(num)
    return HardPlaces(*numbers, np.array(hardness, dtype=float))


def test_every_class_is_drawn_alike_and_within_it_by_hardness():
    assert places([0, 0, 1], [0.3, 0.9, 0.5]).weights().tolist() == pytest.approx([0.25, 0.75, 1])


def test_objects_and_backgrounds_are_told_apart():
    both = places([0, BACKGROUND, 2], [1, 1, 1])
    assert both.of_objects.image.tolist() == [0, 2]
    assert both.of_backgrounds.image.tolist() == [1]


def test_arrays_of_different_lengths_are_refused():
    one = np.zeros(1)
    with pytest.raises(ShapeError, match=r"places are \(P,\)"):
        HardPlaces(one, np.zeros((2, 4)), one, one, one)
