"""What a configuration of a segmentation opens: splits with the same classes, folds of whole groups."""

import logging
import shutil

import pytest

from hardmine.data.groups import groups_of_masks
from hardmine.errors import ConfigError, DataError
from hardmine.training.mask_data import open_masks_or_pictures, open_measured_masks, open_training_masks
from tests.seen_masks import CLASSES, write_masked


def names(dataset):
    return [record.file.name for record in dataset.records]


def test_both_splits_have_the_classes_in_their_order(masked):
    train_data, val_data = open_training_masks(masked())
    assert train_data.classes == val_data.classes == CLASSES
    assert (train_data.split, val_data.split, len(train_data), len(val_data)) == ("train", "val", 8, 5)
    assert open_measured_masks(masked(), "test").split == "test"


def test_folds_are_parts_of_the_train_split(masked):
    parts = [open_training_masks(masked(fold=f"{number}/4")) for number in range(1, 5)]
    assert sorted(name for _, held in parts for name in names(held)) == [f"train_{number}.png" for number in range(8)]
    for learnt, held in parts:
        assert not set(names(learnt)) & set(names(held))


def test_folds_have_whole_groups_and_shared_ones_are_told(tmp_path, masked, caplog):
    for split, num in (("train", 6), ("val", 2)):
        write_masked(tmp_path, split, num, 0, dots=True)
    for number in range(6):
        for kind in ("images", "masks"):
            file = tmp_path / kind / "train" / f"train_{number}.png"
            file.rename(file.with_name(f"scene{number // 2}_{number}.png"))
    for kind in ("images", "masks"):
        file = tmp_path / kind / "val" / "val_0.png"
        file.rename(file.with_name("scene1_9.png"))
        (tmp_path / kind / "val" / "val_1.png").rename(tmp_path / kind / "val" / "scene7_9.png")
    config = masked(data=str(tmp_path), classes=",".join(CLASSES), group_by="^(scene\\d)")
    with caplog.at_level(logging.WARNING, logger="hardmine"):
        open_training_masks(config)
    assert "1 of the 2 groups of split 'val' are in split 'train' too, the first is 'scene1'" in caplog.text
    _, held = open_training_masks(
        masked(data=str(tmp_path), classes=",".join(CLASSES), group_by="^(scene\\d)", fold="1/3")
    )
    assert len(set(groups_of_masks(held, "^(scene\\d)"))) == 1
    assert len(held) == 2


def test_a_field_is_no_group_of_masks(masked):
    with pytest.raises(ConfigError, match="a field of COCO's images, which masks do not have"):
        open_training_masks(masked(group_by="video_id"))


def test_images_without_masks_can_be_predicted_and_are_no_classes_to_measure(masked, masked_data, tmp_path):
    shutil.copytree(masked_data / "images" / "val", tmp_path / "pictures")
    found = open_masks_or_pictures(masked(), tmp_path / "pictures", None, None, CLASSES)
    assert (len(found), found.classes) == (5, CLASSES)
    assert all((found.mask(place) == 255).all() for place in range(5))
    with pytest.raises(DataError, match="holds no masks in a known layout"):
        open_masks_or_pictures(masked(), tmp_path / "pictures", "val", None, CLASSES)
    assert len(open_masks_or_pictures(masked(), masked_data, "test", None, CLASSES)) == 4
