"""Parts of a data set as data sets of their own."""

from dataclasses import replace

import numpy as np
import pytest

from hardmine.data import DetectionDataset, Fold, hold_out, open_scenes
from hardmine.data.derived import some_images
from hardmine.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def scenes():
    return open_scenes("train", num_images=7)


def ids(dataset):
    return [record.image_id for record in dataset.records]


def test_folds_are_the_whole_each_image_once(scenes):
    held = [hold_out(scenes, Fold(number, 3))[1] for number in (1, 2, 3)]
    assert sorted(image_id for fold in held for image_id in ids(fold)) == ids(scenes)
    assert sorted(map(len, held)) == [2, 2, 3]


def test_a_fold_and_the_rest_are_apart_and_the_same_each_time(scenes):
    rest, held = hold_out(scenes, Fold(2, 3))
    assert sorted(ids(rest) + ids(held)) == ids(scenes)
    again, held_again = hold_out(scenes, Fold(2, 3))
    assert (ids(again), ids(held_again)) == (ids(rest), ids(held))
    assert (rest.split, held.split) == ("train", "held_out")


def test_images_and_objects_are_the_parents(scenes):
    _, held = hold_out(scenes, Fold(1, 3))
    assert ids(held) != [1, 2, 3]  # otherwise the next lines would not see a wrong place
    for index, image_id in enumerate(ids(held)):
        np.testing.assert_array_equal(held.pixels(index), scenes.pixels(image_id - 1))
        image, target = held[index]
        assert image.shape == (3, 128, 128)
        assert target["boxes"].numpy().tolist() == scenes.records[image_id - 1].boxes.tolist()
    assert held.classes == scenes.classes


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/1", "1/3/3", "-1/3", "a/b", "1/9999999"])
def test_what_is_no_fold_is_refused(text):
    with pytest.raises(ConfigError, match="a fold is written as 1/3"):
        Fold.parse(text)


def test_a_fold_is_read():
    assert Fold.parse("2/3") == Fold(2, 3)


def test_more_folds_than_images_are_refused(scenes):
    with pytest.raises(DataError, match="7 images cannot make 8 folds"):
        hold_out(scenes, Fold(1, 8))


def test_a_part_calls_its_images_and_classes_as_the_whole_does(scenes):
    records = [replace(record, own_id=f"uuid-{record.image_id}") for record in scenes.records]
    own = [f"class-{number}" for number in range(len(scenes.classes))]
    whole = DetectionDataset("s", "train", scenes.classes, scenes.category_ids, records, own_category_ids=own)
    _, held = hold_out(whole, Fold(1, 3))
    assert list(held.own_category_ids) == own
    assert [record.ids for record in held.records] == [(f"uuid-{image_id}",) for image_id in ids(held)]
    assert held.image_names.find([(f"uuid-{ids(held)[1]}", None)]) == [1]


def test_whole_groups_are_held_out_and_folds_are_as_large_as_these_allow():
    whole = open_scenes("train", num_images=60, size=64)
    groups = np.random.default_rng(0).integers(0, 14, 60).astype(str)
    of = {record.image_id: group for record, group in zip(whole.records, groups, strict=True)}
    seen, sizes = [], []
    for number in (1, 2, 3):
        rest, held = hold_out(whole, Fold(number, 3), groups)
        assert not {of[image] for image in ids(rest)} & {of[image] for image in ids(held)}
        assert sorted(ids(rest) + ids(held)) == ids(whole)
        seen += ids(held)
        sizes.append(len(held))
    assert sorted(seen) == ids(whole)
    assert max(sizes) - min(sizes) <= np.unique(groups, return_counts=True)[1].max()


def test_the_order_of_images_changes_nothing_of_folds_of_groups():
    whole = open_scenes("train", num_images=20, size=64)
    groups = np.array([f"video {place % 7}" for place in range(20)])
    backwards = DetectionDataset("s", "train", whole.classes, whole.category_ids, whole.records[::-1])
    held, same = hold_out(whole, Fold(2, 3), groups)[1], hold_out(backwards, Fold(2, 3), groups[::-1])[1]
    assert sorted(ids(held)) == sorted(ids(same))


def test_more_folds_than_groups_are_refused(scenes):
    with pytest.raises(DataError, match="2 groups of images cannot make 3 folds"):
        hold_out(scenes, Fold(1, 3), np.array(list("aabbabb")))


def test_some_images_are_always_the_same_in_their_own_order(scenes):
    some = some_images(scenes, 4)
    assert ids(some) == ids(some_images(scenes, 4)) == sorted(set(ids(some)))
    assert len(some) == 4
    place = ids(scenes).index(ids(some)[0])
    assert np.array_equal(some.pixels(0), scenes.pixels(place))
    assert some_images(scenes, 7) is scenes
