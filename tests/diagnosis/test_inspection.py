import json
from dataclasses import replace

import polars as pl
import pytest

from hardmine.diagnosis.inspection import Inspection, long_table, write_inspection
from hardmine.errors import RunError
from tests.diagnosis.test_sentences import tables


def inspection(**heads) -> Inspection:
    recipes = {"random": heads or {"dense": tables()}, "ce": heads or {"dense": tables()}}
    return Inspection.of("retinanet", recipes, data="scenes", split="train", num_images=30)


def test_the_file_has_the_shape_that_others_build_on(tmp_path):
    folder = write_inspection(inspection(), tmp_path / "new")
    stored = json.loads((folder / "diagnosis.json").read_text())
    assert {"detector", "run", "data", "split", "num_images", "recipes", "held_back", "sentences"} <= set(stored)
    assert stored["run"] is stored["held_back"] is None
    head = stored["recipes"]["random"]["heads"]["dense"]
    assert set(head) == {"tables", "totals"}
    for rows in head["tables"].values():
        assert all({"bin", "count", "samples", "loss", "weight", "gradient"} <= set(row) for row in rows)
    assert all(isinstance(value, int | float) for value in head["totals"].values())
    assert all(set(sentence) == {"text", "numbers"} for sentence in stored["sentences"])


def test_the_tables_are_rows_of_one_number_each(tmp_path):
    found = inspection()
    folder = write_inspection(found, tmp_path / "new")
    stored = pl.read_parquet(folder / "tables.parquet")
    assert stored.equals(long_table(found))
    assert pl.read_csv(folder / "tables.csv").height == stored.height
    shares = (
        stored.filter(pl.col("measure") == "gradient").group_by("recipe", "head", "table").agg(pl.col("value").sum())
    )
    assert shares.filter(pl.col("table") != "totals")["value"].to_list() == pytest.approx([1.0] * (len(shares) - 2))
    assert stored.filter(pl.col("table") == "totals")["measure"].n_unique() == len(found.recipes["ce"]["dense"].totals)


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        write_inspection(inspection(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot"):
        write_inspection(inspection(), tmp_path / "file" / "new")


def test_the_head_that_detects_is_the_one_that_is_spoken_of():
    assert inspection(rpn=tables(), roi=tables()).final_head == "roi"
    assert inspection(one2many=tables(), one2one=tables()).final_head == "one2one"
    assert inspection(aux_0=tables(), last=tables(), encoder=tables()).final_head == "last"
    assert inspection(**{"rpn": tables(), "roi 0": tables(), "roi 1": tables()}).final_head == "roi 1"


def test_it_reads_as_its_sentences():
    found = inspection()
    assert str(found).splitlines() == [sentence.text for sentence in found.sentences]
    assert str(replace(found, sentences=())) == ""
