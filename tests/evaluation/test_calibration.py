import numpy as np
import pytest

from hardmine.evaluation import match_predictions
from hardmine.evaluation.calibration import expected_calibration_error
from hardmine.evaluation.matching import counts_by_image


def ece(truth: dict, found: list[dict], image_counts=None) -> np.ndarray:
    counts = np.ones((1, len(truth["images"])), int) if image_counts is None else image_counts
    return expected_calibration_error(match_predictions(truth, found), counts_by_image(counts))


def scene(scores: list[float], num_true: int) -> tuple[dict, list[dict]]:
    """Predictions of one class, each by itself; the first ones find an object."""
    boxes = [[20 * n, 0, 10, 10] for n in range(len(scores))]
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1, "bbox": b} for n, b in enumerate(boxes[:num_true])],
    }
    return truth, [{"image_id": 1, "category_id": 1, "bbox": b, "score": s} for b, s in zip(boxes, scores, strict=True)]


@pytest.mark.parametrize(
    ("scores", "num_true", "expected"),
    [
        ([0.75] * 4, 3, 0.0),
        ([0.5] * 4, 4, 0.5),
        ([1.0, 0.0], 1, 0.0),  # in the last bin and in the first
        ([0.95, 0.95, 0.15, 0.15], 2, 0.1),  # bins of .05 and .15, of two each
        ([0.7, 0.72, 0.79, 0.1], 3, (3 - 2.21 + 0.1) / 4),  # a bin has its lower border
        ([0.65, 0.75], 1, (0.35 + 0.75) / 2),  # in bins of their own they do not cancel
        ([0.71, 0.75], 1, (1.46 - 1) / 2),
    ],
)
def test_hand_made_scores(scores, num_true, expected):
    np.testing.assert_allclose(ece(*scene(scores, num_true)), [expected], atol=1e-12)


def test_it_is_the_mean_gap_of_bins_weighed_by_their_counts(random_case):
    truth, found = random_case(5, num_images=20, crowd=0.3)
    classes = match_predictions(truth, found).classes
    score = np.concatenate([c.scores[~c.is_ignored[0]] for c in classes])
    is_true = np.concatenate([c.is_true[0][~c.is_ignored[0]] for c in classes])
    place = np.minimum((score * 10).astype(int), 9)
    gaps = [(place == b).mean() * abs(score[place == b].mean() - is_true[place == b].mean()) for b in np.unique(place)]
    np.testing.assert_allclose(ece(truth, found), [sum(gaps)])


@pytest.mark.parametrize("seed", range(4))
def test_on_a_resample_it_is_that_of_a_data_set_with_copies(seed, random_case, repeated):
    truth, found = random_case(seed)
    counts = np.random.default_rng(seed).integers(0, 4, (5, len(truth["images"])))
    expected = [ece(*repeated(truth, found, row))[0] for row in counts]
    np.testing.assert_allclose(ece(truth, found, counts), expected, atol=1e-12)


def test_without_predictions_or_with_scores_that_are_no_probabilities_it_is_undefined(random_case):
    truth, found = random_case(0)
    assert np.isnan(ece(truth, [])).all()
    assert np.isnan(ece(truth, found, np.zeros((3, len(truth["images"])), int))).all()
    for score in (-0.1, 1.1):
        assert np.isnan(ece(truth, [found[0] | {"score": score}, *found])).all()
