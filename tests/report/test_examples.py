import polars as pl
import pytest

from hardmine.errors import ConfigError, DataError
from hardmine.report.examples import HARD_KINDS, SUSPECT_KINDS, read_examples
from hardmine.tables.columns import SIDES

EVERYTHING = 10_000


def table(mined, name):
    return pl.read_parquet(mined / f"{name}.parquet")


def test_every_suspect_and_every_hard_one_is_there_once(mined):
    examples = read_examples(mined, EVERYTHING)
    suspects = table(mined, "suspects")
    assert sorted(examples.rows["row"].drop_nulls()) == list(range(len(suspects)))
    counts = dict(examples.rows.group_by("kind").len().iter_rows())
    for name, kind in zip(("objects", "predictions"), HARD_KINDS, strict=True):
        assert counts[kind] == table(mined, name).filter(kind=kind).height
    assert counts == dict(examples.totals)
    assert examples.left_out == {}


def test_a_suspect_says_what_its_row_says(mined):
    rows = read_examples(mined, EVERYTHING).rows.drop_nulls("row")
    suspects = table(mined, "suspects")[rows["row"].to_list()]
    assert rows["value"].equals(suspects["probability"], check_names=False)
    assert rows["image_id"].equals(suspects["image_id"], check_names=False)
    for side in SIDES:
        assert rows[f"label_{side}"].equals(suspects[side], check_names=False, null_equal=True)
        assert rows[f"found_{side}"].equals(suspects[f"suggested_{side}"], check_names=False, null_equal=True)


def test_a_hard_one_is_beside_its_other_half(mined):
    examples = read_examples(mined, EVERYTHING)
    objects, predictions = table(mined, "objects"), table(mined, "predictions")
    positives = examples.rows.filter(kind="hard positive").drop_nulls("found_x1")
    hard = (
        objects.filter(kind="hard positive")
        .drop_nulls("prediction")
        .sort("hardness", "image_id", descending=[True, False])
    )
    assert positives["found_x1"].to_list() == predictions["x1"].gather(hard["prediction"]).to_list()
    negatives = examples.rows.filter(kind="hard negative")
    near = predictions.filter(kind="hard negative").drop_nulls("object")
    assert negatives["label_x1"].is_not_null().sum() == len(near) > 0
    assert negatives["label_x1"].null_count() > 0  # on nothing


def test_the_least_are_left_out_and_counted(mined):
    everything, few = read_examples(mined, EVERYTHING), read_examples(mined, 1)
    for kind in few.totals:
        assert few.rows.filter(kind=kind)["value"].item() == everything.rows.filter(kind=kind)["value"].max()
    assert few.left_out == {kind: num - 1 for kind, num in everything.totals.items() if num > 1}
    assert set(few.images["image_id"]) == set(few.rows["image_id"])
    assert set(few.labels["image_id"]) <= set(few.images["image_id"])


def test_other_suspects_have_another_fingerprint(mined):
    before = read_examples(mined, 1).fingerprint
    table(mined, "suspects").head(1).write_parquet(mined / "suspects.parquet")
    assert read_examples(mined, 1).fingerprint != before


def test_loss_is_there_where_it_was_recorded(mined):
    assert read_examples(mined, 5).rows["loss"].null_count() == len(read_examples(mined, 5).rows)
    table(mined, "objects").with_columns(loss_mean=pl.lit(1.25)).write_parquet(mined / "objects.parquet")
    losses = read_examples(mined, 5).rows.filter(kind="hard positive")["loss"]
    assert losses.to_list() == [1.25] * len(losses)


def test_what_cannot_be_used_is_refused(mined):
    with pytest.raises(ConfigError, match="at least 1"):
        read_examples(mined, 0)
    (mined / "objects.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="mine again"):
        read_examples(mined, 5)


def test_kinds_are_those_of_mining(mined):
    assert set(read_examples(mined, 5).rows["kind"]) <= {*SUSPECT_KINDS, *HARD_KINDS}
