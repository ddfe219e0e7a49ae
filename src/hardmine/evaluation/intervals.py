"""Recipes compared to the first one: by how much they differ, how sure that is, and what could have been seen at all.

The interval of one difference is `value +- t * standard error`, of the model and with the quantile in `variance`. Of
several recipes some look better by chance alone, so the verdict is read from simultaneous intervals: in 95 % of
comparisons in which no recipe differs from the first, none is called better or worse (single-step max-t; Dunnett, JASA
1955; Hothorn, Bretz and Westfall, Biometrical Journal 2008). All recipes share the baseline's runs, whence Dunnett's
correlation of 1/2 in the part of the seeds, too few to estimate one from; in the images' part it is that of the draws.

A recipe compared with itself under other seeds shows what differs by chance: the noise floor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, stdtr

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation.bootstrap import resamples
from hardmine.evaluation.matching import Matches
from hardmine.evaluation.variance import degrees_of_freedom, is_defined, t_quantile, variance_parts

__all__ = ["NO_VERDICT", "Difference", "differences", "paired_differences"]

NO_VERDICT = "one seed: no verdict"
POWER = 0.8
MOST_SEEDS = 1000
NUM_SIMULATED = 20_000
FEWEST_DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A measure's difference to the baseline: mean over seeds, all images, with its 95 % intervals.

    `low`, `high`: of this difference alone. `simultaneous_low`, `simultaneous_high`: of all recipes at once, by which
    `verdict` goes; `level` is the share of error that this leaves to one of them, .05 where there is but one.
    `run_variance`: of the difference between one run and another, None with one seed. `image_variance`: of the mean,
    owing to the images. The whole variance is `run_variance / num_seeds + image_variance`, with `degrees_of_freedom`.
    `num_units`: images, or groups of them. `margin`: differences up to that are as good as none, if given.
    """

    value: float
    low: float
    high: float
    simultaneous_low: float
    simultaneous_high: float
    standard_error: float
    degrees_of_freedom: float
    run_variance: float | None
    image_variance: float
    num_seeds: int
    num_units: int
    level: float = 0.05
    margin: float | None = None

    @property
    def verdict(self) -> str:
        """ "better", "worse", "equal within .005" (where that is the margin) or "no difference seen".

        One seed gives none: another differs by as much as recipes do, and the interval knows nothing of that.
        """
        if self.num_seeds == 1:
            return NO_VERDICT
        if self.simultaneous_low > 0:
            return "better"
        if self.simultaneous_high < 0:
            return "worse"
        if self.margin is not None and max(-self.simultaneous_low, self.simultaneous_high) <= self.margin:
            return f"equal within {f'{self.margin:g}'.removeprefix('0')}"
        return "no difference seen"

    @property
    def smallest_detectable(self) -> float | None:
        """The difference that such seeds and images call better or worse in 80 % of cases; None with one seed.

        (t_{1 - level/2} + t_.8) * standard error.
        """
        return None if self.run_variance is None else float(self._detectable(self.standard_error, self._degrees))

    def seeds_for(self, difference: float) -> int | None:
        """How many seeds would detect such a difference in 80 % of cases, on the same images.

        None where 1000 do not suffice, because the images alone leave more in doubt, and with one seed, which does not
        show how runs vary.
        """
        if self.run_variance is None:
            return None
        num_seeds = np.arange(2, MOST_SEEDS + 1)
        run_part = self.run_variance / num_seeds
        degrees = degrees_of_freedom(run_part, self.image_variance, num_seeds - 1, self.num_units - 1)
        is_enough = self._detectable(np.sqrt(run_part + self.image_variance), degrees) <= abs(difference)
        return int(num_seeds[is_enough.argmax()]) if is_enough.any() else None

    @property
    def _degrees(self) -> np.ndarray:
        return np.asarray(self.degrees_of_freedom)

    def _detectable(self, standard_error: float | np.ndarray, degrees: np.ndarray) -> np.ndarray:
        return (t_quantile(1 - self.level / 2, degrees) + t_quantile(POWER, degrees)) * standard_error


def differences(
    values: Mapping[str, np.ndarray], num_units: int, *, margin: float | None = None
) -> dict[str, Difference]:
    """Compares every recipe to the first one, by any measure of its runs.

    The result has every name but the first.

    Args:
        values: name -> (1 + R, S): the measure of the run under each of S seeds, on the images as they are and on R
            draws of them (`resamples`), the same for all. Draws on which one is NaN, undefined, are left out.
        num_units: what was drawn from: images, or groups of images.
        margin: differences up to that are as good as none.

    Raises:
        ConfigError: values of different shapes or without seeds; a margin that is not above zero.
        DataError: a measure that is undefined on the images as they are, or on nearly all draws; one image or group.
    """
    baseline, *others = _checked(values, num_units, margin)
    if not others:
        return {}
    by_seed = np.stack([values[name] - values[baseline] for name in others])  # (K, 1 + R, S)
    by_seed = by_seed[:, is_defined(values.values())]
    estimates = _Estimates.of(by_seed, num_units)
    level = _simultaneous_level(estimates, _correlation(by_seed[:, 1:].mean(axis=2)))
    return {name: estimates.difference(place, level, margin) for place, name in enumerate(others)}


def paired_differences(
    runs: Mapping[str, Sequence[Matches]],
    *,
    groups: np.ndarray | None = None,
    margin: float | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compares the AP of every recipe to the first one's: name -> the matches of its runs, in the order of the seeds.

    The result has every name but the first. The same `seed` gives the same intervals.

    Args: groups: the group of each image, in the order of the image ids, where images are not independent.
        margin: differences in AP up to that are as good as none.

    Raises:
        ConfigError: runs that differ in their number of seeds or of images; fewer than 100 resamples; see also
            `resamples` and `differences`.
        DataError: there is no labelled object, so AP is undefined; a single image or group.
    """
    num_images = _common_images(runs)
    if num_resamples < 100:
        raise ConfigError(f"num_resamples must be at least 100 for a 95 % interval, got {num_resamples}")
    image_counts = resamples(num_images, groups=groups, num_resamples=num_resamples, seed=seed)
    ap = {
        name: np.stack([run.average_precision(image_counts) for run in of_recipe], axis=1)
        for name, of_recipe in runs.items()
    }
    if any(np.isnan(of_recipe[0]).any() for of_recipe in ap.values()):
        raise DataError("no labelled object in the ground truth, so AP is undefined; compare on a split with labels")
    return differences(ap, num_images if groups is None else len(np.unique(groups)), margin=margin)


@dataclass(frozen=True, slots=True)
class _Estimates:
    """Of K differences: value, s^2 and the images' part, (K,) each."""

    value: np.ndarray
    run_variance: np.ndarray
    image_part: np.ndarray
    num_seeds: int
    num_units: int

    @classmethod
    def of(cls, by_seed: np.ndarray, num_units: int) -> "_Estimates":
        """From (K, 1 + R, S)."""
        run_variance, image_part = np.array([variance_parts(of_recipe, num_units) for of_recipe in by_seed]).T
        return cls(by_seed[:, 0].mean(axis=1), run_variance, image_part, by_seed.shape[2], num_units)

    @property
    def run_part(self) -> np.ndarray:
        return np.nan_to_num(self.run_variance) / self.num_seeds

    def degrees(self, run_part: np.ndarray, image_part: np.ndarray) -> np.ndarray:
        return degrees_of_freedom(run_part, image_part, max(1, self.num_seeds - 1), self.num_units - 1)

    def difference(self, place: int, level: float, margin: float | None) -> Difference:
        value, run_part, image_part = self.value[place], self.run_part[place], self.image_part[place]
        degrees = self.degrees(run_part, image_part)
        error = np.sqrt(run_part + image_part)
        alone, among_all = (t_quantile(1 - share / 2, degrees) * error for share in (0.05, level))
        return Difference(
            value=float(value),
            low=float(value - alone),
            high=float(value + alone),
            simultaneous_low=float(value - among_all),
            simultaneous_high=float(value + among_all),
            standard_error=float(error),
            degrees_of_freedom=float(degrees),
            run_variance=None if self.num_seeds == 1 else float(self.run_variance[place]),
            image_variance=float(image_part),
            num_seeds=self.num_seeds,
            num_units=self.num_units,
            level=level,
            margin=margin,
        )


def _checked(values: Mapping[str, np.ndarray], num_units: int, margin: float | None) -> list[str]:
    """The names, of values that can be compared."""
    shapes = {name: np.shape(of_recipe) for name, of_recipe in values.items()}
    if len(set(shapes.values())) != 1 or len(shape := next(iter(shapes.values()))) != 2 or not shape[1]:
        raise ConfigError(f"a paired comparison needs (draws, seeds) of one shape for every recipe, got {shapes}")
    if margin is not None and not margin > 0:
        raise ConfigError(f"margin must be above zero, got {margin}; leave it out to ask for differences only")
    if num_units < 2:
        raise DataError("one image, or one group of images, says nothing of others; compare on at least 2")
    undefined = [name for name, of_recipe in values.items() if not np.isfinite(of_recipe[:1]).all()]
    if undefined:
        raise DataError(f"the measure of {', '.join(undefined)} is undefined (NaN) on these images; take other images")
    num_draws = is_defined(values.values()).sum() - 1
    if num_draws < FEWEST_DRAWS:
        raise DataError(
            f"the measure is defined on {num_draws} draws of the images, at least {FEWEST_DRAWS} are needed for an "
            "interval; draw more often, or take more images that define it"
        )
    return list(values)


def _common_images(runs: Mapping[str, Sequence[Matches]]) -> int:
    seeds = {name: len(of_recipe) for name, of_recipe in runs.items()}
    images = {run.num_images for of_recipe in runs.values() for run in of_recipe}
    if len(set(seeds.values())) != 1 or 0 in seeds.values():
        raise ConfigError(f"a paired comparison needs the same seeds for every recipe, got {seeds} seeds")
    if len(images) != 1:
        raise ConfigError(f"a paired comparison needs the same images for every run, got {sorted(images)} images")
    return images.pop()


def _correlation(draws: np.ndarray) -> np.ndarray:
    """(K, K) of draws (K, R); 0 with what does not vary."""
    centred = draws - draws.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return unit @ unit.T


def _simultaneous_level(estimates: _Estimates, image_correlation: np.ndarray) -> float:
    """The 5 % quantile of the smallest p-value of K recipes that are all as good as the first.

    Simulated with the estimated variances as the true ones, which are estimated anew every time. That of the runs is
    the mean over the recipes, as in Dunnett, and median-unbiased: two seeds that happen to agree must not hide it.
    Never above .05: a single interval that is conservative stays so.
    """
    if len(image_correlation) == 1:
        return 0.05
    rng = np.random.default_rng(0)
    run_degrees = max(1, estimates.num_seeds - 1)
    true_run_part = estimates.run_part.mean() * run_degrees / chdtri(run_degrees, 0.5)
    run_scale, run_ratio = _simulated_runs(rng, len(image_correlation), estimates.num_seeds)
    run_part = true_run_part * run_ratio
    image_scale = _normal(rng, image_correlation)
    image_part = estimates.image_part * _variance_ratio(_normal(rng, image_correlation**2), estimates.num_units - 1)
    deviation = np.sqrt(true_run_part) * run_scale + np.sqrt(estimates.image_part) * image_scale
    error = np.sqrt(run_part + image_part)
    statistic = np.divide(np.abs(deviation), error, out=np.zeros_like(error), where=error > 0)
    p_value = 2 * stdtr(estimates.degrees(run_part, image_part), -statistic)
    return min(0.05, float(np.quantile(p_value.min(axis=1), 0.05)))


def _simulated_runs(rng: np.random.Generator, num_recipes: int, num_seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of differences to a common baseline over their deviation, and estimates of their variance over it: (N, K).

    The sum over S - 1 contrasts of the seeds, one after the other: all at once are too many numbers to hold.
    """

    def contrast() -> np.ndarray:
        runs = rng.standard_normal((NUM_SIMULATED, 1 + num_recipes))
        return (runs[:, 1:] - runs[:, :1]) / np.sqrt(2)

    mean = contrast()
    squares = np.zeros_like(mean)
    for _ in range(num_seeds - 1):
        squares += contrast() ** 2
    return mean, squares / max(1, num_seeds - 1)


def _normal(rng: np.random.Generator, correlation: np.ndarray) -> np.ndarray:
    """(N, K), also where the correlation has no inverse."""
    values, vectors = np.linalg.eigh(correlation)
    return rng.standard_normal((NUM_SIMULATED, len(values))) @ (vectors * np.sqrt(values.clip(min=0))).T


def _variance_ratio(normal: np.ndarray, degrees: int) -> np.ndarray:
    """Estimated variances over the true ones, as chi square / degrees (Wilson and Hilferty, PNAS 1931).

    From normal variables, so that they can be correlated: estimates are by the square of what the values are.
    """
    spread = 2 / (9 * degrees)
    return (1 - spread + normal * np.sqrt(spread)).clip(min=0) ** 3
