import logging

import numpy as np
import pytest
from PIL import Image

from hardmine.data import open_segmentation
from hardmine.data.segmentation.opening import find_segmentation
from hardmine.errors import DataError


def test_scenes_open_by_name():
    dataset = open_segmentation("scenes", "val")
    assert (len(dataset), dataset.split) == (120, "val")
    assert open_segmentation("scenes", "val", classes=",".join(dataset.classes)).classes == dataset.classes
    with pytest.raises(DataError, match="the scenes' classes are background, three"):
        open_segmentation("scenes", "val", classes=("one",))
    with pytest.raises(DataError, match="choose one of train, val"):
        open_segmentation("scenes")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no folder or .json file"),
        ("empty", "holds no masks in a known layout; expected images/ beside masks/"),
        ("empty/a.txt", "there is no folder or .json file"),
    ],
)
def test_what_is_no_data_set_is_named(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("nothing")
    with pytest.raises(DataError, match=message):
        open_segmentation(tmp_path / name)


def test_a_file_of_classes_that_is_not_there_is_no_name_of_a_class(write_folders, tmp_path):
    write_folders(tmp_path, "a")
    with pytest.raises(DataError, match=r"clases\.txt"):
        open_segmentation(tmp_path, classes="clases.txt")


def test_masks_come_before_a_coco_file_beside_them(write_folders, tmp_path):
    write_folders(tmp_path, "a")
    (tmp_path / "train.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert find_segmentation(tmp_path).format == "folders of masks"


def test_opening_decodes_no_mask(write_folders, tmp_path):
    write_folders(tmp_path, "a")
    file = tmp_path / "masks" / "a.png"
    file.write_bytes(file.read_bytes()[:60])
    dataset = open_segmentation(tmp_path)
    with pytest.raises(DataError, match=r"masks/a\.png cannot be decoded"):
        dataset.mask(0)


def test_huge_masks_are_not_decoded(write_folders, monkeypatch, tmp_path):
    write_folders(tmp_path, "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="no usable image"):
        open_segmentation(tmp_path)


def test_problems_are_told_once(write_folders, write_mask, caplog, tmp_path):
    write_folders(tmp_path, "a", "b")
    write_mask(tmp_path / "masks" / "b.png", np.zeros((5, 5)))
    with caplog.at_level(logging.WARNING, "hardmine"):
        assert len(open_segmentation(tmp_path)) == 1
        open_segmentation(tmp_path)
    (record,) = caplog.records
    assert "1 record has a problem; the first is" in record.message
    assert "--task segmentation` lists them all" in record.message
