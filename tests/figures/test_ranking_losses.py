import pytest

from hardmine.figures.ranking_losses import draw_ranking
from hardmine.recipes import RECIPES


def of(recipe: str):
    good, bad, negatives = (series for panel in draw_ranking(RECIPES[recipe]()).panels for series in panel.series)
    return good, bad, negatives


@pytest.mark.parametrize("recipe", ["ap_loss", "alrp", "rs_loss"])
def test_what_raises_positives_lowers_negatives_by_as_much(recipe):
    good, bad, negatives = of(recipe)
    assert sum(good.y) + sum(bad.y) == pytest.approx(-sum(negatives.y), rel=1e-5)
    assert (len(good.x), len(bad.x), len(negatives.x)) == (8, 8, 240)


def test_a_positive_below_all_negatives_is_pushed_hardest_and_one_above_all_not_at_all():
    good, bad, negatives = of("ap_loss")
    assert max(bad.x) > max(negatives.x) + 1
    assert bad.y[bad.x.index(max(bad.x))] == 0
    assert min(good.y) == good.y[good.x.index(min(good.x))]
    assert negatives.y[negatives.x.index(max(negatives.x))] == max(negatives.y)


def test_rank_and_sort_lowers_a_bad_box_that_stands_above_good_ones():
    good, bad, _ = of("rs_loss")
    assert bad.y[bad.x.index(max(bad.x))] > 0
    assert max(good.y) < 0


def test_dr_loss_lowers_the_worst_negative_most():
    _, _, negatives = of("dr_loss")
    assert negatives.y[negatives.x.index(max(negatives.x))] == max(negatives.y) > 0.1
