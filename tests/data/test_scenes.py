import numpy as np
import pytest

from hardmine.data import check, open_dataset, open_scenes
from hardmine.data.label_errors import is_apart
from hardmine.data.scenes import CLASS_DIGITS, LOOK_ALIKE_DIGITS, SCENE_CLASSES, _exemplars, _photographs
from hardmine.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def scenes():
    return open_scenes("train", num_images=80)


def test_an_image_depends_only_on_seed_split_index_and_size(scenes):
    again, others = open_scenes("train", num_images=5), open_scenes("train", num_images=5, seed=1)
    for index in range(5):
        assert np.array_equal(again.pixels(index), scenes.pixels(index))
        assert np.array_equal(again.records[index].boxes, scenes.records[index].boxes)
        assert np.array_equal(again.look_alikes[index], scenes.look_alikes[index])
        assert not np.array_equal(others.pixels(index), scenes.pixels(index))


def test_whoever_changes_pixels_changes_them_for_nobody_else():
    first, second = open_scenes("val", num_images=2), open_scenes("val", num_images=2)
    first.pixels(0)[:] = 0
    assert first.pixels(0).any()
    assert np.array_equal(first.pixels(0), second.pixels(0))


def test_item_and_ground_truth_are_those_of_any_data_set(scenes):
    image, target = scenes[0]
    truth = scenes.coco_ground_truth()
    assert tuple(image.shape) == (3, 128, 128)
    assert target["boxes"].shape == (len(target["labels"]), 4)
    assert len(truth["images"]) == len(scenes) == 80
    assert len(truth["annotations"]) == sum(len(record.boxes) for record in scenes.records)
    assert [category["name"] for category in truth["categories"]] == list(SCENE_CLASSES)


def test_train_and_val_share_no_exemplar_and_no_pixel_of_a_photograph():
    for digit in CLASS_DIGITS + LOOK_ALIKE_DIGITS:
        train, val = ({image.tobytes() for image in _exemplars(digit, split)} for split in ("train", "val"))
        assert len(train) > 80
        assert len(val) > 50
        assert not train & val
    import skimage.data

    for train, val in zip(_photographs("train"), _photographs("val"), strict=True):
        assert min(*train.shape[:2], *val.shape[:2]) >= 128
    whole = skimage.data.coffee()
    parts = _photographs("train")[4], _photographs("val")[4]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_classes_have_a_long_tail_and_some_images_no_object(scenes):
    counts = np.bincount(np.concatenate([record.labels for record in scenes.records]), minlength=4)
    assert (np.diff(counts) < 0).all()
    assert counts[0] > 3 * counts[-1] > 0
    assert 0 < sum(len(record.boxes) == 0 for record in scenes.records) < 20


def test_boxes_of_several_scales_lie_inside_and_apart(scenes):
    heights = []
    for record, look_alikes in zip(scenes.records, scenes.look_alikes, strict=True):
        boxes = np.concatenate([record.boxes, look_alikes])
        assert (boxes >= 0).all()
        assert (boxes <= 128).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert all(is_apart(box, np.delete(boxes, place, axis=0)) for place, box in enumerate(boxes))
        heights += (boxes[:, 3] - boxes[:, 1]).tolist()
    assert min(heights) < 18
    assert max(heights) > 42


def test_digits_stand_out_inside_their_boxes(scenes):
    """Pixels inside of boxes differ from the same scene's background: something is drawn, and drawn there."""
    pixels, record = scenes.pixels(0).astype(float), scenes.records[0]
    for x1, y1, x2, y2 in record.boxes.astype(int):
        inside = pixels[y1:y2, x1:x2].mean(axis=2)
        around = pixels[max(y1 - 4, 0) : y2 + 4, max(x1 - 4, 0) : x2 + 4].mean(axis=2)
        assert inside.std() > 10
        assert np.abs(inside - np.median(around)).max() > 30


def test_look_alikes_are_fewer_than_objects_but_there(scenes):
    num_look_alikes = sum(len(boxes) for boxes in scenes.look_alikes)
    assert 40 < num_look_alikes < sum(len(record.boxes) for record in scenes.records)


def test_planted_errors_keep_pixels_and_truth(scenes):
    noisy = open_scenes("train", num_images=80, label_errors=0.3)
    truth = {record.image_id: record for record in noisy.true_records}
    assert {error.kind for error in noisy.planted} == {"dropped", "shifted", "swapped", "spurious"}
    for index, record in enumerate(noisy.true_records):
        assert np.array_equal(noisy.pixels(index), scenes.pixels(index))
        assert np.array_equal(record.boxes, scenes.records[index].boxes)
    for error in noisy.planted:
        if error.true_box is None:
            index = error.image_id - 1
            taken = np.concatenate([truth[error.image_id].boxes, noisy.look_alikes[index]])
            assert is_apart(np.array(error.box), taken)
        else:
            assert list(error.true_box) in truth[error.image_id].boxes.tolist()
    assert scenes.planted == ()
    assert noisy.planted == open_scenes("train", num_images=80, label_errors=0.3).planted


@pytest.mark.parametrize("arguments", [{"num_images": 0}, {"size": 32}, {"seed": -1}, {"label_errors": 2.0}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError):
        open_scenes(**({"num_images": 1} | arguments))


def test_sizes_other_than_the_default():
    assert tuple(open_scenes("val", num_images=1, size=200)[0][0].shape) == (3, 200, 200)


def test_opened_by_name():
    assert len(open_dataset("scenes", "val", classes=SCENE_CLASSES)) == 120
    assert [split.num_images for split in check("scenes", "val").splits] == [120]
    with pytest.raises(DataError, match="no split was asked for; choose one of train, val"):
        open_dataset("scenes")
    with pytest.raises(DataError, match="the scenes' classes are three, nine, one, six"):
        open_dataset("scenes", "val", classes=("cat",))


def test_masks_say_which_pixels_are_ink_of_which_digit():
    scenes = open_scenes("train", 20)
    for record, mask, look_alike in zip(scenes.records, scenes.masks, scenes.look_alike_masks, strict=True):
        assert set(np.unique(mask)) == {0, *(record.labels + 1).tolist()}
        assert not mask[look_alike].any()
        for box, label in zip(record.boxes.astype(int), record.labels, strict=True):
            assert set(np.unique(mask[box[1] : box[3], box[0] : box[2]])) == {0, label + 1}
