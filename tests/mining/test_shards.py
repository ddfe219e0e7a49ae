"""Mining by parts gives what mining at once gives, goes on after a stop, and refuses what it cannot use."""

import errno
import json
import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hardmine.data import open_scenes
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.mining import LabelFiles, label_files, labels_of, mine_shards, shards
from hardmine.mining.calibration import Calibration
from hardmine.mining.tables import TABLES, mine_tables
from hardmine.predictions.parquet import NUMBERS

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
        patch.setattr(shards, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
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
    assert sum(message.startswith("part ") for message in caplog.messages) == -(-rows * 10 // 1024)
    assert "too few labels to learn" in caplog.text
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
        ({"category_id": 9}, r"record 1: category_id 9 is not in the ground truth \(it has \[1, 2, 3"),
        ({"image_id": None}, r"record 1: image_id that the labels do not have: \{'image_id': None"),
        ({"category_id": None}, "record 1: category_id None is not in the ground truth"),
        ({"image_id": 1.5}, "record 1: image_id that the labels do not have"),
        ({"x1": float("nan")}, "record 1: corner that is no number"),
        ({"y2": None}, "record 1: corner that is no number"),
        ({"score": None}, "record 1: score that is no number"),
        ({"x2": -1.0}, "record 1: right or lower side before the left or upper"),
        ({"score": 1.5}, "record 1: score is 1.5, expected 0 to 1"),
    ],
)
def test_records_that_do_not_fit_are_named(labels, tmp_path, change, message):
    first = {"image_id": 1, "category_id": 1, "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "score": 0.0}
    pl.DataFrame([first, first | {"score": 0.5} | change], strict=False).write_parquet(tmp_path / "found.parquet")
    with pytest.raises(DataError, match=message):
        mine_shards(LabelFiles.of(labels), tmp_path / "found.parquet", tmp_path / "mined")
    assert not (tmp_path / "mined").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "cannot read .*No such file or directory"),
        (pl.DataFrame({"image_id": [1]}), "lacks category_id or category, x1"),
        (pl.DataFrame(schema={"image_id": pl.Int64, "category_id": pl.Int64, **NUMBERS}), "no prediction in it"),
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
    found = pl.read_parquet(predictions / "*.parquet").filter(pl.col(key) != 3)
    found.write_parquet(tmp_path / "found.parquet")
    with pytest.raises(
        DataError, match=rf"objects\.parquet, record \d+: {key} that is not in {table}\.parquet.*'{key}': 3"
    ):
        mine_shards(label_files(tmp_path), tmp_path / "found.parquet", tmp_path / "mined")


@pytest.fixture
def files(labels, tmp_path):
    """A folder with the labels, and a function that changes a table there."""
    folder = tmp_path / "labels"
    folder.mkdir()
    categories = pl.DataFrame({"category_id": list(labels.categories), "category": list(labels.categories.values())})
    for name, table in {"images": labels.images, "objects": labels.objects, "categories": categories}.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def change(folder, name, **columns):
    table = pl.read_parquet(folder / f"{name}.parquet")
    table.with_columns(**columns).write_parquet(folder / f"{name}.parquet")


def in_row(number, value, name):
    return pl.when(pl.int_range(pl.len()) == number).then(value).otherwise(pl.col(name))


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("images", "image_id", None, r"images\.parquet, record 1: no id, name, width or height: \{'image_id': None"),
        ("images", "width", None, "no id, name, width or height"),
        ("images", "height", 0, "width or height below 1"),
        ("images", "image_id", 3, "image_id twice: {'image_id': 3"),
        ("objects", "image_id", None, r"objects\.parquet, record 4: image_id that is not in images\.parquet"),
        ("objects", "category_id", None, "record 4: category_id that is not in categories"),
        ("objects", "x2", None, "record 4: corner that is no number"),
        ("objects", "y1", float("inf"), "record 4: corner that is no number"),
        ("objects", "x2", -5.0, "record 4: right or lower side before the left or upper"),
        ("objects", "is_crowd", None, "record 4: is_crowd neither true nor false"),
        ("categories", "category_id", None, r"categories\.parquet, record 1: no id or name"),
        ("categories", "category_id", 3, "id twice"),
    ],
)
def test_labels_that_cannot_be_used_are_named_by_file_and_row(
    files, predictions, in_parts, tmp_path, table, column, value, message
):
    change(files, table, **{column: in_row({"objects": 4}.get(table, 1), value, column)})
    with pytest.raises(DataError, match=message):
        mine_shards(label_files(files), predictions, tmp_path / "mined")


def stopped_in(monkeypatch, function, after=0):
    """Raises KeyboardInterrupt in a call of a function of `shards`, or behind it; all before it are made."""
    original, calls = getattr(shards, function), []

    def stop(*given):
        calls.append(given)
        if len(calls) > after:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(shards, function, stop)


def test_labels_that_were_corrected_since_are_not_mixed_in(files, predictions, in_parts, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_in(patch, "_write_part", after=2)
        with pytest.raises(KeyboardInterrupt):
            mine_shards(label_files(files), predictions, tmp_path / "mined")
    change(files, "objects", category_id=pl.col("category_id") % 4 + 1)
    with pytest.raises(RunError, match="before its labels, predictions or options changed; delete it"):
        mine_shards(label_files(files), predictions, tmp_path / "mined")


def test_labels_in_memory_that_were_corrected_are_not_mixed_in(labels, predictions, in_parts, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped_in(patch, "_write_part", after=2)
        with pytest.raises(KeyboardInterrupt):
            mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    corrected = replace(labels, objects=labels.objects.with_columns(pl.col("x1") - 1))
    with pytest.raises(RunError, match="holds parts of another mining"):
        mine_shards(LabelFiles.of(corrected), predictions, tmp_path / "mined")
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")


@pytest.mark.parametrize("num_removed", [0, 1, 2])
def test_a_mining_killed_while_it_removes_its_parts_is_finished(
    labels, predictions, in_parts, tmp_path, monkeypatch, num_removed
):
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "whole")
    remove, removed = shutil.rmtree, []

    def killed(part):
        if len(removed) == num_removed:
            next(part.iterdir()).unlink()
            raise KeyboardInterrupt
        removed.append(part)
        remove(part)

    with monkeypatch.context() as patch:
        patch.setattr(shards.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    for name, table in read(tmp_path / "whole").items():
        assert_frame_equal(read(tmp_path / "mined")[name], table)
    assert list(tmp_path.glob(".*")) == []


def test_what_is_left_of_a_finished_mining_stands_in_no_way(labels, predictions, in_parts, tmp_path, monkeypatch):
    """Killed while it removed its parts; then the result was thrown away, or the labels changed."""
    with monkeypatch.context() as patch:
        patch.setattr(shards.shutil, "rmtree", lambda part: (next(part.iterdir()).unlink(), interrupt()))
        with pytest.raises(KeyboardInterrupt):
            mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    corrected = replace(labels, objects=labels.objects.with_columns(pl.col("x1") - 1))
    with pytest.raises(RunError, match="exists already"):
        mine_shards(LabelFiles.of(corrected), predictions, tmp_path / "mined")
    shutil.rmtree(tmp_path / "mined")
    mine_shards(LabelFiles.of(corrected), predictions, tmp_path / "mined")
    assert len(read(tmp_path / "mined")["objects"]) == len(labels.objects)


def interrupt():
    raise KeyboardInterrupt


def test_a_mining_killed_just_before_its_last_step_goes_on(labels, predictions, in_parts, tmp_path, monkeypatch):
    rename = Path.replace

    def killed(self, target):
        if self.name == "joined":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    assert (tmp_path / ".mined.unfinished/published.json").exists()
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined", top=1)
    assert len(json.loads((tmp_path / "mined/hard_negatives.json").read_text())["annotations"]) == 1
    assert list(tmp_path.glob(".*")) == []


def test_rows_that_were_lost_are_noticed(labels, predictions, in_parts, tmp_path, monkeypatch):
    take = shards._take
    monkeypatch.setattr(shards, "_take", lambda table, *where: take(table, *where).head(12))
    with pytest.raises(RunError, match=r"\d+ rows of images in its parts, expected 40"):
        mine_shards(LabelFiles.of(replace(labels, objects=labels.objects.head(0))), predictions, tmp_path / "mined")


@pytest.mark.parametrize(
    "options", [{"memory": math.nan}, {"memory": math.inf}, {"memory": -1e300}, {"memory": 0.75 + 1e-12}, {"top": 0}]
)
def test_numbers_that_make_no_sense_are_refused(labels, predictions, tmp_path, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined", **options)
    assert list(tmp_path.iterdir()) == [predictions]


def test_numbers_that_are_only_large_are_taken(labels, predictions, tmp_path):
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined", memory=1e300, top=10**30)
    assert (tmp_path / "mined/README.md").exists()


def test_as_many_parts_as_there_may_be_are_mined(labels, predictions, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_num_parts", lambda *_: 300)
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
    assert len(read(tmp_path / "mined")["images"]) == NUM_IMAGES


def test_a_folder_of_predictions_that_is_not_finished_is_refused(labels, predictions, tmp_path):
    (predictions / "plan.json").write_text('{"shards": ["0.parquet", "1.parquet", "2.parquet"]}')
    with pytest.raises(DataError, match="found is not finished: it lacks 1 of 3 files"):
        mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")


def test_a_name_as_long_as_a_name_may_be_is_mined_into(labels, predictions, in_parts, tmp_path):
    mine_shards(LabelFiles.of(labels), predictions, tmp_path / ("a" * 255))
    assert (tmp_path / ("a" * 255) / "README.md").exists()


def test_a_full_disk_is_told_from_a_missing_permission(labels, predictions, in_parts, tmp_path, monkeypatch):
    full = pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)")
    denied = PermissionError(errno.EACCES, "Permission denied")
    for error, remedy in ((full, "No space left on device; make room"), (denied, "Permission denied; change its")):
        monkeypatch.setattr(shards, "_write_part", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(RunError, match=f"cannot write .*mined: {remedy}.*goes on where this stopped"):
            mine_shards(LabelFiles.of(labels), predictions, tmp_path / "mined")
