"""YOLO's text files."""

import pytest

from hardmine.errors import DataError
from hardmine.predictions import yolo


def test_each_file_is_an_image_by_name(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "0.5 mm.txt").write_text("0 .5 .5 .25 .25 .75\n\n1.0 .5 .5 .25 .25 .5 12\n")
    (tmp_path / "sub" / "007.txt").write_text("2 .5 .5 .25 .25 1e-3")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = yolo.read(tmp_path, None)
    assert found.rows.select("file_name", "category_id", "score").rows() == [
        ("0.5 mm", "0", 0.75),
        ("0.5 mm", "1", 0.5),
        ("sub/007", "2", 0.001),
    ]
    assert found.rows["image_id"].null_count() == 3
    assert found.where(1) == f"{tmp_path / '0.5 mm.txt'}, line 3"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .2 .2", "no confidence; predict with save_conf=True"),
        ("0 .5 .5 .2", "4 fields, expected class, four numbers"),
        ("0 .5 .5 .2 .2 .9 1 2", "8 fields"),
        ("cat .5 .5 .2 .2 .9", "is not all numbers"),
        ("0.5 .5 .5 .2 .2 .9", "category_id 0.5 is not an id"),
        ("0 .5 .5 nan .2 .9", "bbox must be finite numbers"),
        ("0 .5 .5 -.2 .2 .9", "the sizes not negative"),
    ],
)
def test_a_line_that_is_no_prediction_is_named(tmp_path, line, message):
    (tmp_path / "a.txt").write_text(f"0 .5 .5 .2 .2 .9\n{line}\n")
    with pytest.raises(DataError, match=rf"a\.txt, line 2: .*{message}"):
        yolo.read(tmp_path, None)


def test_a_text_called_as_those_without_predictions_may_be_of_an_image(tmp_path):
    for name in ("classes", "notes"):
        (tmp_path / f"{name}.txt").write_text("0 .5 .5 .25 .25 .75\n")
    (tmp_path / "README.txt").write_bytes(b"d\xe9tections")
    assert yolo.read(tmp_path, None).rows["file_name"].to_list() == ["classes", "notes"]
