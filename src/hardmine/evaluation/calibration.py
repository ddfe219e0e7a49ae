"""Do scores mean what they say? The expected calibration error of a detector.

Of all predictions with a score of about .7, 70 % should be true. The predictions of all classes are put into ten equal
bins by score, and

    ECE = sum_b n_b / n |mean score of b - precision of b|

with precision at IoU .5: Küppers, Kronenberger, Shantia, Haselhoff, Multivariate Confidence Calibration for Object
Detection, CVPRW 2020, arXiv:2004.13546, of the score alone; after Guo, Pleiss, Sun, Weinberger, On Calibration of
Modern Neural Networks, ICML 2017. As n_b cancels, it is the sum over the bins of |sum of scores - number of true ones|
over n, and a resample of images only counts anew what each image adds to these sums.

Convention: a bin has its lower border, the last one both. What is ignored (on a crowd region) does not count, and
every prediction given does, however low its score; the smaller a bin, the more it is off by chance.
"""

import numpy as np

from hardmine.evaluation.matching import ClassMatches, Matches, blocks_of_draws

__all__ = ["expected_calibration_error"]

NUM_BINS = 10


def expected_calibration_error(matches: Matches, counts: np.ndarray) -> np.ndarray:
    """ECE (R,) in [0, 1] at the first threshold, from counts (I, R) int32.

    NaN where no prediction is drawn, and everywhere if a score is outside of [0, 1] and so no probability.
    """
    tables = [_by_bin_and_image(of_class) for of_class in matches.classes]
    excess, number = (np.sum(of, axis=0) for of in zip(*tables, strict=True))
    if any((of.scores.min(initial=0) < 0) | (of.scores.max(initial=0) > 1) for of in matches.classes):
        return np.full(counts.shape[1], np.nan)
    return np.concatenate([_error(excess, number, block) for block in blocks_of_draws(counts, len(counts))])


def _error(excess: np.ndarray, number: np.ndarray, counts: np.ndarray) -> np.ndarray:
    num_drawn = number @ counts
    gap = np.abs(excess @ counts.astype(float)).sum(axis=0)
    return np.where(num_drawn > 0, gap / np.maximum(num_drawn, 1), np.nan)


def _by_bin_and_image(of_class: ClassMatches) -> tuple[np.ndarray, np.ndarray]:
    """The sum of score less truth (bins, I), and how many predictions there are (I,)."""
    rows = np.flatnonzero(~of_class.is_ignored[0])
    score, image, num_images = of_class.scores[rows], of_class.image_index[rows], len(of_class.num_objects)
    bins = np.clip(score * NUM_BINS, 0, NUM_BINS - 1).astype(np.int64)
    weights = score - of_class.is_true[0, rows]
    excess = np.bincount(bins * num_images + image, weights=weights, minlength=NUM_BINS * num_images)
    return excess.reshape(NUM_BINS, num_images), np.bincount(image, minlength=num_images)
