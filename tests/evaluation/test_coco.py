import copy
import json

import numpy as np
import pytest

from hardmine.errors import DataError
from hardmine.evaluation import evaluate_predictions, read_predictions


def perfect(ground_truth: dict) -> list[dict]:
    keys = ("image_id", "category_id", "bbox")
    return [{k: a[k] for k in keys} | {"score": 0.9} for a in ground_truth["annotations"] if not a["iscrowd"]]


def test_perfect_predictions_score_one_and_classes_without_objects_have_no_ap(random_case):
    ground_truth, _ = random_case(0)
    metrics = evaluate_predictions(ground_truth, perfect(ground_truth))
    assert metrics.ap == metrics.ap50 == metrics.ap75 == metrics.ar100 == pytest.approx(1.0)
    assert metrics.per_class == {"cat": pytest.approx(1.0), "dog": pytest.approx(1.0), "owl": None}


def test_sizes_without_objects_are_undefined_not_minus_one(random_case):
    ground_truth, predictions = random_case(1)  # no box is over 96 pixels
    metrics = evaluate_predictions(ground_truth, predictions)
    assert metrics.ap_large is None
    assert json.loads(json.dumps(metrics.to_dict()))["ap_large"] is None
    assert -1 not in metrics.to_dict().values()


def test_no_predictions_score_zero_and_no_objects_have_no_score(random_case):
    ground_truth, predictions = random_case(0)
    assert evaluate_predictions(ground_truth, []).ap == 0
    empty = evaluate_predictions(ground_truth | {"annotations": []}, predictions)
    assert empty.ap is empty.ap50 is empty.ar100 is None
    assert evaluate_predictions({"images": [], "annotations": [], "categories": []}, []).per_class == {}


def test_an_annotation_with_id_zero_can_be_found(random_case):
    ground_truth, _ = random_case(0)
    ground_truth["annotations"] = [ground_truth["annotations"][0] | {"id": 0, "iscrowd": 0}]
    assert evaluate_predictions(ground_truth, perfect(ground_truth)).ap == pytest.approx(1.0)


def test_arguments_are_left_alone_and_nothing_is_printed(capfd, caplog, random_case):
    ground_truth, predictions = random_case(0)
    before = copy.deepcopy((ground_truth, predictions))
    evaluate_predictions(ground_truth, predictions)
    assert (ground_truth, predictions) == before
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_two_classes_of_one_name_are_both_kept(random_case):
    ground_truth, predictions = random_case(0)
    ground_truth["categories"][1]["name"] = "cat"
    assert list(evaluate_predictions(ground_truth, predictions).per_class) == [
        "cat (category 2)",
        "cat (category 7)",
        "owl",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 11}, "image_id 11 is not in the ground truth"),
        ({"image_id": [10]}, "image_id"),
        ({"category_id": 1}, "category_id 1 is not in the ground truth"),
        ({"score": float("nan")}, "score must be a finite number"),
        ({"score": "0.5"}, "score must be a finite number"),
        ({"score": True}, "score must be a finite number"),
        ({"bbox": [0, 0, 1]}, "bbox must be"),
        ({"bbox": [0, 0, float("inf"), 1]}, "bbox must be"),
        ({"bbox": [0, 0, -1, 1]}, "bbox must be"),
        ({"bbox": None}, "bbox must be"),
    ],
)
def test_a_prediction_that_cannot_be_scored_is_named(change, message, random_case):
    ground_truth, predictions = random_case(0)
    predictions[3] = predictions[3] | change
    with pytest.raises(DataError, match=f"mine.json, record 3: .*{message}"):
        evaluate_predictions(ground_truth, predictions, source="mine.json")


def test_records_of_the_wrong_shape_are_named(random_case):
    ground_truth, predictions = random_case(0)
    with pytest.raises(DataError, match="record 1: expected an object"):
        evaluate_predictions(ground_truth, [predictions[0], [1, 2]])
    with pytest.raises(DataError, match="record 0: lacks bbox, score"):
        evaluate_predictions(ground_truth, [{"image_id": 10, "category_id": 2}])


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2", "not valid JSON"), ('{"a": 1}', "expected a list"), ("[" * 100_000, "not valid JSON")],
)
def test_a_broken_predictions_file_is_named(tmp_path, text, message):
    path = tmp_path / "predictions.json"
    path.write_text(text)
    with pytest.raises(DataError, match=f"predictions.json: {message}"):
        read_predictions(path)
    with pytest.raises(DataError, match=r"missing\.json: cannot be read"):
        read_predictions(tmp_path / "missing.json")


def test_predictions_survive_the_file(tmp_path, random_case):
    _, predictions = random_case(0)
    (tmp_path / "predictions.json").write_text(json.dumps(predictions))
    assert read_predictions(tmp_path / "predictions.json") == predictions
    assert np.isfinite([p["score"] for p in predictions]).all()


@pytest.mark.parametrize("first", [0, 1, 2**53, 2**62, -(2**62), 2**80, "uuid"])
def test_ids_of_any_size_are_told_apart(first):
    """The same predictions on other images are other predictions, however large the ids are."""
    ids = [f"{first}{n}" if isinstance(first, str) else first + n for n in range(4)]
    truth = {
        "images": [{"id": own, "width": 64, "height": 48} for own in ids],
        "annotations": [
            {"image_id": own, "category_id": ids[1], "bbox": [9 * n, 5, 8, 8], "area": 64, "iscrowd": 0}
            for n, own in enumerate(ids)
        ],
        "categories": [{"id": ids[1], "name": "a"}, {"id": ids[2], "name": "b"}],
    }
    right = [
        {"image_id": a["image_id"], "category_id": ids[1], "bbox": a["bbox"], "score": 0.5}
        for a in truth["annotations"]
    ]
    wrong = [p | {"image_id": own} for p, own in zip(right, ids[1:] + ids[:1], strict=True)]
    assert (evaluate_predictions(truth, right).ap, evaluate_predictions(truth, wrong).ap) == (1, 0)
    assert evaluate_predictions(truth, [p | {"category_id": ids[2]} for p in right]).ap == 0
    assert evaluate_predictions(truth, right).per_class == {"a": 1, "b": None}
