import numpy as np
import pytest

from hardmine.errors import DataError
from hardmine.evaluation import evaluate_predictions, match_predictions
from hardmine.evaluation.matching import AREAS, box_iou_xywh, read_evidence


def once(matches) -> np.ndarray:
    return np.ones((1, matches.num_images), dtype=int)


@pytest.mark.parametrize("seed", range(25))
def test_every_image_once_is_the_ap_of_faster_coco_eval(seed, random_case):
    ground_truth, predictions = random_case(seed)
    matches = match_predictions(ground_truth, predictions)
    expected = evaluate_predictions(ground_truth, predictions)
    np.testing.assert_allclose(matches.average_precision(once(matches))[0], expected.ap, atol=1e-9)
    for of_class, ap in zip(matches.classes, expected.per_class.values(), strict=True):
        found = of_class.average_precision(once(matches))[0]
        assert np.isnan(found) if ap is None else found == pytest.approx(ap, abs=1e-9)


@pytest.mark.parametrize("jitter", [0.0, 1.0, 3.0])
def test_crowded_images_with_many_equal_overlaps_agree_with_faster_coco_eval(jitter, random_case):
    ground_truth, predictions = random_case(100, num_images=4, per_image=60, jitter=jitter, crowd=0.4)
    matches = match_predictions(ground_truth, predictions)
    expected = evaluate_predictions(ground_truth, predictions).ap
    np.testing.assert_allclose(matches.average_precision(once(matches))[0], expected, atol=1e-9)


def of_sizes(ground_truth, predictions) -> dict:
    evidence = read_evidence(ground_truth, predictions)
    pairs = evidence.pairs()
    return {name: evidence.match(pairs, area).by_class(evidence.detections) for name, area in AREAS.items()}


@pytest.mark.parametrize("seed", range(25))
def test_of_every_size_and_threshold_it_is_the_ap_of_faster_coco_eval(seed, sized_case):
    ground_truth, predictions = sized_case(seed)
    expected = evaluate_predictions(ground_truth, predictions).to_dict()
    for size, matches in of_sizes(ground_truth, predictions).items():
        ap = expected["ap" if size == "all" else f"ap_{size}"]
        assert ap is not None
        np.testing.assert_allclose(matches.average_precision(once(matches))[0], ap, atol=1e-9)
    matches = match_predictions(ground_truth, predictions)
    for name, place in {"ap50": 0, "ap75": 5}.items():
        by_class = [c.at([place]).average_precision(once(matches))[0] for c in matches.classes]
        np.testing.assert_allclose(np.nanmean(by_class), expected[name], atol=1e-9)


def test_an_object_without_an_area_has_that_of_its_box(sized_case):
    ground_truth, predictions = sized_case(0)
    bare = [{k: v for k, v in a.items() if k != "area"} for a in ground_truth["annotations"]]
    boxed = [a | {"area": a["bbox"][2] * a["bbox"][3]} for a in bare]
    found, expected = (of_sizes(ground_truth | {"annotations": of}, predictions) for of in (bare, boxed))
    for size in AREAS:
        np.testing.assert_array_equal(
            found[size].average_precision(once(found[size])), expected[size].average_precision(once(expected[size]))
        )


def test_a_prediction_takes_an_object_of_the_range_before_a_closer_one_outside_of_it():
    small, larger = [0, 0, 30, 30], [0, 0, 40, 30]
    ground_truth = one_image(small, larger)
    on_larger, second, stray = detection(larger, 0.9), detection(larger, 0.8), detection([90, 90, 60, 60], 0.7)
    of_class = of_sizes(ground_truth, [on_larger, second, stray])["small"].classes[0]
    assert of_class.is_true[0].tolist() == [True, False, False]  # IoU .75 with the small object
    assert of_class.is_ignored[0].tolist() == [False, True, True]
    assert of_class.iou[0].tolist() == [0.75, 1, 0]
    assert of_class.is_true[-1].tolist() == [False, False, False]
    assert of_class.iou[-1].tolist() == [1, 0, 0]  # outside of the range only one can take it, unlike a crowd


def one_image(*boxes, crowd=()) -> dict:
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": int(box in crowd)}
        for i, box in enumerate(boxes)
    ]
    return {"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}], "annotations": annotations}


def detection(box, score) -> dict:
    return {"image_id": 1, "category_id": 1, "bbox": box, "score": score}


def test_of_two_equal_overlaps_the_later_object_is_taken_as_coco_does():
    first, later = [0, 0, 20, 10], [8, 0, 20, 10]
    between, on_later = detection([4, 0, 20, 10], 0.9), detection([14, 0, 20, 10], 0.8)
    ground_truth = one_image(first, later)
    matches = match_predictions(ground_truth, [between, on_later])
    np.testing.assert_array_equal(matches.classes[0].is_true[0], [True, False])  # so the first object stays unfound
    expected = evaluate_predictions(ground_truth, [between, on_later]).ap
    np.testing.assert_allclose(matches.average_precision(once(matches))[0], expected, atol=1e-9)


def test_a_true_prediction_inside_a_crowd_is_true_and_a_second_one_is_ignored():
    box, crowd = [0, 0, 20, 20], [0, 0, 100, 100]
    ground_truth = one_image(box, crowd, crowd=[crowd])
    of_class = match_predictions(ground_truth, [detection(box, 0.9), detection(box, 0.8)]).classes[0]
    assert of_class.num_objects.tolist() == [1]
    assert of_class.is_true.tolist() == [[True, False]] * 10
    assert of_class.is_ignored.tolist() == [[False, True]] * 10


def test_at_most_100_predictions_of_an_image_and_class_count():
    ground_truth = one_image([0, 0, 10, 10])
    hit, miss = detection([0, 0, 10, 10], 0.1), detection([50, 50, 10, 10], 0.9)
    for num_misses, found in ((99, 1), (100, 0)):
        matches = match_predictions(ground_truth, [hit] + [miss] * num_misses)
        assert matches.classes[0].is_true.sum() == 10 * found


@pytest.mark.parametrize("seed", range(8))
def test_counting_an_image_n_times_is_a_data_set_with_n_copies_of_it(seed, random_case, repeated):
    ground_truth, predictions = random_case(seed)
    rng = np.random.default_rng(seed)
    predictions = [
        p | {"score": float(s)} for p, s in zip(predictions, rng.random(len(predictions)), strict=True)
    ]  # no ties
    matches = match_predictions(ground_truth, predictions)
    counts = rng.integers(0, 4, (5, matches.num_images))
    expected = [evaluate_predictions(*repeated(ground_truth, predictions, row)).ap for row in counts]
    np.testing.assert_allclose(matches.average_precision(counts), expected, atol=1e-9)


def test_resamples_in_blocks_are_the_resamples_at_once(monkeypatch, random_case):
    matches = match_predictions(*random_case(3))
    counts = np.random.default_rng(0).integers(0, 3, (7, matches.num_images))
    at_once = matches.average_precision(counts)
    monkeypatch.setattr("hardmine.evaluation.matching.MAX_CELLS", 1)
    np.testing.assert_array_equal(matches.average_precision(counts), at_once)


def test_a_resample_without_objects_is_undefined_and_without_predictions_zero(random_case):
    ground_truth, predictions = random_case(0)
    matches = match_predictions(ground_truth, [])
    assert matches.average_precision(once(matches))[0] == 0
    assert np.isnan(matches.average_precision(0 * once(matches))[0])
    unlabelled = match_predictions(ground_truth | {"annotations": []}, predictions)
    assert np.isnan(unlabelled.average_precision(once(matches))[0])


def test_iou_with_a_crowd_is_the_share_inside_it():
    boxes, others = [[0, 0, 10, 10]], [[0, 0, 20, 20], [5, 0, 100, 100]]
    np.testing.assert_allclose(box_iou_xywh(boxes, others, [0, 1]), [[0.25, 0.5]])
    assert box_iou_xywh([], others, [0, 1]).shape == (0, 2)


def test_a_prediction_that_does_not_fit_is_refused(random_case):
    ground_truth, predictions = random_case(0)
    with pytest.raises(DataError, match="record 0: image_id 1 "):
        match_predictions(ground_truth, [predictions[0] | {"image_id": 1}])
