"""Probabilities of planted errors, from the predictions of a model that is right most of the time."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from hardmine.mining.calibration import FEWEST_OBJECTS, Calibration
from hardmine.mining.matching import match
from hardmine.mining.pairs import Detections, Objects
from hardmine.mining.suspects import FAULTS, suspect

SIDE = 200.0
KINDS = ("right", *FAULTS)


@pytest.fixture(scope="module")
def world():
    """200 images of 5 objects in 3 classes; a tenth of the labels is at fault, each way as often.

    The model finds 80 % of the objects, is unsure of small ones, and mistakes some classes.
    """
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(200), 5)
    side = rng.uniform(15, 40, len(image))
    corner = rng.uniform(0, 1, (len(image), 2)) * (SIDE - side[:, None])
    boxes = np.hstack([corner, corner + side[:, None]])
    category = rng.integers(0, 3, len(image))
    found = rng.random(len(image)) < 0.8
    said = np.where(rng.random(len(image)) < 0.1, (category + 1) % 3, category)
    scores = np.clip(side / 40 + rng.normal(0, 0.15, len(image)), 0.05, 1)
    detections = Detections(image[found], said[found], (boxes + rng.normal(0, 2, boxes.shape))[found], scores[found])
    kind = rng.choice(len(KINDS), len(image), p=[0.9, 1 / 30, 1 / 30, 1 / 30])
    elsewhere = rng.uniform(0, SIDE - 40, (len(image), 2))
    labelled = np.select(
        [(kind == 1)[:, None], (kind == 3)[:, None]],
        [np.hstack([elsewhere, elsewhere + side[:, None]]), boxes + 0.4 * side[:, None]],
        boxes,
    )
    objects = Objects(image, np.where(kind == 2, (category + 1) % 3, category), labelled, np.zeros(len(kind), bool))
    return objects, detections, kind


def both(objects, detections):
    raw = suspect(objects, detections, match(objects, detections))
    sizes = np.full((len(objects.image), 2), SIDE)
    return raw, Calibration.fit(objects, detections, sizes).apply(objects, raw, sizes)


def test_faulty_labels_are_told_from_hard_objects(world):
    """All three together: better than the suspicion alone, which takes every object that is not found for spurious."""
    objects, detections, kind = world
    at_fault = kind > 0

    def quality(suspicion):
        any_fault = 1 - np.prod([1 - getattr(suspicion, fault) for fault in FAULTS], axis=0)
        return average_precision_score(at_fault, any_fault)

    raw, calibrated = (quality(suspicion) for suspicion in both(objects, detections))
    assert calibrated > raw + 0.05


@pytest.mark.parametrize(("fault", "least"), [("spurious", 0.85), ("wrong_class", 0.9), ("badly_located", 0.75)])
def test_each_kind_is_found(world, fault, least):
    objects, detections, kind = world
    _, calibrated = both(objects, detections)
    assert roc_auc_score(kind == KINDS.index(fault), getattr(calibrated, fault)) > least


def test_probabilities_are_near_the_share_that_is_at_fault(world):
    """A thirtieth of the labels has each fault, and a twentieth is expected: the sums must be of that order."""
    objects, detections, _ = world
    _, calibrated = both(objects, detections)
    for fault in FAULTS:
        assert 0.01 < getattr(calibrated, fault).mean() < 0.1
    total = sum(getattr(calibrated, fault) for fault in FAULTS)
    assert (total <= 1 + 1e-9).all()


def test_crowds_and_missing_labels_are_left_as_they_were(world):
    objects, detections, _ = world
    objects = replace(objects, is_crowd=np.arange(len(objects.image)) % 7 == 0)
    raw, calibrated = both(objects, detections)
    assert not calibrated.spurious[objects.is_crowd].any()
    assert calibrated.missing is raw.missing


def test_it_is_the_same_each_time(world):
    objects, detections, _ = world
    first, second = both(objects, detections)[1], both(objects, detections)[1]
    np.testing.assert_array_equal(first.spurious, second.spurious)


def test_one_class_has_no_wrong_class(world):
    objects, detections, _ = world
    zeros = np.zeros_like
    one = replace(objects, category=zeros(objects.category))
    raw, calibrated = both(one, replace(detections, category=zeros(detections.category)))
    np.testing.assert_array_equal(calibrated.wrong_class, raw.wrong_class)
    assert not np.array_equal(calibrated.spurious, raw.spurious)


def test_too_few_labels_are_not_calibrated(world):
    objects, detections, _ = world
    few = objects.only(np.arange(FEWEST_OBJECTS - 1))
    raw, calibrated = both(few, detections)
    assert calibrated is raw


def test_of_many_images_some_are_enough(world, monkeypatch):
    """A fifth of the images tells nearly the same."""
    objects, detections, _ = world
    _, of_all = both(objects, detections)
    monkeypatch.setattr("hardmine.mining.calibration.MOST_OBJECTS", 200)
    _, of_some = both(objects, detections)
    assert not np.array_equal(of_all.spurious, of_some.spurious)
    assert np.corrcoef(of_all.spurious, of_some.spurious)[0, 1] > 0.9
