"""The same predictions in every form are the same; what holds none is refused."""

import json

import pytest

from hardmine.errors import DataError
from hardmine.mining import mine
from hardmine.mining.tables import TABLES
from hardmine.predictions import found_records, holds_parquet, read_found, read_json, resolve


def sorted_rows(table):
    return table.drop("prediction").sort("image_id", "score").rows()


def test_every_form_gives_the_same_predictions(tmp_path, pets, rows, form):
    direct = found_records(
        [{"file_name": name, "category_id": c, "bbox": box, "score": s} for name, c, box, s in rows], "x", "xyxy"
    )
    assert sorted_rows(resolve(read_found(form(tmp_path, rows)), pets)) == sorted_rows(resolve(direct, pets))


def test_every_form_gives_the_same_mined_tables(tmp_path, pets, rows, form):
    """Bit for bit; only the order of the predictions is that of the file."""
    rows = sorted(rows)
    direct = [{"file_name": name, "category_id": c, "bbox": box, "score": s} for name, c, box, s in rows]
    expected = mine(pets, found_records(direct, "x", "xyxy"))
    tables = mine(pets, read_found(form(tmp_path, rows)))
    for name in TABLES:
        assert getattr(tables, name).equals(getattr(expected, name)), name


def test_a_folder_with_one_export_is_that_file(tmp_path):
    (tmp_path / "metrics.csv").write_text("x")
    (tmp_path / "predictions.json").write_text("[]")
    (tmp_path / "other.json").write_text("{}")
    assert len(read_found(tmp_path).rows) == 0


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"images": []}, "expected a list of COCO results, got dict"),
        (3, "expected a list of COCO results, got int"),
        ("text", "expected a list of COCO results, got str"),
        ([1], "record 0: expected an object"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]}, "record 0: lacks score"),
        (
            {"annotations": [{"image_id": 1}], "images": [{"id": 2, "file_name": "a.jpg"}]},
            "record 0: image_id 1 is not among the file's own",
        ),
    ],
)
def test_documents_without_predictions_are_refused(tmp_path, document, message):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"results.json.*{message}"):
        read_found(file)


def test_an_empty_folder_says_what_was_expected(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(DataError, match=r"one \*\.json with predictions; it has a\.json, b\.json"):
        read_found(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"a": 1}\n[2]\n', "not valid JSON"), (b'{"a": 1}\n{"b"\n', "not valid JSON"), (b"", "not")],
)
def test_lines_that_are_no_objects_are_no_json(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_json(tmp_path / "x.jsonl")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_of_the_encoding_is_no_part_of_the_text(tmp_path, encoding):
    (tmp_path / "x.json").write_bytes('[{"é": 1}]'.encode(encoding))
    assert read_json(tmp_path / "x.json") == [{"é": 1}]


def test_what_holds_parquet_is_seen_from_the_path(tmp_path):
    assert not holds_parquet(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"")
    assert holds_parquet(tmp_path)
    assert holds_parquet(tmp_path / "a.parquet")
    assert not holds_parquet(tmp_path / "a.json")
