import math

import pytest

from hardmine.figures.libra import draw_box_loss, draw_kept_negatives
from hardmine.recipes import RECIPES


def test_balanced_l1_gives_small_errors_more_and_large_ones_a_bounded_gradient():
    smooth, balanced = draw_box_loss(RECIPES["libra"]()).panels[0].series
    by_error = dict(zip((round(x, 2) for x in balanced.x), zip(smooth.y, balanced.y, strict=True), strict=True))
    assert by_error[1.0] == pytest.approx((1, 1.5))
    assert by_error[2.0] == pytest.approx((1, 1.5))
    assert by_error[0.1] == pytest.approx((0.1, 0.5 * math.log(math.expm1(3) * 0.1 + 1)))


def test_balanced_sampling_keeps_more_negatives_of_higher_iou(two_stage):
    (panel,) = draw_kept_negatives(RECIPES["libra"](budget=16), two_stage).panels
    random, ohem, libra, _ = panel.series
    assert [series.name.split(":")[0] for series in panel.series] == ["random", "OHEM", "libra", "all mistaken ones"]
    assert all(sum(series.y) == pytest.approx(1) for series in (random, ohem, libra))
    assert all(series.y[-1] == 0 for series in panel.series), "positives, with IoU from .5 on, are not among them"
    assert 1 - libra.y[0] > 1.2 * (1 - random.y[0])
    assert all(series.name.endswith("above 0.05") for series in panel.series)


def test_a_one_stage_detector_has_no_proposals_to_sample(dense):
    assert list(draw_kept_negatives(RECIPES["libra"](), dense).panels) == []
