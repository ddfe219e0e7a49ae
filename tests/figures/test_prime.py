import pytest

from hardmine.figures.prime import draw_carl, draw_isr, draw_pisa
from hardmine.recipes import RECIPES


def bars(panel) -> list[float]:
    heights = {x: y for series in panel.series for x, y in zip(series.x, series.y, strict=True)}
    return [heights[x] for x in range(len(panel.ticks))]


def test_the_worked_example_is_ranked_d_c_a_e_b():
    ious, weights = draw_isr(RECIPES["isr"]()).panels
    assert ious.ticks == weights.ticks == ["D", "C", "A", "E", "B"]
    assert bars(ious) == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.65])


def test_weights_fall_with_the_square_of_the_rank_and_keep_the_sum():
    weights = bars(draw_isr(RECIPES["isr"]()).panels[1])
    assert sum(weights) == pytest.approx(5)
    assert weights == pytest.approx([5 * share / 55 for share in (25, 16, 9, 4, 1)])
    assert bars(draw_isr(RECIPES["isr"](k=0.0)).panels[1]) == pytest.approx([1] * 5)


def test_carl_counts_boxes_by_their_score_with_mean_one():
    (share,) = draw_carl(RECIPES["carl"]()).panels[0].series
    assert sum(share.y) / len(share.y) == pytest.approx(1)
    assert share.y[-1] / share.y[0] == pytest.approx((0.8 * 0.98 + 0.2) / (0.8 * 0.02 + 0.2))


def test_carl_raises_scores_of_better_boxes_and_lowers_those_of_worse():
    better, worse = draw_carl(RECIPES["carl"]()).panels[1].series
    assert max(better.y) < 0 < min(worse.y)
    assert better.y == pytest.approx([-y for y in worse.y], abs=1e-6)  # as many of both: they lie around the mean


def test_pisa_shows_both_halves_with_its_own_options():
    figure = draw_pisa(RECIPES["pisa"](k=1.0, carl_bias=1.0))
    assert [len(row) for row in figure.rows] == [2, 2]
    assert bars(figure.panels[1]) == pytest.approx([5 * share / 15 for share in (5, 4, 3, 2, 1)])
    assert figure.panels[2].series[0].y == pytest.approx([1] * 25)
