import numpy as np
import pytest

from hardmine.data import check_segmentation
from hardmine.errors import DataError


def test_pixels_are_counted_by_class(write_folders, tmp_path):
    write_folders(tmp_path, "train/a", "train/b", "val/a")
    report = check_segmentation(tmp_path)
    assert [split.split for split in report.splits] == ["train", "val"]
    train = report.splits[0]
    assert train.pixels_per_class == {"road": 2 * (32 * 48 - 25), "sky": 2 * 32 * 48}
    assert train.images_per_class == {"road": 2, "sky": 2}
    assert train.num_ignored == 50
    assert train.ignored_share == pytest.approx(25 / (64 * 48))
    assert train.image_sizes == {(64, 48): 2}
    assert (report.problems, report.is_usable) == ((), True)
    assert [split.split for split in check_segmentation(tmp_path, "val").splits] == ["val"]


def test_what_cannot_be_decoded_is_a_problem_of_its_image(write_folders, write_mask, tmp_path):
    write_folders(tmp_path, "a", "b", "c", "d")
    write_mask(tmp_path / "masks" / "b.png", np.full((48, 64), 9))
    file = tmp_path / "masks" / "c.png"
    file.write_bytes(file.read_bytes()[:60])
    file = tmp_path / "images" / "d.png"
    file.write_bytes(file.read_bytes()[:200])
    report = check_segmentation(tmp_path)
    assert report.splits[0].num_images == 1
    messages = {problem.file.name: problem.message for problem in report.problems}
    assert "the value 9 of 3072 pixels stands for no class" in messages["b.png"]
    assert "masks/c.png cannot be decoded" in messages["c.png"]
    assert "images/d.png cannot be decoded" in messages["d.png"]
    assert (report.num_errors, report.is_usable) == (3, True)


def test_a_class_without_a_pixel_is_told(write_folders, tmp_path):
    write_folders(tmp_path, "a", classes="road\nsky\ncar\n")
    report = check_segmentation(tmp_path)
    assert (report.num_errors, report.num_warnings) == (0, 1)
    assert "no pixel of car; expected some of each class" in report.problems[0].message
    assert "255 is meant" not in report.problems[0].message


def test_black_and_white_masks_are_told_from_ignored_pixels(write_folders, write_pair, tmp_path):
    write_folders(tmp_path)
    values = np.zeros((48, 64), np.uint8)
    values[:9] = 255
    write_pair(tmp_path / "images" / "a.png", tmp_path / "masks" / "a.png", values)
    report = check_segmentation(tmp_path)
    assert "if 255 is meant to be 'sky' and not ignored, say so" in report.problems[0].message
    assert report.faults == ("no two classes have a pixel in all: only road",)
    assert check_segmentation(tmp_path, classes={0: "road", 255: "sky"}).is_usable


def test_a_split_that_cannot_be_read_is_a_problem(write_coco, tmp_path):
    report = check_segmentation(write_coco(tmp_path / "train.json"))
    assert "no annotation has a segmentation" in report.problems[0].message
    assert report.faults == ("no image of train can be used",)


def test_scenes_have_nothing_wrong():
    report = check_segmentation("scenes", "val")
    assert (report.format, report.problems, report.is_usable) == ("generated", (), True)
    assert sum(report.splits[0].pixels_per_class.values()) == 120 * 128 * 128


def test_what_is_no_data_set_is_named(write_folders, tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        check_segmentation(tmp_path / "nowhere")
    write_folders(tmp_path, "a")
    with pytest.raises(DataError, match="there is no split 'val'"):
        check_segmentation(tmp_path, "val")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match="nothing says what the values"):
        check_segmentation(tmp_path)
