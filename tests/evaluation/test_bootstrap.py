import numpy as np
import pytest

from hardmine.errors import ConfigError
from hardmine.evaluation import resamples


def test_the_first_row_is_the_images_as_they_are_and_each_draw_has_as_many():
    counts = resamples(7, num_resamples=50, seed=3)
    assert counts.shape == (51, 7)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 7).all()


def test_images_are_drawn_alike():
    counts = resamples(5, num_resamples=20_000)[1:]
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.04)
    assert counts.var(axis=0) == pytest.approx(np.full(5, 4 / 5), abs=0.05)  # n draws of 1/n


def test_groups_are_drawn_whole():
    groups = np.array(["b", "a", "b", "c", "a"])
    counts = resamples(5, groups=groups, num_resamples=200)
    for group in "abc":
        of_group = counts[:, groups == group]
        assert (of_group == of_group[:, :1]).all()
    firsts = counts[:, [1, 0, 3]]  # one image of each group
    assert (firsts.sum(axis=1) == 3).all()
    assert len(np.unique(firsts, axis=0)) == 10  # every way to draw three of three


def test_a_group_for_each_image_is_no_groups():
    assert (resamples(6, groups=np.arange(6), seed=1) == resamples(6, seed=1)).all()


def test_draws_are_repeatable():
    assert (resamples(6, seed=1) == resamples(6, seed=1)).all()
    assert (resamples(6, seed=1) != resamples(6, seed=2)).any()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        resamples(0)
    with pytest.raises(ConfigError, match="each of 3 images"):
        resamples(3, groups=np.array([1, 2]))
