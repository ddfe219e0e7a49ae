"""The formula by itself, on the model that it was made for: thousands of repetitions of every cell, in one go each."""

import numpy as np
import pytest
from scipy import stats

from hardmine.evaluation.variance import degrees_of_freedom, is_defined, t_quantile, variance_parts

REPETITIONS = 20_000


def simulated(num_seeds: int, num_images: int, run: float, both: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean difference, s^2 / S and the images' part (N,) where the truth is no difference.

    Standard deviations of the mean over images: 1 of the images', `run` of a run, `both` of run and image. The
    covariance of the images is Wishart's: images are not simulated one by one, their sums have the same distribution.
    """
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky(np.ones((num_seeds, num_seeds)) + both**2 * np.eye(num_seeds))
    by_seed = rng.standard_normal((REPETITIONS, num_seeds)) @ root.T
    by_seed += run * rng.standard_normal((REPETITIONS, num_seeds))
    factor = root @ bartlett(rng, num_images - 1, num_seeds)
    shared = (factor.sum(axis=1) ** 2).sum(axis=1) - (factor**2).sum(axis=(1, 2))
    image_part = np.maximum(shared / (num_seeds * (num_seeds - 1)), 0)
    return by_seed.mean(axis=1), by_seed.var(axis=1, ddof=1) / num_seeds, image_part


def bartlett(rng: np.random.Generator, degrees: int, size: int) -> np.ndarray:
    """Roots (N, size, size) of sample covariances of independent normal variables (Bartlett's decomposition)."""
    lower = np.tril(rng.standard_normal((REPETITIONS, size, size)), -1)
    for place in range(size):
        lower[:, place, place] = np.sqrt(rng.chisquare(degrees - place, REPETITIONS))
    return lower / np.sqrt(degrees)


@pytest.mark.parametrize("both", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("run", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("num_images", [60, 200, 500])
@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_intervals_cover(num_seeds, num_images, run, both, record_property):
    value, run_part, image_part = simulated(num_seeds, num_images, run, both)
    degrees = degrees_of_freedom(run_part, image_part, num_seeds - 1, num_images - 1)
    is_covered = np.abs(value) <= t_quantile(0.975, degrees) * np.sqrt(run_part + image_part)
    coverage = is_covered.mean()
    record_property("coverage", float(coverage))
    assert 0.93 <= coverage <= 0.97


def test_degrees_of_freedom_are_those_of_the_only_part_there_is():
    assert degrees_of_freedom(1, 0, 4, 59) == pytest.approx(4, rel=1e-4)
    assert degrees_of_freedom(0, 1, 4, 59) == pytest.approx(59, rel=1e-4)
    assert degrees_of_freedom(0, 0, 4, 59) == pytest.approx(59, rel=1e-4)


def test_more_of_the_variance_from_few_runs_leaves_fewer_degrees():
    share = np.linspace(0, 1, 50)
    assert (np.diff(degrees_of_freedom(share, 1 - share, 2, 99)) < 0).all()


def test_the_quantile_is_that_of_the_t_distribution():
    assert t_quantile(0.975, np.array([1, 4.5, 60])) == pytest.approx(stats.t.ppf(0.975, [1, 4.5, 60]))


def test_the_parts_are_those_of_means_over_images():
    """Of means all is known: the covariance of two seeds' columns of the images is what the draws must find."""
    rng = np.random.default_rng(0)
    of_image = rng.normal(size=(40, 1)) + 0.7 * rng.normal(size=(40, 3))
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=100_000)
    values = np.concatenate([np.ones((1, 40)), counts]) @ of_image / 40
    covariance = np.cov(of_image.T)
    run_variance, image_part = variance_parts(values, 40)
    assert run_variance == pytest.approx(of_image.mean(axis=0).var(ddof=1))
    assert image_part == pytest.approx((covariance.sum() - np.trace(covariance)) / 6 / 40, rel=0.02)
    run_variance, image_part = variance_parts(values[:, :1], 40)
    assert np.isnan(run_variance)
    assert image_part == pytest.approx(covariance[0, 0] / 40, rel=0.02)


def test_seeds_that_the_images_treat_in_opposite_ways_leave_no_negative_variance():
    drawn = np.random.default_rng(0).normal(size=(101, 1))
    assert variance_parts(np.hstack([drawn, -drawn]), 50)[1] == 0


def test_a_draw_is_defined_where_all_runs_of_all_recipes_are():
    values = np.ones((2, 4, 3))
    values[0, 1, 2] = values[1, 3, 0] = np.nan
    assert is_defined(values).tolist() == [True, False, True, False]
