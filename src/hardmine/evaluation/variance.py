"""How much a mean difference over seeds varies with the runs and with the test images, and the t quantile for that.

The difference between two recipes under seed s, measured on I images, is

    d_s = delta + a_s + mean over images of (b_i + c_si)

a: run to run (weights at the start, order of the data).  b: an image that one recipe likes better.  c: both at once.
It is the model of multi-reader, multi-case studies in radiology (Obuchowski and Rockette, Communications in Statistics
1995; Hillis, Statistics in Medicine 2007), runs for readers and images for cases. Then

    Var(mean over S seeds) = Var(a_s + mean c_si) / S + Var(b_i) / I
    estimated by             s^2 / S               + max(0, covariance of two seeds over draws of the images)

s^2: sample variance of the seeds' differences, on all images, S - 1 degrees of freedom. What the draws of the images
do to all seeds alike is b; it has (images - 1) degrees of freedom.

The quantile is Cochran and Cox's (Experimental Designs, 1950), who weigh those of the two parts with the parts' shares
of the variance. It is known to be conservative; here the share of the runs is raised to 4/3:

    t = t_images + (t_runs - t_images) share^(4/3),     share = (s^2 / S) / (whole variance)

With it the 95 % interval covers in .935 to .969 of cases from 2 seeds on, wherever the runs' variation lies between
none and three times that of the images (`docs/decisions.md`). Satterthwaite's degrees of freedom cover in .89 with two
seeds: where two seeds happen to agree they believe the images' many degrees of freedom.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

__all__ = ["degrees_of_freedom", "is_defined", "t_quantile", "variance_parts"]

EXPONENT = 4 / 3
DEGREES = np.geomspace(1, 1e6, 2000)
LOG_EXCESS = np.log(stdtrit(DEGREES, 0.975) - ndtri(0.975))  # over the normal quantile: nearly linear in log(DEGREES)


def variance_parts(differences: np.ndarray, num_units: int) -> tuple[float, float]:
    """(s^2, variance of the mean owing to the images), of differences (1 + R, S) on the images and on R draws of them.

    The bootstrap's variance is too small by (units - 1) / units, which is made good. One seed shows no variance of runs
    (NaN), and all that its draws vary by is the images'.
    """
    observed, drawn = differences[0], differences[1:]
    num_seeds = len(observed)
    unbiased = num_units / (num_units - 1)
    if num_seeds == 1:
        return float("nan"), float(drawn.var(ddof=1) * unbiased)
    covariances = drawn.sum(axis=1).var(ddof=1) - drawn.var(axis=0, ddof=1).sum()
    shared = covariances / (num_seeds * (num_seeds - 1))
    return float(observed.var(ddof=1)), max(0.0, float(shared * unbiased))


def degrees_of_freedom(
    run_part: ArrayLike, image_part: ArrayLike, run_degrees: ArrayLike, image_degrees: ArrayLike
) -> np.ndarray:
    """Those of the t distribution whose 97.5 % quantile is the one above; arguments of shapes that go together.

    The parts are variances of the mean. Two parts without variance count as one of the images.
    """
    run_part, image_part = np.asarray(run_part, dtype=float), np.asarray(image_part, dtype=float)
    total = run_part + image_part
    weight = np.divide(run_part, total, out=np.zeros_like(total), where=total > 0) ** EXPONENT
    of_runs, of_images = t_quantile(0.975, run_degrees), t_quantile(0.975, image_degrees)
    excess = of_images + (of_runs - of_images) * weight - ndtri(0.975)
    return np.exp(np.interp(-np.log(np.maximum(excess, 1e-12)), -LOG_EXCESS, np.log(DEGREES)))


def t_quantile(probability: float, degrees: ArrayLike) -> np.ndarray:
    """Of Student's t distribution."""
    return np.asarray(stdtrit(degrees, probability))


def is_defined(values: Iterable[np.ndarray]) -> np.ndarray:
    """(1 + R,): the draws on which a measure is a number in all runs, of (1 + R, S) of each recipe."""
    return np.asarray(np.isfinite(np.stack(list(values))).all(axis=(0, 2)))
