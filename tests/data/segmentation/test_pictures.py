"""A folder of images without masks."""

import numpy as np
import pytest

from hardmine.data.segmentation.pictures import open_pictures
from hardmine.errors import DataError


def test_every_image_is_there_by_folder_and_name_and_nothing_is_known_of_it(tmp_path, write_image):
    for name, size in (("b/one.png", (8, 6)), ("a/two.jpg", (5, 9))):
        (tmp_path / name).parent.mkdir()
        write_image(tmp_path / name, size)
    found = open_pictures(tmp_path, ["x", "y"])
    assert [record.file.name for record in found.records] == ["two.jpg", "one.png"]
    assert (found.split, found.classes) == ("all", ("x", "y"))
    assert np.array_equal(found.mask(1), np.full((6, 8), 255))
    assert found.pixels(0).shape == (9, 5, 3)


def test_what_is_no_image_is_a_problem(tmp_path, write_image):
    write_image(tmp_path / "good.png", (8, 6))
    (tmp_path / "bad.png").write_bytes(b"no image")
    found = open_pictures(tmp_path, ["x", "y"])
    assert (len(found), len(found.problems)) == (1, 1)
    assert "bad.png" in str(found.problems[0])


def test_no_image_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no usable image"):
        open_pictures(tmp_path, ["x", "y"])
