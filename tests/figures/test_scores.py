import math

import pytest

from hardmine.figures import Series
from hardmine.figures.scores import draw_class_balance, draw_focusing, draw_qualities
from hardmine.recipes import RECIPES


def named(figure, panel: int) -> dict[str, Series]:
    return {series.name: series for series in figure.panels[panel].series}


def at(series: Series, x: float) -> float:
    place = min(range(len(series.x)), key=lambda i: abs(series.x[i] - x))
    assert series.x[place] == pytest.approx(x, abs=1e-9)
    return series.y[place]


def test_focal_loss_is_a_hundredth_of_cross_entropy_at_nine_tenths():
    losses = named(draw_focusing(RECIPES["focal"]()), 0)
    assert at(losses["γ = 0"], 0.9) == pytest.approx(-math.log(0.9))
    assert at(losses["γ = 2"], 0.9) == pytest.approx(at(losses["γ = 0"], 0.9) / 100)
    assert at(losses["γ = 2"], 0.5) == pytest.approx(at(losses["γ = 0"], 0.5) / 4)


def test_the_recipes_own_options_are_drawn():
    losses = named(draw_focusing(RECIPES["focal"](gamma=1.0, alpha=0.4)), 0)
    own = losses["focal, positives"]
    assert own.is_own
    assert at(own, 0.3) == pytest.approx(-0.4 * 0.7 * math.log(0.3))
    assert at(losses["focal, negatives"], 0.3) == pytest.approx(-0.6 * 0.7 * math.log(0.3))


def test_the_gradient_of_cross_entropy_is_what_is_missing_to_the_truth():
    slopes = named(draw_focusing(RECIPES["ce"]()), 1)
    for x, y in zip(slopes["γ = 0"].x, slopes["γ = 0"].y, strict=True):
        assert y == pytest.approx(1 - x)
    for side in ("positives", "negatives"):
        assert slopes[f"ce, {side}"].y == pytest.approx(slopes["γ = 0"].y)


def test_gradients_are_the_slopes_of_the_losses():
    for figure in (draw_focusing(RECIPES["focal"]()), draw_qualities(RECIPES["qfl"]())):
        losses, slopes = named(figure, 0), named(figure, 1)
        for name, loss in losses.items():
            x, y = loss.x, loss.y
            for i in (20, 80, 150):
                by_logit = (y[i + 1] - y[i - 1]) / (x[i + 1] - x[i - 1]) * x[i] * (1 - x[i])
                assert abs(by_logit) == pytest.approx(abs(slopes[name].y[i]), rel=0.02, abs=1e-4), (name, x[i])


@pytest.mark.parametrize(
    ("recipe", "target"), [("qfl", 0.6), ("gfl", 0.6), ("tood", 0.6), ("vfl", 0.6), ("mal", 0.6**1.5)]
)
def test_a_positive_rests_where_its_score_says_its_quality(recipe, target):
    slope = named(draw_qualities(RECIPES[recipe]()), 1)["positive, quality 0.6"]
    below = [y for x, y in zip(slope.x, slope.y, strict=True) if x < target - 0.006]
    above = [y for x, y in zip(slope.x, slope.y, strict=True) if x > target + 0.006]
    assert max(below) < 0 < min(above)


@pytest.mark.parametrize("recipe", ["qfl", "vfl", "mal"])
def test_negatives_are_only_ever_lowered(recipe):
    slope = named(draw_qualities(RECIPES[recipe]()), 1)["negative"]
    assert min(slope.y) >= 0
    assert slope.y[20] < slope.x[20]  # less than cross entropy, whose gradient is p


def test_a_rare_class_is_pressed_less_by_its_negatives_and_raised_more_by_its_positives():
    figure = draw_class_balance(RECIPES["eqlv2"]())
    positives, negatives = named(figure, 0), named(figure, 1)
    assert at(positives["ratio 0.01"], 0.3) == pytest.approx(5 * 0.7, rel=1e-3)
    assert at(negatives["ratio 0.01"], 0.3) == pytest.approx(0.3 / (1 + math.exp(12 * 0.79)), rel=1e-3)
    assert at(negatives["cross entropy"], 0.3) == pytest.approx(0.3)


def test_a_class_in_balance_has_focal_loss():
    balanced = named(draw_class_balance(RECIPES["efl"]()), 0)["ratio 1"]
    focal = named(draw_focusing(RECIPES["focal"]()), 1)["focal, positives"]
    assert balanced.y == pytest.approx(focal.y)
