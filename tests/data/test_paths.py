from pathlib import Path

import pytest

from hardmine.data.paths import images_in, is_file, join_inside
from hardmine.errors import DataError


@pytest.mark.parametrize("name", ["a.png", "b/a.png", "./b/a.png", "b\\a.png", "..a/b..png"])
def test_names_inside_are_joined(name):
    assert join_inside(Path("root"), name) == Path("root") / name.replace("\\", "/")


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "b/../../a", "/a", "\\\\host\\a", "C:/a", "a\0"])
def test_names_that_lead_outside_are_refused(name):
    with pytest.raises(DataError, match="is refused"):
        join_inside(Path("root"), name)


def test_images_in_lists_images_only(tmp_path, write_image):
    write_image(tmp_path / "b.PNG")
    write_image(tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder.png").mkdir()
    assert [file.name for file in images_in(tmp_path)] == ["a.jpg", "b.PNG"]
    assert images_in(tmp_path / "none") == []


def test_names_that_the_system_cannot_hold_are_no_files(tmp_path):
    assert not is_file(tmp_path / ("a" * 5000))
    assert not is_file(tmp_path / "a\0b")
