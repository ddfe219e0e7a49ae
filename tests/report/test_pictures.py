import time

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import ExifTags, Image

from hardmine.data import open_scenes
from hardmine.errors import DataError
from hardmine.report.pictures import CROP_SIDE, CROPS, WHOLE, FolderOfImages, Generated, Wanted, cut_pictures, window

SIZE = (64, 48)


@pytest.fixture
def images(tmp_path):
    """Images whose pixels say where they are: red counts columns, green rows."""
    folder = tmp_path / "images"
    folder.mkdir()
    columns, rows = np.meshgrid(np.arange(64), np.arange(48))
    pixels = np.stack([columns * 4, rows * 4, columns * 0], axis=-1).astype(np.uint8)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(pixels).save(folder / name)
    return folder


def wanted(number, name, crops=(), size=SIZE, image_id=1):
    return Wanted(number, image_id, name, size, list(crops))


corner = st.floats(-20, 120)


@given(
    st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=2),
    st.integers(1, 100),
    st.integers(1, 100),
)
def test_a_window_lies_in_the_image_and_holds_what_of_the_boxes_does(boxes, across, down):
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in boxes]
    x, y, width, height = window(boxes, (across, down))
    assert 0 <= x <= x + width <= across
    assert 0 <= y <= y + height <= down
    assert width >= 1
    assert height >= 1
    for x1, y1, x2, y2 in boxes:
        assert x <= max(0, min(x1 + 1, across))
        assert x + width >= min(across, max(x2 - 1, 0))
        assert y <= max(0, min(y1 + 1, down))
        assert y + height >= min(down, max(y2 - 1, 0))


def test_a_crop_is_the_window_of_the_image(images, tmp_path):
    wrong = cut_pictures([wanted(7, "a.png", [(3, (10, 20, 16, 12))])], FolderOfImages(images), tmp_path / "out")
    assert wrong == {}
    with Image.open(tmp_path / "out" / CROPS / "3.jpg") as crop:
        assert crop.size == (16, 12)
        red, green, _ = np.asarray(crop).astype(int)[6, 8]
        assert abs(red - 18 * 4) <= 8
        assert abs(green - 26 * 4) <= 8
    with Image.open(tmp_path / "out" / WHOLE / "7.jpg") as whole:
        assert whole.size == SIZE


def test_large_crops_are_made_smaller(images, tmp_path):
    Image.new("RGB", (900, 600)).save(images / "large.png")
    cut_pictures([wanted(0, "large.png", [(0, (0, 0, 900, 600))], (900, 600))], FolderOfImages(images), tmp_path)
    with Image.open(tmp_path / CROPS / "0.jpg") as crop:
        assert crop.size == (CROP_SIDE, round(CROP_SIDE * 2 / 3))


def test_each_image_is_opened_once(images, tmp_path):
    opened = []

    class Counting(FolderOfImages):
        def pixels(self, wanted):
            opened.append(wanted.file_name)
            return super().pixels(wanted)

    crops = [(number, (number, 0, 16, 16)) for number in range(20)]
    cut_pictures([wanted(0, "a.png", crops[:10]), wanted(1, "b.png", crops[10:])], Counting(images), tmp_path)
    assert sorted(opened) == ["a.png", "b.png"]
    assert len(list((tmp_path / CROPS).iterdir())) == 20


def test_what_is_missing_broken_or_another_is_said_and_the_others_are_cut(images, tmp_path, caplog):
    (images / "b.png").write_bytes(b"no image")
    Image.new("RGB", (5, 5)).save(images / "c.png")
    names = ["a.png", "gone.png", "b.png", "c.png", "../secret.png", "/etc/passwd", ""]
    wrong = cut_pictures([wanted(n, name) for n, name in enumerate(names)], FolderOfImages(images), tmp_path / "out")
    assert list(wrong) == [1, 2, 3, 4, 5, 6]
    assert "c.png is 5x5, expected 64x48" in wrong[3]
    assert "no file below" in wrong[4]
    assert "pictures: 6 of 7 images are grey fields on the page; the first: " in caplog.text
    assert "gone.png" in caplog.text
    assert [file.name for file in (tmp_path / "out" / WHOLE).iterdir()] == ["0.jpg"]


def test_an_image_is_turned_as_its_boxes_are(images, tmp_path):
    turned = Image.new("RGB", (48, 64))
    exif = turned.getexif()
    exif[ExifTags.Base.Orientation] = 6
    turned.save(images / "turned.jpg", exif=exif)
    assert cut_pictures([wanted(0, "turned.jpg")], FolderOfImages(images), tmp_path) == {}


def test_an_interruption_does_not_wait_for_what_has_not_begun(images, tmp_path, monkeypatch):
    begun = []

    class Slow(FolderOfImages):
        def pixels(self, wanted):
            begun.append(wanted)
            time.sleep(0.01)
            return super().pixels(wanted)

    def interrupted(futures):
        yield next(iter(futures))
        raise KeyboardInterrupt

    monkeypatch.setattr("hardmine.report.pictures.as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cut_pictures([wanted(n, "a.png") for n in range(2000)], Slow(images), tmp_path)
    assert len(begun) < 2000


def test_scenes_are_drawn_again(monkeypatch, tmp_path):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 3, "val": 3})
    scenes = open_scenes("val")
    source = Generated("val")
    for place, record in enumerate(scenes.records):
        found = source.pixels(wanted(0, "", image_id=record.image_id))
        assert np.array_equal(found, scenes.pixels(place))
    with pytest.raises(DataError, match="no image 99"):
        source.pixels(wanted(0, "", image_id=99))
