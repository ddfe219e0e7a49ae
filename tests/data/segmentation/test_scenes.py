import numpy as np
import pytest

from hardmine.data import open_scenes, open_segmentation_scenes
from hardmine.errors import ConfigError


def test_pictures_are_those_of_the_detection_scenes():
    scenes, detection = open_segmentation_scenes("val", 10), open_scenes("val", 10)
    assert all((scenes.pixels(place) == detection.pixels(place)).all() for place in range(10))


def test_each_digit_fills_its_box_and_nothing_else_is_labelled():
    scenes, detection = open_segmentation_scenes("train", 30), open_scenes("train", 30)
    for place, record in enumerate(detection.records):
        mask = scenes.mask(place).astype(int)
        for (x1, y1, x2, y2), label in zip(record.boxes.astype(int), record.labels, strict=True):
            ink = mask[y1:y2, x1:x2] == label + 1
            assert 0.1 < ink.mean() < 0.95
            assert ink.any(axis=0).mean() > 0.7  # the box is where ink shows by a fifth, the mask where it does by half
            mask[y1:y2, x1:x2] = 0
        assert not mask.any()


def test_look_alikes_are_background_of_a_known_place():
    scenes, detection = open_segmentation_scenes("train", 30), open_scenes("train", 30)
    for place, boxes in enumerate(detection.look_alikes):
        ink = scenes.look_alikes[place].copy()
        assert not scenes.mask(place)[ink].any()
        for x1, y1, x2, y2 in boxes.astype(int):
            assert ink[y1:y2, x1:x2].any()
            ink[y1:y2, x1:x2] = False
        assert not ink.any()
    assert sum(ink.any() for ink in scenes.look_alikes) > 10


def test_masks_cannot_be_changed_through_what_was_read():
    scenes = open_segmentation_scenes("val", 2)
    before = scenes.mask(0)
    scenes.mask(0)[:] = 1
    assert (scenes.mask(0) == before).all()
    assert scenes[0][1].numpy().shape == (128, 128)
    assert np.array_equal(scenes[0][1].numpy(), before)


def test_arguments_are_those_of_the_detection_scenes():
    assert open_segmentation_scenes("val", 1, size=64).mask(0).shape == (64, 64)
    with pytest.raises(ConfigError, match="at least 1 image"):
        open_segmentation_scenes("val", 0)
