import csv
from dataclasses import replace

import pytest

from hardmine.comparison import Measured, Protocol
from hardmine.errors import ConfigError
from hardmine.training import TrainingConfig
from tests.comparison.made import comparison, measured, other, row


def test_of_errors_the_lower_one_is_better():
    assert other(0.2).verdict == "better"
    assert replace(other(0.2)["ap"], lower_is_better=True).verdict == "worse"
    assert replace(other(0.001)["ap"], lower_is_better=True).verdict == other(0.001).verdict == "no difference seen"


def test_a_measure_that_nobody_took_is_nothing():
    assert row()["ap_small"] == Measured(None, ())


def test_one_seed_gives_no_verdict_and_the_notes_say_so():
    one = row("ohem", measured(0.9, baseline=(0.1,)))
    assert one.verdict == "one seed: no verdict"
    (about, *rest) = comparison(row(ap=measured(0.1)), one).notes
    assert "there is one seed" in about and "no verdict" in about  # noqa: PT018
    assert not any("four times in five" in note for note in rest)


def test_the_notes_say_what_could_have_been_seen():
    note = next(note for note in comparison(row(), other(0.01)).notes if "four times in five" in note)
    smallest = other(0.01).difference.smallest_detectable
    assert f"a difference of {smallest:.3f}" in note
    assert all(f"for {aimed}" in note for aimed in ("0.01", "0.02"))


def test_a_difference_beyond_what_there_can_be_is_none():
    wide = measured(0.9, 0.1, baseline=(0.1, 0.9))
    assert wide.difference.smallest_detectable > 1
    notes = comparison(row(), row("ohem", wide)).notes
    assert any("show no difference that there can be four times in five" in note for note in notes)


def test_groups_are_named_where_images_belong_together():
    config = TrainingConfig(group_by="patient")
    about, *_ = comparison(row(), other(0.01), config=config, num_units=12).notes
    assert "12 groups of 90 images (by patient)" in about


def test_what_is_chosen_is_told_by_its_result_on_test():
    rows = row(), other(0.2), other(-0.2, "hnm")
    on_test = row(), other(-0.1), other(0.3, "hnm")
    said = comparison(*rows, protocol=Protocol(test_split="test"), on_test=on_test)
    assert said.chosen.recipe == "ohem"
    assert any("Chosen by its AP: ohem; on test: -0.100" in note and note.endswith("worse.") for note in said.notes)
    stays = comparison(row(), other(-0.2), protocol=Protocol(test_split="test"), on_test=on_test)
    assert any("stays the choice" in note for note in stays.notes)


@pytest.mark.parametrize("changes", [{}, {"at_equal_time": (row(),)}, {"on_test": (row(), other(0.1))}])
def test_a_line_of_the_csv_is_a_measure_of_a_recipe_in_a_table(changes):
    made = comparison(row(), other(0.1), **changes)
    lines = list(csv.DictReader(made.to_csv().splitlines()))
    tables = (made.rows, made.at_equal_time, made.on_test)
    assert len(lines) == sum(len(of.measures) for table in tables for of in table)
    of_ohem = next(line for line in lines if line["recipe"] == "ohem")
    assert float(of_ohem["low"]) == made.rows[1].difference.low
    assert of_ohem["verdict"] == made.rows[1].verdict
    assert [float(value) for value in of_ohem["by_seed"].split()] == list(made.rows[1]["ap"].by_seed)


@pytest.mark.parametrize("margin", [0, -0.1, float("nan"), float("inf"), 1, 5])
def test_a_margin_that_is_no_difference_in_ap_is_refused(margin):
    with pytest.raises(ConfigError, match=r"margin must be above 0 and below 1.*leave it out"):
        Protocol(margin=margin)


def test_recipes_that_have_hardly_learnt_are_told():
    def said(*aps):
        rows = [row(f"recipe{place}", measured(ap, ap)) for place, ap in enumerate(aps)]
        return any("that they are alike says nothing yet" in note for note in comparison(*rows).notes)

    assert said(0.0, 0.009)
    assert not said(0.0, 0.011)
