"""The truth about planted label errors is kept beside the run that learns from them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from hardmine.data import Fold, hold_out, open_dataset
from hardmine.errors import ConfigError, RunError
from hardmine.mining import mine_run
from hardmine.training import RunFolder, train
from hardmine.training.data import open_training_data
from hardmine.training.mask_data import open_training_masks
from hardmine.training.out_of_fold import predict_for_mining
from hardmine.training.planted import planted_table, write_planted_masks

SHARES = "dropped=.3,shifted=.2,swapped=.2,spurious=.3"
SIDES = ("x1", "y1", "x2", "y2")


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "run"
    train(small(label_errors=SHARES, epochs=1), folder, progress=False)
    return folder


def labels_of(dataset):
    return {
        record.image_id: sorted(zip(record.labels.tolist(), record.boxes.tolist(), strict=True))
        for record in dataset.records
    }


def test_only_what_is_learnt_from_has_errors(small, small_data):
    train_data, val_data = open_training_data(small(label_errors=SHARES))
    assert labels_of(train_data) != labels_of(open_dataset(small_data, "train"))
    assert labels_of(val_data) == labels_of(open_dataset(small_data, "val"))


def test_a_held_out_fold_stays_right_and_the_rest_has_the_errors_of_the_whole(small, small_data):
    train_data, held = open_training_data(small(label_errors=SHARES, fold="1/2"))
    assert labels_of(held) == labels_of(hold_out(open_dataset(small_data, "train"), Fold(1, 2))[1])
    whole = labels_of(open_training_data(small(label_errors=SHARES))[0])
    assert labels_of(train_data) == {image: whole[image] for image in labels_of(train_data)}


def test_seed_and_recipe_change_no_error(small):
    first, second = small(label_errors=SHARES), small(label_errors=SHARES, seed=7, recipe="focal", detector="fcos")
    assert labels_of(open_training_data(first)[0]) == labels_of(open_training_data(second)[0])


def test_with_the_table_the_right_labels_come_back(run, small_data):
    config = RunFolder(run).read_config()
    train_data, _ = open_training_data(config)
    table = pl.read_parquet(run / "label_errors.parquet")
    assert set(table["kind"]) <= {"dropped", "shifted", "swapped", "spurious"}
    assert len(table) > 5
    labels = {
        image: [(train_data.classes[label], *box) for label, box in own] for image, own in labels_of(train_data).items()
    }
    for row in table.iter_rows(named=True):
        wrong, right = ((row[f"{of}category"], *(row[f"{of}{side}"] for side in SIDES)) for of in ("", "true_"))
        assert (wrong[0] is None, right[0] is None) == (row["kind"] == "dropped", row["kind"] == "spurious")
        if wrong[0] is not None:
            labels[row["image_id"]].remove(wrong)
        if right[0] is not None:
            labels[row["image_id"]].append(right)
    truth = open_dataset(small_data, "train")
    names = dict(zip((record.image_id for record in truth.records), truth.file_names, strict=True))
    assert all(row["file_name"] == names[row["image_id"]] for row in table.iter_rows(named=True))
    for record in truth.records:
        own = [(truth.classes[label], *box) for label, box in zip(record.labels, record.boxes.tolist(), strict=True)]
        assert sorted(own) == sorted(labels[record.image_id])


def test_without_errors_there_is_no_table(small, tmp_path):
    train(small(epochs=1), tmp_path / "run", progress=False)
    assert not (tmp_path / "run/label_errors.parquet").exists()


def test_a_table_of_no_error_has_its_columns(small):
    train_data, _ = open_training_data(small(label_errors="shifted=1e-9"))
    table = planted_table(train_data)
    assert len(table) == 0
    assert table.columns[:4] == ["image_id", "file_name", "kind", "category"]


def test_a_run_with_other_errors_is_another_run(run, small):
    with pytest.raises(RunError, match=r"label_errors is 'dropped=.3,.*' there and None here"):
        train(small(epochs=1), run, resume=True, progress=False)


def test_a_run_from_before_there_were_label_errors_goes_on(small, tmp_path):
    config = small(epochs=1)
    train(config, tmp_path / "run", progress=False)
    file = RunFolder(tmp_path / "run").config
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "label_errors" not in line))
    assert train(config, tmp_path / "run", resume=True, progress=False).config.label_errors is None


def test_what_is_mined_are_the_labels_that_were_learnt_from(run, small, tmp_path):
    learnt, _ = open_training_data(RunFolder(run).read_config())
    mined, _ = predict_for_mining(run, progress=False)
    assert labels_of(mined) == labels_of(learnt)
    mine_run(run, tmp_path / "mined", progress=False)
    second = small(label_errors=SHARES, epochs=1, mined=str(tmp_path / "mined"), suspects="drop")
    assert {r.image_id for r in open_training_data(second)[0].records} == {r.image_id for r in learnt.records}
    train(second, tmp_path / "second", progress=False)
    assert pl.read_parquet(tmp_path / "second/label_errors.parquet").equals(
        pl.read_parquet(run / "label_errors.parquet")
    )


def test_other_data_than_the_runs_is_mined_as_it_is(run, small_data):
    val_data, _ = predict_for_mining(run, progress=False, train_split="val")
    assert labels_of(val_data) == labels_of(open_dataset(small_data, "val"))


@pytest.mark.parametrize("text", ["", "lost=.1"])
def test_what_are_no_shares_is_no_configuration(small, text):
    with pytest.raises(ConfigError, match="expected shares of the objects"):
        small(label_errors=text)


def test_on_the_scenes(small):
    config = replace(small(data="scenes", image_size=None), label_errors="dropped=.5")
    train_data, val_data = open_training_data(config)
    before = [sum(len(record.boxes) for record in open_dataset("scenes", split).records) for split in ("train", "val")]
    after = [sum(len(record.boxes) for record in data.records) for data in (train_data, val_data)]
    assert after[1] == before[1]
    assert np.isclose(after[0], before[0] / 2, rtol=0.1)


def test_errors_in_masks_are_kept_a_region_a_row(masked, masked_data, tmp_path):
    config = masked(label_errors="swapped=.5,dropped=.2")
    train_data, _ = open_training_masks(config)
    write_planted_masks(tmp_path / "errors.parquet", train_data)
    table = pl.read_parquet(tmp_path / "errors.parquet")
    expected = [error for place in range(len(train_data)) for error in train_data.planted(place)]
    assert len(table) == len(expected) > 0
    for row, error in zip(table.iter_rows(named=True), expected, strict=True):
        assert (row["kind"], row["num_pixels"]) == (error.kind, error.num_pixels)
        assert (row["x1"], row["y1"], row["x2"], row["y2"]) == error.box
        assert row["category"] == train_data.classes[error.label]
        assert row["true_category"] == train_data.classes[error.true_label]
        assert row["file_name"] == f"train_{row['image_id'] - train_data.records[0].image_id}.png"
    write_planted_masks(tmp_path / "none.parquet", open_training_masks(masked())[0])
    assert not (tmp_path / "none.parquet").exists()
