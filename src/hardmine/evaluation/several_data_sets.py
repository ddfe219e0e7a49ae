"""Is a recipe better on several data sets? The mean difference, the middle half of the differences, and who wins.

The two or three data sets that one can afford are no sample of a population of them: a variance between data sets from
one or two degrees of freedom would say nothing. So they are fixed, the answer holds for these, and images and seeds are
drawn within each (strata, as in Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
NeurIPS 2021, who keep their tasks fixed for the same reason).

The interval of the mean has the model and the quantile of `variance`, from the parts of all data sets, with
Satterthwaite's degrees of freedom (Biometrics Bulletin 1946) within the runs' and the images' part. Those of the other
two are percentiles of draws of images and, by Rao and Wu (JASA 1988), of one seed fewer than there are. They are rough:
of recipes that are alike, on two data sets with 2 to 10 seeds, the middle mean's covered in .90 to .98 of 300 simulated
cases, that of the probability of improvement in .94 to 1, and that of the mean in .93 to .99.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation.variance import degrees_of_freedom, is_defined, t_quantile, variance_parts

__all__ = ["AcrossDataSets", "Estimate", "across_data_sets"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AcrossDataSets:
    """A recipe compared to the first one on several data sets, each of which counts alike.

    `mean_difference`: of the measure.  `middle_mean`: mean of the middle half of the differences of all data sets and
    seeds (inter-quartile mean), which one odd run does not move; of differences, because measures of data sets of
    unequal difficulty would be trimmed by data set.  `probability_of_improvement`: chance that a run of the recipe is
    better than one of the first on the same data set, equal ones counted half.
    """

    mean_difference: Estimate
    middle_mean: Estimate
    probability_of_improvement: Estimate


def across_data_sets(
    values: Mapping[str, Mapping[str, np.ndarray]], num_units: Mapping[str, int], *, seed: int = 0
) -> dict[str, AcrossDataSets]:
    """Compares every recipe to the first one over all data sets; the result has every name but the first.

    Args:
        values: data set -> recipe -> (1 + R, S): the measure as `differences` takes it. Data sets may have other seeds.
        num_units: data set -> images or groups of images that were drawn from.

    Raises:
        ConfigError: data sets with other recipes; within one, other numbers of draws or seeds for another recipe.
        DataError: a measure that is undefined on the images as they are; one image or group; fewer than 20 draws.
    """
    baseline, *others = _checked(values, num_units)
    rng = np.random.default_rng(seed)
    chosen = _Draws.of(values, rng)
    return {
        name: AcrossDataSets(
            _mean_difference([(of[name] - of[baseline], num_units[data]) for data, of in values.items()]),
            chosen.estimate(_middle_mean, name, baseline),
            chosen.estimate(_probability_of_improvement, name, baseline),
        )
        for name in others
    }


def _checked(values: Mapping[str, Mapping[str, np.ndarray]], num_units: Mapping[str, int]) -> list[str]:
    names = {data: list(of) for data, of in values.items()}
    if not names or len({frozenset(of) for of in names.values()}) != 1 or set(num_units) != set(names):
        raise ConfigError(f"a comparison over data sets needs the same recipes on each, and its images, got {names}")
    for data, of in values.items():
        shapes = {name: np.shape(by_seed) for name, by_seed in of.items()}
        if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 2:
            raise ConfigError(f"data set {data}: every recipe needs (draws, seeds) of one shape, got {shapes}")
        defined = is_defined(of.values())
        if num_units[data] < 2 or not defined[0] or defined.sum() <= 20:
            raise DataError(
                f"data set {data}: needs at least 2 images, a measure that is defined on them, and on 20 draws, "
                f"got {num_units[data]} images, {'defined' if defined[0] else 'NaN'}, {defined[1:].sum()} draws"
            )
    return next(iter(names.values()))


def _mean_difference(by_data_set: list[tuple[np.ndarray, int]]) -> Estimate:
    """Of differences (1 + R, S) and the number of units of each data set."""
    finite = [(by_seed[np.isfinite(by_seed).all(axis=1)], units) for by_seed, units in by_data_set]
    num_seeds = np.array([by_seed.shape[1] for by_seed, _ in finite])
    run_variance, image_parts = np.array([variance_parts(*of) for of in finite]).T / len(finite) ** 2
    run_parts = np.nan_to_num(run_variance) / num_seeds
    degrees = degrees_of_freedom(
        run_parts.sum(),
        image_parts.sum(),
        _satterthwaite(run_parts, np.maximum(1, num_seeds - 1)),
        _satterthwaite(image_parts, np.array([units - 1 for _, units in finite])),
    )
    value = float(np.mean([by_seed[0].mean() for by_seed, _ in finite]))
    half = float(t_quantile(0.975, degrees) * np.sqrt(run_parts.sum() + image_parts.sum()))
    return Estimate(value, value - half, value + half)


def _satterthwaite(parts: np.ndarray, degrees: np.ndarray) -> float:
    return float(parts.sum() ** 2 / (parts**2 / degrees).sum()) if parts.sum() > 0 else float(degrees.min())


@dataclass(frozen=True, slots=True)
class _Draws:
    """Each data set's measures with images and seeds drawn: recipe -> (R, seeds); and as they are: (1, S)."""

    observed: list[dict[str, np.ndarray]]
    drawn: list[dict[str, np.ndarray]]

    @classmethod
    def of(cls, values: Mapping[str, Mapping[str, np.ndarray]], rng: np.random.Generator) -> "_Draws":
        observed = [{name: by_seed[:1] for name, by_seed in of.items()} for of in values.values()]
        num_draws = min(len(_defined(of)) for of in values.values())
        return cls(observed, [_drawn(of, num_draws, rng) for of in values.values()])

    def estimate(self, statistic: Callable[..., np.ndarray], name: str, baseline: str) -> Estimate:
        of_observed, of_drawn = (
            statistic([of[name] for of in those], [of[baseline] for of in those])
            for those in (self.observed, self.drawn)
        )
        low, high = np.quantile(of_drawn, [0.025, 0.975])
        return Estimate(float(of_observed[0]), float(low), float(high))


def _defined(of: Mapping[str, np.ndarray]) -> np.ndarray:
    """The draws on which all is defined."""
    return 1 + np.flatnonzero(is_defined(of.values())[1:])


def _drawn(of: Mapping[str, np.ndarray], num_draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The draws of the images in random order, so that those of two data sets have nothing to do with each other."""
    rows = rng.permutation(_defined(of))[:num_draws]
    num_seeds = next(iter(of.values())).shape[1]
    seeds = rng.integers(num_seeds, size=(num_draws, max(1, num_seeds - 1)))
    return {name: by_seed[rows[:, None], seeds] for name, by_seed in of.items()}


def _middle_mean(measures: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    """(R,) of (R, seeds) of each data set; a difference at the border of the middle half counts in part."""
    ordered = np.sort(np.concatenate([x - y for x, y in zip(measures, others, strict=True)], axis=1), axis=1)
    edges = np.arange(ordered.shape[1] + 1).clip(0.25 * ordered.shape[1], 0.75 * ordered.shape[1])
    return ordered @ np.diff(edges) / (edges[-1] - edges[0])


def _probability_of_improvement(measures: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    """(R,) of (R, seeds) of each data set."""
    signs = [np.sign(x[:, :, None] - y[:, None, :]).mean(axis=(1, 2)) for x, y in zip(measures, others, strict=True)]
    return 0.5 + np.mean(signs, axis=0) / 2
