"""COCO results of any size are mined by parts as Parquet is, and what was converted for it goes when it is done."""

import gzip
import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hardmine.data import open_scenes
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.mining import LabelFiles, labels_of, mine, mine_shards, shards
from hardmine.mining.found_files import SMALLEST, may_exceed
from hardmine.mining.tables import TABLES
from hardmine.predictions import Confirmed, read_found
from hardmine.predictions.found import BOX_FORMATS

NUM_IMAGES = 30


@pytest.fixture(scope="module")
def scenes():
    return open_scenes("val", NUM_IMAGES)


@pytest.fixture(scope="module")
def results(scenes):
    """Most objects, a little moved, some as another class."""
    return [
        {
            "image_id": record.image_id,
            "category_id": scenes.category_ids[(label + (place % 5 == 0)) % len(scenes.classes)],
            "bbox": [float(x1) + 1, float(y1), float(x2 - x1), float(y2 - y1)],
            "score": (37 * place % 100) / 100,
        }
        for record in scenes.records
        for place, ((x1, y1, x2, y2), label) in enumerate(zip(record.boxes, record.labels, strict=True))
    ]


def in_format(results, scenes, box_format):
    """The results with their boxes written in another format."""
    size = {record.image_id: (record.width, record.height) * 2 for record in scenes.records}

    def box(result):
        x, y, w, h = result["bbox"]
        numbers = {"xywh": (x, y, w, h), "xyxy": (x, y, x + w, y + h), "cxcywh": (x + w / 2, y + h / 2, w, h)}
        scale = size[result["image_id"]] if box_format.endswith("n") else (1, 1, 1, 1)
        return [a / b for a, b in zip(numbers[box_format.removesuffix("n")], scale, strict=True)]

    return [result | {"bbox": box(result)} for result in results]


def mined(scenes, file, out, **options):
    mine_shards(LabelFiles.of(labels_of(scenes), scenes), file, out, **options)
    return {name: pl.read_parquet(out / f"{name}.parquet") for name in TABLES}


@pytest.mark.parametrize("box_format", BOX_FORMATS)
def test_in_one_part_it_is_what_mining_at_once_gives(scenes, results, tmp_path, box_format):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(in_format(results, scenes, box_format)))
    confirmed = Confirmed(box_format)
    expected = mine(scenes, read_found(file, box_format), confirmed=confirmed)
    for name, table in mined(scenes, file, tmp_path / "mined", confirmed=confirmed).items():
        of_name = getattr(expected, name)
        assert_frame_equal(table.select(of_name.columns), of_name, check_dtypes=False, check_exact=True)


def test_in_several_parts_every_image_and_prediction_is_there_once(scenes, results, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_num_parts", lambda *_: 4)
    file = tmp_path / "results.json.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, results)).encode()))
    tables = mined(scenes, file, tmp_path / "mined")
    assert sorted(tables["images"]["image_id"]) == sorted(record.image_id for record in scenes.records)
    assert sorted(tables["predictions"]["prediction"]) == list(range(len(results)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mined", "results.json.gz"]


def test_what_was_stopped_goes_on_with_what_was_converted(scenes, results, tmp_path, monkeypatch):
    file, out = tmp_path / "results.json", tmp_path / "mined"
    file.write_text(json.dumps(results))
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_write_part", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(RunError, match="goes on where this stopped"):
            mined(scenes, file, out)
    with monkeypatch.context() as patch:
        patch.setattr("hardmine.mining.found_files._write", lambda *_: pytest.fail("converted again"))
        mined(scenes, file, out)
    with pytest.raises(RunError, match="exists already"):
        mined(scenes, file, out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 10**6}, r"results\.json, record 1: image_id 1000000"),
        ({"category_id": 10**6}, r"results\.json, record 1: category_id 1000000"),
        ({"score": None}, r"results\.json, record 1: score must be"),
        ({"score": 7}, r"results\.json, record 1: score is 7"),
    ],
)
def test_a_record_that_does_not_fit_is_named_as_at_once(scenes, results, tmp_path, change, message):
    file = tmp_path / "results.json"
    file.write_text(json.dumps([results[0], results[1] | change, *results[2:]]))
    with pytest.raises(DataError, match=message):
        mined(scenes, file, tmp_path / "mined")
    with pytest.raises(DataError, match=message):
        mine(scenes, read_found(file))
    assert not (tmp_path / ".mined.found").exists() or "score is 7" in message


def test_boxes_of_another_format_are_named_as_at_once(scenes, results, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(in_format(results, scenes, "xyxy")))
    with pytest.raises(DataError, match="give --box-format xyxy"):
        mined(scenes, file, tmp_path / "mined")
    with pytest.raises(ConfigError, match="expected one of xywh"):
        mined(scenes, file, tmp_path / "mined", confirmed=Confirmed("corners"))
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_only_results_that_may_be_too_many_are_mined_by_parts(results, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    assert not may_exceed(file, file.stat().st_size // SMALLEST + 1)
    assert may_exceed(file, 3)
    file.write_text(json.dumps({"samples": [{"filepath": "a.jpg", "note": "x" * 1000}]}))
    assert not may_exceed(file, 3)
    assert not may_exceed(tmp_path, 0)
    assert not may_exceed(tmp_path / "missing.json", 0)


def test_the_smallest_record_is_as_small_as_it_is_said_to_be():
    record = {"image_id": 1, "category_id": 1, "bbox": [0] * 4, "score": 0}
    assert len(json.dumps(record, separators=(",", ":"))) >= SMALLEST
