import numpy as np
import pytest

from hardmine.evaluation import look_alike_errors, match_predictions

OBJECT, OTHER_OBJECT, LOOK_ALIKE, OTHER_LOOK_ALIKE = [0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10], [60, 0, 10, 10]
GROUND_TRUTH = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 1, "name": "three"}, {"id": 2, "name": "seven"}],
    "annotations": [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}
        for i, box in enumerate([OBJECT, OTHER_OBJECT])
    ],
}
LOOK_ALIKES = {1: np.array([[40, 0, 50, 10], [60, 0, 70, 10]], dtype=np.float32), 2: np.zeros((0, 4), dtype=np.float32)}


def prediction(box, score, *, category_id=1, image_id=1):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


def errors(*predictions, look_alikes=LOOK_ALIKES, ground_truth=GROUND_TRUTH):
    return look_alike_errors(ground_truth, predictions, match_predictions(ground_truth, predictions), look_alikes)


def test_shares_and_auc_by_hand():
    found = errors(
        prediction(OBJECT, 0.3), prediction(LOOK_ALIKE, 0.6, category_id=2), prediction(OTHER_LOOK_ALIKE, 0.1)
    )
    assert found.num_look_alikes == 2
    assert found.share_at_matched_recall == 0.5  # half of the objects are found at .3; .6 is over it, .1 is not
    assert found.share_at_fixed_score == 0.5
    assert found.auc == pytest.approx(1 / 4)  # object .3 beats .1 only; the missed object beats none


def test_a_change_of_calibration_moves_only_the_fixed_score_share():
    scores = (0.9, 0.8, 0.85, 0.2)
    boxes = (OBJECT, OTHER_OBJECT, LOOK_ALIKE, OTHER_LOOK_ALIKE)
    confident = errors(*(prediction(b, s) for b, s in zip(boxes, scores, strict=True)))
    timid = errors(*(prediction(b, s / 3) for b, s in zip(boxes, scores, strict=True)))
    assert (confident.share_at_matched_recall, confident.auc) == (timid.share_at_matched_recall, timid.auc)
    assert (confident.share_at_fixed_score, timid.share_at_fixed_score) == (0.5, 0.0)


def test_a_prediction_on_an_object_too_or_on_another_image_is_no_error():
    overlapping = {1: np.array([[1, 0, 11, 10]], dtype=np.float32)}
    assert errors(prediction(OBJECT, 0.9), look_alikes=overlapping).share_at_fixed_score == 0
    assert errors(prediction(LOOK_ALIKE, 0.9, image_id=2)).share_at_fixed_score == 0


def test_loose_boxes_do_not_count():
    assert errors(prediction([40, 0, 10, 30], 0.9)).share_at_fixed_score == 0


def test_what_is_undefined_is_none():
    assert errors().share_at_matched_recall is None  # half of the objects are never found
    assert errors().auc == 0.5
    assert errors(look_alikes={}).to_dict() == dict.fromkeys(errors().to_dict(), None) | {"num_look_alikes": 0}
    no_objects = GROUND_TRUTH | {"annotations": []}
    found = errors(prediction(LOOK_ALIKE, 0.9), ground_truth=no_objects)
    assert (found.share_at_matched_recall, found.auc, found.share_at_fixed_score) == (None, None, 0.5)
