import pytest

from hardmine.figures.gradients import draw_gradients
from hardmine.recipes import RECIPES


@pytest.mark.parametrize("recipe", ["hnm", "ce", "atss", "eqlv2", "dr_loss"])
def test_shares_are_shares(recipe, dense):
    kinds, ious, scores = draw_gradients(RECIPES[recipe](), dense).panels
    for panel in (kinds, ious, scores):
        own, mine = panel.series
        assert (own.name, mine.name, mine.is_own) == ("detector's own", recipe, True)
        assert sum(own.y) == pytest.approx(1)
        assert sum(mine.y) == pytest.approx(1)


def test_the_default_beside_itself_is_the_same(two_stage):
    for panel in draw_gradients(RECIPES["random"](), two_stage).panels:
        own, mine = panel.series
        assert own.y == mine.y


def test_cross_entropy_drowns_in_negatives_and_three_to_one_mining_does_not(dense):
    of_negatives = {name: draw_gradients(RECIPES[name](), dense).panels[0].series[1].y[1] for name in ("ce", "hnm")}
    assert of_negatives["ce"] > of_negatives["hnm"]


def test_only_negatives_are_told_apart_by_their_iou(two_stage):
    _, ious, _ = draw_gradients(RECIPES["ohem"](), two_stage).panels
    assert [series.y[-1] for series in ious.series] == [0, 0], "positives are those with IoU from .5 on"


def test_the_note_says_where_the_samples_are_from(two_stage):
    assert "12 images of scenes (train); fasterrcnn of run" in draw_gradients(RECIPES["ohem"](), two_stage).note
