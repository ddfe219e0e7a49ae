import pytest

from hardmine.errors import DataError
from hardmine.report.diagnosed import MOST_BARS, read_diagnosis
from tests.report.conftest import diagnosis


def test_each_table_has_a_panel_a_recipe_with_the_numbers_of_the_file(tmp_path):
    facts = diagnosis()
    (head,) = read_diagnosis(tmp_path, facts).heads
    kinds = head.tables[0]
    assert [panel.title for panel in kinds.panels] == ["random", "focal"]
    bins = facts["recipes"]["focal"]["heads"]["classification"]["tables"]["kind"]
    drawn = {series.name: list(series.y) for series in kinds.panels[1].series}
    assert drawn == {
        share: [one[share] for one in bins] for share in ("samples", "loss", "weight")
    }  # no gradient there
    assert kinds.rows[1] == ("focal", bins)


def test_of_many_bins_the_largest_are_drawn_and_the_table_has_all(tmp_path):
    (head,) = read_diagnosis(tmp_path, diagnosis()).heads
    images = head.tables[1]
    assert images.num_left_out == 40 - MOST_BARS
    assert all(len(panel.ticks) == MOST_BARS for panel in images.panels)
    assert len(images.rows[0][1]) == 40
    assert "image 0" in images.panels[0].ticks


def test_a_recipe_without_a_head_or_a_table_is_left_out(tmp_path):
    facts = diagnosis()
    facts["recipes"]["focal"]["heads"]["boxes"] = {"tables": {"kind": [{"bin": "a", "loss": 1.0}]}}
    heads = read_diagnosis(tmp_path, facts).heads
    assert [head.name for head in heads] == ["classification", "boxes"]
    assert [label for label, _ in heads[1].tables[0].rows] == ["focal"]


def test_what_holds_it_back_is_one_list(tmp_path):
    facts = diagnosis() | {"held_back": {"precision": 0.5, "shares": {"missed": 0.25}}}
    assert read_diagnosis(tmp_path, facts).held_back == {"precision": 0.5, "shares, missed": 0.25}
    assert read_diagnosis(tmp_path, facts | {"held_back": None}).held_back == {}


def test_what_is_lacking_is_named(tmp_path):
    facts = diagnosis()
    del facts["recipes"]["focal"]["heads"]["classification"]["tables"]
    with pytest.raises(DataError, match=r"diagnosis\.json lacks or mistakes 'tables'"):
        read_diagnosis(tmp_path, facts)
