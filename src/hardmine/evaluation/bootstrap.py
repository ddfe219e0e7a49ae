"""How sure is a difference in AP? A paired bootstrap over images and seeds.

Two recipes' APs differ for three reasons: the recipe, the images they happened to be tested on, and the seed (initial
weights, order of the data). The interval asks what the last two could have done: draw the test images anew with
replacement, draw the seeds anew, take AP again, and look how far the *difference* moves. Both recipes always get the
same draw, so what is easy or hard for both cancels.

Of S seeds S - 1 are drawn, not S: the mean of S draws varies by (S - 1)/S less than the mean of S new seeds does (Rao
and Wu, Resampling Inference with Complex Survey Data, JASA 1988), which matters at the two to five seeds that one can
afford. With one seed the interval covers the images only, and says nothing of what another seed would give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation.matching import Matches

__all__ = ["Difference", "paired_differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference in AP to the baseline (mean over seeds, all images), with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "better" or "worse" if the interval leaves out zero, otherwise "no difference seen"."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference seen"


def paired_differences(
    runs: Mapping[str, Sequence[Matches]], *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """Compares every recipe to the first one: name -> the matches of its runs, in the order of the seeds.

    The result has every name but the first. The same `seed` gives the same intervals.

    Raises:
        ConfigError: runs that differ in their number of seeds or of images; fewer than 100 resamples.
        DataError: there is no labelled object, so AP is undefined.
    """
    num_seeds, num_images = _common_shape(runs)
    if num_resamples < 100:
        raise ConfigError(f"num_resamples must be at least 100 for a 95 % interval, got {num_resamples}")
    rng = np.random.default_rng(seed)
    image_counts = _draw(rng, num_images, num_images, num_resamples)
    seed_counts = _draw(rng, num_seeds, max(1, num_seeds - 1), num_resamples)
    baseline, *others = runs
    ap = {
        name: np.stack([run.average_precision(image_counts) for run in of_recipe], axis=1)
        for name, of_recipe in runs.items()
    }
    return {name: _difference(ap[name] - ap[baseline], seed_counts) for name in others}


def _common_shape(runs: Mapping[str, Sequence[Matches]]) -> tuple[int, int]:
    seeds = {name: len(of_recipe) for name, of_recipe in runs.items()}
    images = {run.num_images for of_recipe in runs.values() for run in of_recipe}
    if len(set(seeds.values())) != 1 or 0 in seeds.values():
        raise ConfigError(f"a paired comparison needs the same seeds for every recipe, got {seeds} seeds")
    if len(images) != 1:
        raise ConfigError(f"a paired comparison needs the same images for every run, got {sorted(images)} images")
    return next(iter(seeds.values())), images.pop()


def _draw(rng: np.random.Generator, num_units: int, num_drawn: int, num_resamples: int) -> np.ndarray:
    """How often each unit is drawn: (1 + R, num_units); the first row is the data as they are."""
    drawn = rng.multinomial(num_drawn, np.full(num_units, 1 / num_units), size=num_resamples)
    return np.concatenate([np.ones((1, num_units), dtype=drawn.dtype), drawn])


def _difference(by_seed: np.ndarray, seed_counts: np.ndarray) -> Difference:
    """From the differences (1 + R, S) of each seed; the first row is the observed one."""
    observed, *resampled = (by_seed * seed_counts).sum(axis=1) / seed_counts.sum(axis=1)
    if np.isnan(observed):
        raise DataError("no labelled object in the ground truth, so AP is undefined; compare on a split with labels")
    low, high = np.nanquantile(resampled, [0.025, 0.975])  # NaN: a resample that drew no labelled object
    return Difference(float(observed), float(low), float(high))
