import numpy as np
import pytest

from hardmine.evaluation import match_predictions
from hardmine.evaluation.lrp import optimal_lrp, optimal_lrp_of_class
from hardmine.evaluation.matching import counts_by_image

BOX, LOOSE, FAR = [0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 10, 10]  # IoU of the second with the first: .8


def lrp(truth: dict, found: list[dict], image_counts=None) -> np.ndarray:
    counts = np.ones((1, len(truth["images"])), int) if image_counts is None else image_counts
    return optimal_lrp(match_predictions(truth, found), counts_by_image(counts))


def scene(*objects) -> dict:
    annotations = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(objects)]
    return {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": annotations}


def detections(*found) -> list[dict]:
    return [{"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in found]


@pytest.mark.parametrize(
    ("objects", "found", "expected"),
    [
        ([BOX], [(BOX, 0.9)], 0),
        ([BOX], [(LOOSE, 0.9)], 0.2 / 0.5),  # only its looseness
        ([BOX], [], 1),
        ([BOX], [(FAR, 0.9)], 1),
        ([BOX], [(BOX, 0.9), (FAR, 0.1)], 0),  # a threshold between them
        ([BOX], [(BOX, 0.9), (FAR, 0.9)], 1 / 2),  # which there is not for equal scores
        ([BOX], [(FAR, 0.9), (BOX, 0.1)], 1 / 2),
        ([BOX, FAR], [(BOX, 0.9)], 1 / 2),
        ([BOX, FAR], [(LOOSE, 0.9), (BOX, 0.8), (FAR, 0.7)], (0.4 + 1) / 3),
    ],
)
def test_hand_made_scenes(objects, found, expected):
    np.testing.assert_allclose(lrp(scene(*objects), detections(*found)), [expected])


def by_every_threshold(of_class) -> float:
    """From the definition."""
    if not of_class.num_objects.sum():
        return np.nan
    values = [1.0]
    for threshold in of_class.scores:
        over = (of_class.scores >= threshold) & ~of_class.is_ignored[0]
        true = over & of_class.is_true[0]
        num_false, num_missed = over.sum() - true.sum(), of_class.num_objects.sum() - true.sum()
        loose = sum((1 - iou) / (1 - 0.5) for iou in of_class.iou[0, true])
        values.append((loose + num_false + num_missed) / (true.sum() + num_false + num_missed))
    return min(values)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_least_over_every_threshold(seed, random_case):
    truth, found = random_case(seed, crowd=0.3)
    matches = match_predictions(truth, found)
    once = np.ones((len(truth["images"]), 1), np.int32)
    expected = [by_every_threshold(of_class) for of_class in matches.classes]
    found_of = [optimal_lrp_of_class(of_class, once)[0] for of_class in matches.classes]
    np.testing.assert_allclose(found_of, expected)
    np.testing.assert_allclose(lrp(truth, found), [np.nanmean(expected)])


@pytest.mark.parametrize("seed", range(4))
def test_on_a_resample_it_is_that_of_a_data_set_with_copies(seed, random_case, repeated):
    truth, found = random_case(seed)
    counts = np.random.default_rng(seed).integers(0, 4, (5, len(truth["images"])))
    expected = [lrp(*repeated(truth, found, row))[0] for row in counts]
    np.testing.assert_allclose(lrp(truth, found, counts), expected, atol=1e-12)


def test_without_objects_it_is_undefined(random_case):
    truth, found = random_case(0)
    assert np.isnan(lrp(truth | {"annotations": []}, found)).all()
    assert np.isnan(lrp(truth, found, np.zeros((2, len(truth["images"])), int))).all()
