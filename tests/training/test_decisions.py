import json
import shutil

import polars as pl
import pytest

from hardmine.errors import DataError
from hardmine.training.decisions import read_decisions

SUSPECTS = {"image_id": [7, 7, 2**62 + 1], "kind": ["spurious", "missing", "wrong class"]}
IMAGES = {"image_id": [2**62 + 1, 7], "file_name": ["b/ü.jpg", "a.jpg"]}
FIRST = {"row": 0, "image_id": 7, "file_name": "a.jpg", "kind": "spurious", "decision": "accept"}
LAST = {"row": 2, "image_id": 2**62 + 1, "file_name": "b/ü.jpg", "kind": "wrong class", "decision": "reject"}


@pytest.fixture
def mined(tmp_path):
    folder = tmp_path / "mined"
    folder.mkdir()
    pl.DataFrame(SUSPECTS).write_parquet(folder / "suspects.parquet")
    pl.DataFrame(IMAGES).write_parquet(folder / "images.parquet")
    return folder


@pytest.fixture
def decide(mined):
    """Writes a file of decisions."""

    def write(*decisions, **changes):
        file = mined.parent / "decisions.json"
        document = {"format": 1, "mined": str(mined), "decisions": list(decisions)} | changes
        file.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))
        return file

    return write


def test_decisions_are_read_by_row(decide, mined):
    assert read_decisions(decide(LAST, FIRST), mined) == {2: False, 0: True}
    assert read_decisions(decide(), mined) == {}
    assert read_decisions(decide(LAST | {"note": "more is allowed"}, why="too"), str(mined)) == {2: False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": 3}, "row is 3, but there are 3 suspects, counted from 0"),
        ({"row": -1}, "row is -1, but there are 3 suspects"),
        ({"row": True}, "row is True, expected int"),
        ({"row": 0.0}, "row is 0.0, expected int"),
        ({"row": None}, "row is None, expected int"),
        ({"row": 1}, "kind of row 1 is 'missing' in suspects.parquet, got 'spurious'"),
        ({"image_id": 8}, "image_id of row 0 is 7 in suspects.parquet, got 8"),
        ({"image_id": "7"}, "image_id is '7', expected int"),
        ({"file_name": "b.jpg"}, "file_name of row 0 is 'a.jpg' in suspects.parquet, got 'b.jpg'"),
        ({"file_name": None}, "file_name of row 0 is 'a.jpg'"),
        ({"file_name": 3}, "file_name is 3, expected str"),
        ({"kind": "missing"}, "kind of row 0 is 'spurious' in suspects.parquet, got 'missing'"),
        ({"decision": "yes"}, "decision is 'yes'; expected accept or reject"),
        ({"decision": None}, "decision is None, expected str"),
    ],
)
def test_a_record_that_is_not_of_its_suspect_is_named(decide, mined, change, message):
    file = decide(LAST, FIRST | change)
    with pytest.raises(DataError) as error:
        read_decisions(file, mined)
    assert f"{file}: decision 1: {message}" in str(error.value)
    assert "; " in str(error.value)


@pytest.mark.parametrize("field", FIRST)
def test_a_record_without_a_field_is_named(decide, mined, field):
    file = decide({key: value for key, value in FIRST.items() if key != field})
    with pytest.raises(DataError, match=f"decision 0: {field} is None, expected"):
        read_decisions(file, mined)


def test_no_suspect_is_decided_twice(decide, mined):
    with pytest.raises(DataError, match="decision 1: row 0 was decided before; keep one of the two"):
        read_decisions(decide(FIRST, FIRST | {"decision": "reject"}), mined)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format is 2, expected 1"),
        ({"format": True}, "format is True, expected 1"),
        ({"format": ...}, "format is None, expected 1"),
        ({"mined": 3}, "mined is 3, expected the path"),
        ({"mined": "/data/other"}, "the decisions are of the mined folder /data/other, got"),
        ({"decisions": {}}, "decisions is dict, expected a list"),
        ({"decisions": [[]]}, "decision 0: got list, expected an object"),
    ],
)
def test_another_document_is_refused(decide, mined, changes, message):
    with pytest.raises(DataError, match=message):
        read_decisions(decide(**changes), mined)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff", b"[" * 100_000, b"[]", b"3", b"null"])
def test_what_is_no_document_is_one_line_that_names_the_file(mined, content):
    file = mined.parent / "decisions.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"decisions\.json: .*; "):
        read_decisions(file, mined)


def test_what_is_not_there_is_named(decide, mined, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*none\.json"):
        read_decisions(tmp_path / "none.json", mined)
    file = decide(FIRST)
    (mined / "images.parquet").unlink()
    with pytest.raises(
        DataError, match=r"images\.parquet: cannot be read .* give the folder that `hardmine mine` wrote"
    ):
        read_decisions(file, mined)


def test_a_folder_may_be_moved_and_copied_but_not_be_another_of_the_same_name(decide, mined, tmp_path):
    copied = tmp_path / "elsewhere/mined"
    shutil.copytree(mined, copied)
    assert read_decisions(decide(FIRST), copied) == {0: True}
    pl.DataFrame(SUSPECTS).with_columns(probability=0.5).write_parquet(copied / "suspects.parquet")
    with pytest.raises(DataError, match="the decisions are of the mined folder"):
        read_decisions(decide(FIRST), copied)
    file = decide(FIRST)
    shutil.rmtree(mined)
    assert read_decisions(file, copied) == {0: True}


def test_images_without_names_have_none(decide, mined):
    pl.DataFrame(IMAGES).with_columns(file_name=pl.lit(None, pl.String)).write_parquet(mined / "images.parquet")
    for name in ("", None):
        assert read_decisions(decide(FIRST | {"file_name": name}), mined) == {0: True}


def test_a_copy_may_be_called_otherwise(decide, mined, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(mined, copied)
    assert read_decisions(decide(FIRST), copied) == {0: True}
    shutil.rmtree(mined)
    with pytest.raises(DataError, match=r"the decisions are of the mined folder .*mined, got .*copy"):
        read_decisions(decide(FIRST), copied)


def test_a_folder_that_is_not_there_is_named(decide, mined, tmp_path):
    with pytest.raises(DataError, match=f"none: there is no such folder; the decisions in .* are of {mined}"):
        read_decisions(decide(FIRST), tmp_path / "none")
