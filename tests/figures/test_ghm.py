import pytest

from hardmine.errors import ConfigError
from hardmine.figures.ghm import draw_ghm
from hardmine.recipes import RECIPES


@pytest.fixture(scope="module")
def figure(dense):
    return draw_ghm(RECIPES["ghm"](), dense)


def test_the_histogram_counts_every_score_once(figure, dense):
    (histogram,) = figure.panels[0].series
    valid = sum(int(s.assignment.is_valid.sum()) for s in dense.samples(frozenset({"logits"})))
    assert sum(histogram.y) == valid * dense.traits.num_classes
    assert len(histogram.x) == len(histogram.y) + 1 == 31


def test_cross_entropy_stays_and_focal_loss_lowers_small_norms(figure):
    entropy, focal, harmonised = figure.panels[1].series
    assert entropy.y == pytest.approx(entropy.x)
    assert focal.y[0] < entropy.y[0] / 10
    assert harmonised.is_own


def test_contributions_are_numbers_times_gradients(figure):
    counts = [count for count in figure.panels[0].series[0].y if count]
    for means, totals in zip(figure.panels[1].series, figure.panels[2].series, strict=True):
        products = [count * mean for count, mean in zip(counts, means.y, strict=True)]
        assert sum(totals.y) == pytest.approx(1)
        assert [share for share in totals.y if share] == pytest.approx([p / sum(products) for p in products], rel=1e-4)


def test_without_memory_every_filled_bin_contributes_by_its_norm(dense):
    """One batch, momentum 0: Σ w g over a bin is N / M times its mean norm, whatever its count."""
    one = type(dense)(dense.loaded, dense.batches[:1], dense.source)
    figure = draw_ghm(RECIPES["ghm"](momentum=0.0), one)
    norms, shares = figure.panels[1].series[0].x, [share for share in figure.panels[2].series[2].y if share]
    assert shares == pytest.approx([norm / sum(norms) for norm in norms], rel=1e-4)


def test_a_detector_whose_scores_are_not_weighed_is_refused(two_stage):
    with pytest.raises(ConfigError, match="give --run a run of retinanet, fcos or ssd"):
        draw_ghm(RECIPES["ghm"](), two_stage)


def test_a_framework_s_head_is_drawn_as_a_dense_one_is(others):
    figure = draw_ghm(RECIPES["ghm"](), others)
    assert [panel.title for panel in figure.panels] == [
        "How often a norm occurs",
        "What a loss makes of it",
        "What it contributes in all",
    ]
    num = sum(samples["logits"].numel() for samples in others.samples(frozenset({"logits"})))
    assert sum(figure.panels[0].series[0].y) == num
