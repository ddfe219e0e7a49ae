"""How often an image is to be drawn so that rare classes are seen more often.

    rfs    r(c) = max(1, sqrt(t / f(c))),   f(c) = share of the images with an object of class c
    irfs   the same with the geometric mean of f(c) and the share of all objects that are of class c

and an image is drawn by the largest r of its classes, 1 without objects. RFS: Gupta, Dollár, Girshick, LVIS, CVPR 2019,
arXiv:1908.03195. IRFS: Yaman, Mahmud, Liu, Instance-Aware Repeat Factor Sampling for Long-Tailed Object Detection,
2023, arXiv:2305.08069.

Differs from LVIS' sampler: there an image is repeated r times, rounded up or down at random, so epochs get longer; here
r is a weight, an epoch keeps its length, and images are drawn in proportion to it.
"""

import logging
import re
from dataclasses import dataclass

import numpy as np

from hardmine.data import DetectionDataset
from hardmine.errors import ConfigError

__all__ = ["RepeatRule", "parse_repeat_rule", "repeat_factors"]

logger = logging.getLogger("hardmine")

THRESHOLD = 1e-3
"""Of LVIS, which has 1203 classes."""


@dataclass(frozen=True, slots=True)
class RepeatRule:
    """counts_objects: IRFS, not RFS.  threshold: t, the frequency below which a class is drawn more often."""

    counts_objects: bool
    threshold: float = THRESHOLD


def parse_repeat_rule(text: str) -> RepeatRule:
    """Reads "rfs" or "irfs:t=.3". Raises: ConfigError: it is no such text, or t is not above 0 and at most 1."""
    found = re.fullmatch(r"(i?rfs)(?::t=([0-9.eE+-]{1,20}))?", text)
    try:
        threshold = float(found[2] or THRESHOLD) if found else 0.0
    except ValueError:
        threshold = 0.0
    if found is None or not 0 < threshold <= 1:
        raise ConfigError(f"repeat_factors is {text!r}, expected rfs, irfs or with a threshold above 0, rfs:t=.3")
    return RepeatRule(found[1] == "irfs", threshold)


def repeat_factors(dataset: DetectionDataset, rule: RepeatRule) -> np.ndarray:
    """(I,) float64, at least 1, of each image of a data set; crowds are no objects."""
    num_classes = len(dataset.classes)
    counts = np.array([np.bincount(r.labels[~r.is_crowd], minlength=num_classes) for r in dataset.records])  # (I, C)
    has = counts > 0
    frequency = has.mean(axis=0)
    if rule.counts_objects:
        frequency = np.sqrt(frequency * counts.sum(axis=0) / max(counts.sum(), 1))
    of_class = np.maximum(1, np.sqrt(rule.threshold / np.where(frequency > 0, frequency, 1)))
    if not (of_class[frequency > 0] > 1).any():
        rarest = frequency[frequency > 0].min(initial=1)
        logger.warning(
            "repeat factors are all 1: no class is rarer than t = %g, the rarest has a frequency of %.3g; give another "
            "t to draw its images more often",
            rule.threshold,
            rarest,
        )
    return np.where(has, of_class, 1.0).max(axis=1)
