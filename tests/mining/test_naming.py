"""Every kind of error by hand, and how hard each is."""

import numpy as np
import pytest

from hardmine.errors import ConfigError, DataError
from hardmine.mining.matching import match
from hardmine.mining.naming import hardness_of_detections, hardness_of_objects, name_detections
from hardmine.mining.pairs import Detections, Objects

OBJECTS = Objects(
    image=np.array([0, 0, 0, 1]),
    category=np.array([0, 1, 0, 0]),
    boxes=np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 50, 90, 90], [0, 0, 10, 10.0]]),
    is_crowd=np.array([False, False, True, False]),
)
CASES = {  # score, class, box
    "true": (0.9, 0, [0, 0, 10, 10]),
    "duplicate": (0.8, 0, [0, 0, 10, 10]),
    "badly located": (0.7, 0, [0, 0, 5, 8]),
    "confusion": (0.6, 0, [20, 0, 30, 10]),
    "both": (0.5, 0, [20, 0, 25, 6]),
    "ignored": (0.4, 0, [10, 55, 40, 80]),
    "background": (0.3, 0, [60, 0, 70, 10]),
}
DETECTIONS = Detections(
    image=np.zeros(len(CASES), dtype=int),
    category=np.array([category for _, category, _ in CASES.values()]),
    boxes=np.array([box for _, _, box in CASES.values()], dtype=float),
    scores=np.array([score for score, _, _ in CASES.values()]),
)


def test_every_error_has_its_name():
    assert name_detections(match(OBJECTS, DETECTIONS)).tolist() == list(CASES)


def test_hardness_of_objects_is_what_they_lack_in_score_and_overlap():
    hardness = hardness_of_objects(match(OBJECTS, DETECTIONS), DETECTIONS)
    np.testing.assert_allclose(hardness, [0.1, 1, 1, 1])


def test_hardness_of_mistakes_is_how_sure_they_are():
    hardness = hardness_of_detections(match(OBJECTS, DETECTIONS), DETECTIONS)
    np.testing.assert_allclose(hardness, [0.1, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.5, 0), (1.1, 0.1)])
def test_thresholds_out_of_order_are_refused(thresholds):
    with pytest.raises(ConfigError, match="0 < near_iou < found_iou <= 1"):
        name_detections(match(OBJECTS, DETECTIONS), *thresholds)


@pytest.mark.parametrize("score", [1.5, -0.1, np.nan])
def test_scores_that_are_none_are_named(score):
    scores = DETECTIONS.scores.copy()
    scores[2] = score
    wrong = Detections(DETECTIONS.image, DETECTIONS.category, DETECTIONS.boxes, scores)
    for hardness in (hardness_of_objects, hardness_of_detections):
        with pytest.raises(DataError, match="prediction 2 has the score"):
            hardness(match(OBJECTS, DETECTIONS), wrong)
