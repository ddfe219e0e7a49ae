import numpy as np
import pytest

from hardmine.data import IGNORED
from hardmine.data.segmentation.classes import Classes
from hardmine.data.segmentation.masks import HeldMask, MaskFile, PaintedMask, PaintedObject
from hardmine.data.segmentation.shapes import Box
from hardmine.errors import DataError

CLASSES = Classes.of(("road", "sky", "car"))
VALUES = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_values_are_those_in_the_file_whatever_its_mode(write_mask, tmp_path, mode, suffix):
    file = write_mask(tmp_path / f"a{suffix}", VALUES, mode)
    assert (MaskFile(file, CLASSES).read() == VALUES).all()


def test_black_and_white_is_0_and_1(write_mask, tmp_path):
    file = write_mask(tmp_path / "a.png", VALUES > 0, "1")
    assert (MaskFile(file, CLASSES).read() == (VALUES > 0)).all()


def test_colours_are_those_that_a_palette_shows(write_mask, tmp_path):
    palette = [9, 9, 9, 128, 0, 0, *[0] * 762]
    file = write_mask(tmp_path / "a.png", VALUES % 2, "P", palette)
    colours = Classes.of({(9, 9, 9): "ground", (128, 0, 0): "cell"})
    assert (MaskFile(file, colours).read() == VALUES % 2).all()
    in_colour = write_mask(tmp_path / "b.png", np.array([[[128, 0, 0], [9, 9, 9]]]))
    assert MaskFile(in_colour, colours).read().tolist() == [[1, 0]]


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_a_mask_is_turned_as_asked(write_mask, tmp_path, mode):
    file = write_mask(tmp_path / "a.png", VALUES, mode)
    assert (MaskFile(file, CLASSES, orientation=6).read() == np.rot90(VALUES, -1)).all()


def test_files_that_do_not_keep_values_are_refused(write_image, tmp_path):
    file = write_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg cannot be decoded \(JPEG may change the values.*BMP, PNG"):
        MaskFile(file, CLASSES).read()


def test_broken_files_are_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
        MaskFile(tmp_path / "a.png", CLASSES).read()
    with pytest.raises(DataError, match=r"b\.png cannot be decoded"):
        MaskFile(tmp_path / "b.png", CLASSES).read()


def painted(*objects, ground=0):
    return PaintedMask([PaintedObject(label, Box(box)) for label, box in objects], 10, 4, ground).read()


def test_small_objects_lie_on_large_ones_whatever_the_order():
    large, small = (1, (0, 0, 10, 4)), (2, (3, 1, 5, 2))
    assert (painted(large, small) == painted(small, large)).all()
    assert (painted(small, large)[1, 3:5] == 2).all()
    assert (painted(small, large) == 1).sum() == 38


def test_of_equal_objects_the_later_lies_on_top():
    one, other = (1, (0, 0, 2, 2)), (2, (0, 0, 2, 2))
    assert (painted(one, other)[:2, :2] == 2).all()
    assert (painted(other, one)[:2, :2] == 1).all()


def test_crowds_are_ignored_where_no_object_lies_on_them():
    found = painted((1, (0, 0, 2, 4)), (IGNORED, (0, 0, 3, 4)), ground=0)
    assert (found[:, :2] == 1).all()
    assert (found[:, 2] == IGNORED).all()
    assert (found[:, 3:] == 0).all()


def test_a_held_mask_is_not_changed_through_what_was_read():
    held = HeldMask(VALUES.copy())
    held.read()[:] = 9
    assert (held.read() == VALUES).all()
