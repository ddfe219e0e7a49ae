"""Mining by parts gives what mining at once gives, goes on after a stop, and refuses what it cannot use."""

import logging

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hardmine.data import open_scenes
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.mining import LabelFiles, label_files, labels_of, mine_shards, shards
from hardmine.mining.calibration import Calibration
from hardmine.mining.tables import TABLES, mine_tables

NUM_IMAGES = 40
KEYS = {"images": "image_id", "objects": "object", "predictions": "prediction"}


@pytest.fixture(scope="module")
def labels():
    return labels_of(open_scenes("val", NUM_IMAGES))


@pytest.fixture
def predictions(labels, tmp_path):
    """In two shards: most objects, a little moved, some as another class; and as many boxes on nothing."""
    found = labels.objects.select(
        "image_id",
        (pl.col("category_id") % 4 + (pl.col("object") % 5 == 0).cast(pl.Int64)).clip(1, 4).alias("category_id"),
        pl.col("x1") + 1,
        "y1",
        pl.col("x2") + 1,
        "y2",
        score=(pl.col("object") * 37 % 100) / 100,
    )
    beside = found.with_columns(pl.col("x1", "x2") + 45, score=1 - pl.col("score"))
    (tmp_path / "found").mkdir()
    for number, shard in enumerate((found, beside)):
        shard.write_parquet(tmp_path / f"found/{number}.parquet")
    return tmp_path / "found"


@pytest.fixture
def in_parts(monkeypatch):
    """Three parts, whatever the memory."""
    monkeypatch.setattr(shards, "_num_parts", lambda *_: 3)


def read(folder):
    tables = {name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    return {name: table.sort(KEYS[name]) if name in KEYS else table for name, table in tables.items()}


def at_once(labels, predictions, calibration=None):
    shard = pl.read_parquet(predictions / "*.parquet").with_row_index("prediction")
    names = pl.col("category_id").replace_strict(dict(labels.categories), return_dtype=pl.String)
    return mine_tables(labels, shard.with_columns(category=names), calibration)


def test_parts_are_the_whole(labels, predictions, in_parts, tmp_path, monkeypatch):
    monkeypatch.setattr(Calibration, "fit", lambda *_: Calibration(None))
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    expected, found = at_once(labels, predictions), read(tmp_path / "mined")
    for name, key in KEYS.items():
        table = getattr(expected, name).sort(key)
        assert_frame_equal(found[name].select(table.columns), table, check_dtypes=False)
    by = ["probability", "image_id", "object", "prediction"]
    assert_frame_equal(found["suspects"].sort(by), expected.suspects.sort(by), check_dtypes=False)
    names = {file.name for file in (tmp_path / "mined").iterdir()}
    assert {"README.md", "hard_positives.json", "suspects_cvat.xml", "image_weights.csv"} < names
    assert not any(name.startswith("part") for name in names)
    assert list(tmp_path.glob(".*")) == []


def test_all_parts_are_judged_by_what_the_first_taught(labels, predictions, in_parts, tmp_path, monkeypatch):
    fitted, original = [], Calibration.fit
    monkeypatch.setattr("hardmine.mining.calibration.FEWEST_OBJECTS", 10)
    monkeypatch.setattr(Calibration, "fit", lambda *given: fitted.append(original(*given)) or fitted[-1])
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    assert len(fitted) == 1
    expected = at_once(labels, predictions, fitted[0]).objects
    found = read(tmp_path / "mined")["objects"]
    others = ["object", "badly_located"]
    assert_frame_equal(found.select(others), expected.sort("object").select(others), check_dtypes=False)


def test_what_was_stopped_goes_on_at_the_next_part(labels, predictions, in_parts, tmp_path, monkeypatch):
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "whole")
    mined, original = [], shards.mine_tables

    def stopped(*given):
        mined.append(given)
        if len(mined) == 2:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(shards, "mine_tables", stopped)
    with pytest.raises(KeyboardInterrupt):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    assert not (tmp_path / "mined").exists()
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    assert len(mined) == 4  # the first once, the second twice, the third once
    for name, table in read(tmp_path / "whole").items():
        assert_frame_equal(read(tmp_path / "mined")[name], table)


def test_predictions_that_changed_since_are_not_mixed_in(labels, predictions, in_parts, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    file = predictions / "0.parquet"
    pl.read_parquet(file).with_columns(score=pl.col("score") / 2).write_parquet(file)
    with pytest.raises(RunError, match="holds parts of another mining"):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")


def test_parts_of_another_mining_are_not_mixed_in(labels, predictions, in_parts, tmp_path):
    (tmp_path / ".mined.unfinished").mkdir()
    (tmp_path / ".mined.unfinished/plan.json").write_text("{}")
    with pytest.raises(RunError, match="holds parts of another mining"):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")


def test_the_less_memory_the_more_parts(labels, predictions, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shards, "BYTES_A_ROW", 2**20)
    rows = len(labels.objects) * 3
    with caplog.at_level(logging.INFO, "hardmine"):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined", memory=shards.LEAST_MEMORY + 0.1)
    assert len(caplog.messages) == -(-rows * 10 // 1024)
    with pytest.raises(ConfigError, match="memory must be above"):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "more", memory=0.5)


def test_a_mined_folder_has_labels(labels, predictions, tmp_path):
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    files = label_files(tmp_path / "mined")
    mine_shards(files, predictions, tmp_path / "again")
    assert files.categories == labels.categories
    assert_frame_equal(read(tmp_path / "again")["objects"], read(tmp_path / "mined")["objects"], check_dtypes=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 99}, r"record 1: image_id that the labels do not have: \{'image_id': 99"),
        ({"category_id": 9}, "record 1: category_id that the labels do not have"),
        ({"x1": float("nan")}, "record 1: corner or score that is no number"),
        ({"score": None}, "record 1: corner or score that is no number"),
        ({"x2": -1.0}, "record 1: right or lower side before the left or upper"),
        ({"score": 1.5}, "record 1: score is 1.5, expected 0 to 1"),
        ({"score": 0.0}, "record 1: the same as record 0"),
    ],
)
def test_records_that_do_not_fit_are_named(labels, tmp_path, change, message):
    first = {"image_id": 1, "category_id": 1, "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "score": 0.0}
    pl.DataFrame([first, first | {"score": 0.5} | change]).write_parquet(tmp_path / "found.parquet")
    with pytest.raises(DataError, match=message):
        mine_shards(LabelFiles.of(labels), tmp_path / "found.parquet", tmp_path / "mined")
    assert not (tmp_path / "mined").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "cannot be read as Parquet"),
        (pl.DataFrame({"image_id": [1]}), "lacks category_id, x1"),
        (pl.DataFrame(schema=shards.RESULT), "no prediction in it"),
    ],
)
def test_files_that_hold_no_predictions_are_refused(labels, tmp_path, table, message):
    if table is not None:
        table.write_parquet(tmp_path / "found.parquet")
    with pytest.raises(DataError, match=message):
        mine_shards(LabelFiles.of(labels), tmp_path / "found.parquet", tmp_path / "mined")


@pytest.mark.parametrize(("table", "key"), [("images", "image_id"), ("categories", "category_id")])
def test_an_object_of_no_image_or_class_is_refused(labels, predictions, tmp_path, table, key):
    categories = pl.DataFrame({"category_id": list(labels.categories), "category": list(labels.categories.values())})
    tables = {"images": labels.images, "objects": labels.objects, "categories": categories}
    tables[table] = tables[table].filter(pl.col(key) != 3)
    for name, rows in tables.items():
        rows.write_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=rf"{key} 3 is not in {table}\.parquet"):
        mine_shards(label_files(tmp_path), predictions, tmp_path / "mined")
