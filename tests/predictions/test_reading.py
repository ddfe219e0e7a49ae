"""The same predictions in every form are the same; what holds none is refused."""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

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


NAMES = ("1", "007", "0.5 mm", "a.b", "a b", "ü", "c+d", "e#f", "g&h", "i%20j", "classes", "notes", "train", "=1")
COORDINATES = {
    "x": st.tuples(st.integers(0, 48), st.integers(1, 16)),
    "y": st.tuples(st.integers(0, 24), st.integers(1, 8)),
}
"""First and length, in an image whose sides are powers of two: so fractions and percents are exact."""


@st.composite
def objects(draw: st.DrawFn) -> tuple[int, float, float, float, float]:
    """Label and corners."""
    (x, width), (y, height) = (draw(spans) for spans in COORDINATES.values())
    return draw(st.integers(0, 2)), float(x), float(y), float(x + width), float(y + height)


@st.composite
def predicted(draw: st.DrawFn):
    """Images with their objects, and what a model found: rows grouped by image, in the order of text files."""
    stems = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    names = [draw(st.sampled_from(("", "cam/", "val/a b/"))) + f"{stem}.jpg" for stem in stems]
    truth = {name: draw(st.lists(objects(), max_size=3, unique=True)) for name in names}
    found = [
        (f"images/{name}", label, tuple(box), draw(st.integers(0, 16)) / 16)
        for name in sorted(names, key=lambda name: Path(name).with_suffix(".txt"))
        for label, *box in draw(
            st.lists(objects() | st.sampled_from(truth[name] or [(0, 0.0, 0.0, 8.0, 8.0)]), max_size=4)
        )
    ]
    assume(found)
    return truth, found


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_=predicted(), has_ids=st.booleans())
def test_every_form_gives_the_same_mined_tables(record, folder_of, form, given_, has_ids):
    """Bit for bit."""
    truth, rows = given_
    images = [record(100 + n, name, of, is_numbered=not has_ids) for n, (name, of) in enumerate(truth.items())]
    dataset = folder_of(images)
    direct = [{"file_name": name, "category_id": c, "bbox": box, "score": s} for name, c, box, s in rows]
    expected = mine(dataset, found_records(direct, "x", "xyxy"))
    with TemporaryDirectory() as folder:
        tables = mine(dataset, read_found(form(Path(folder), rows)))
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


def test_files_that_were_packed_one_by_one_are_one(tmp_path):
    record = b'{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}'
    parts = b"[" + record + b",", record + b"]"
    (tmp_path / "x.json.gz").write_bytes(b"".join(map(gzip.compress, parts)) + bytes(9))
    assert len(read_found(tmp_path / "x.json.gz").rows) == 2


@pytest.mark.parametrize("between", [" ", ", "])
def test_records_that_share_a_line_are_no_lines_of_records(tmp_path, between):
    record = '{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}'
    (tmp_path / "x.jsonl").write_text(f"{record}\n{record}{between}{record}\n")
    with pytest.raises(DataError, match="not valid JSON"):
        read_found(tmp_path / "x.jsonl")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("between", ["\n", "\r\n", "\n\n"])
def test_lines_are_read_in_the_encoding_that_they_name(tmp_path, encoding, between):
    """A separator of lines in a text, which JSON allows, is no end of a line of the file."""
    records = [{"é\u2028": 1}, {"b": 2}]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (tmp_path / "x.jsonl").write_bytes(between.join(lines).encode(encoding))
    assert read_json(tmp_path / "x.jsonl") == records


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
