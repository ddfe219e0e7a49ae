import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardmine.data import open_scenes
from hardmine.data.derived import DerivedDataset
from hardmine.diagnosis.held_back import (
    class_tail,
    diagnose,
    error_shares,
    object_sizes,
    score_iou_correlation,
    suspect_shares,
)
from hardmine.errors import RunError
from hardmine.mining import Detections, Objects, match
from hardmine.mining.results import results_table
from hardmine.predictions import found_records
from tests.stand_in import DENSE, SETS

KINDS = ("confusion", "badly_located", "both", "duplicate", "background", "missed")
NUM_TRAIN, NUM_VAL = 12, 4  # scenes of `few`


def objects_of(*boxes: tuple[float, float, float, float, int], crowd: bool = False) -> Objects:
    """Objects of one image: corners and class."""
    rows = np.array(boxes, dtype=float).reshape(-1, 5)
    num = len(rows)
    return Objects(np.zeros(num, int), rows[:, 4].astype(int), rows[:, :4], np.full(num, crowd))


def detections_of(*rows: tuple[float, float, float, float, int, float]) -> Detections:
    """Predictions on one image: corners, class and score."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    return Detections(np.zeros(len(table), int), table[:, 4].astype(int), table[:, :4], table[:, 5])


def errors_of(objects: Objects, detections: Detections):
    return error_shares(objects, detections, match(objects, detections))


@pytest.mark.parametrize("detector", ["retinanet", "fasterrcnn", DENSE, SETS])
def test_a_run_of_any_detector_is_diagnosed(run_of, few, stand_in, detector):
    folder = run_of(detector)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    found = diagnose(folder)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["detector"] == detector
    assert (found.recipe, found.gradient.num_images) == ("random", NUM_TRAIN)
    gradient, errors, sizes = found.gradient, found.errors, found.sizes
    assert gradient.positives + gradient.negatives == pytest.approx(1)
    assert gradient.easy_negatives + gradient.hard_negatives <= gradient.negatives + 1e-9
    assert 1 / gradient.num_samples <= gradient.effective_samples <= 1
    assert sum(getattr(errors, kind) for kind in KINDS) == pytest.approx(1)
    assert sizes.small + sizes.medium + sizes.large == pytest.approx(1)
    assert found.samples.num_objects == sum(found.classes.num_objects)
    assert found.samples.mean * found.samples.num_objects <= gradient.num_samples


def test_a_look_is_the_same_every_time(run_of, few):
    assert diagnose(run_of("fasterrcnn")) == diagnose(run_of("fasterrcnn"))


def test_each_object_of_a_set_detector_has_one_query(run_of, few, stand_in):
    samples = diagnose(run_of(SETS)).samples
    assert (samples.mean, samples.without) == (1, 0)


def test_predictions_that_are_gone_are_made_again(run_of, few, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for file in run_of("retinanet").iterdir():
        if not file.name.startswith("predictions"):
            (folder / file.name).symlink_to(file)
    assert diagnose(folder) == diagnose(run_of("retinanet"))


def test_a_run_that_finds_nothing_and_a_folder_that_is_none_are_refused(run_of, few, tmp_path):
    for file in run_of("retinanet").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "predictions_val.json").unlink()
    (tmp_path / "predictions_val.json").write_text("[]")
    with pytest.raises(RunError, match="finds nothing on split 'val'"):
        diagnose(tmp_path)
    with pytest.raises(RunError, match="not a run folder"):
        diagnose(Path("no_such_run"))


def test_each_type_of_error_is_counted_once():
    objects = objects_of(
        (0, 0, 10, 10, 1), (20, 0, 30, 10, 1), (40, 0, 50, 10, 1), (60, 0, 70, 10, 1), (0, 50, 9, 59, 1)
    )
    detections = detections_of(
        (0, 0, 10, 10, 1, 0.99),  # true
        (0, 0, 10, 9, 1, 0.9),  # duplicate
        (24, 0, 34, 10, 1, 0.9),  # badly located: IoU .43
        (40, 0, 50, 10, 2, 0.9),  # confusion
        (64, 0, 74, 10, 2, 0.9),  # both: its object is missed
        (80, 80, 90, 90, 1, 0.9),  # background
        (0, 50, 9, 59, 1, 0.999),  # true
    )
    errors = errors_of(objects, detections)
    assert errors.threshold == 0.99  # from there on, two of two are right: what scores less does not count
    assert (errors.precision, errors.recall, errors.num_errors, errors.missed) == (1, 0.4, 3, 1)
    errors = errors_of(objects, replace(detections, scores=np.full(7, 0.5)))  # then all count, or none
    assert errors.num_errors == 6
    assert [getattr(errors, kind) for kind in KINDS] == pytest.approx([1 / 6] * 6)
    assert (errors.precision, errors.recall) == (2 / 7, 0.4)


def test_what_lies_on_a_crowd_is_no_error_and_a_crowd_is_not_missed():
    detections = detections_of((0, 0, 10, 10, 1, 0.9))
    assert errors_of(objects_of((0, 0, 20, 20, 1), crowd=True), detections).num_errors == 0
    assert errors_of(objects_of((0, 0, 20, 20, 1)), detections).num_errors == 1


def test_without_predictions_all_is_missed():
    errors = errors_of(objects_of((0, 0, 10, 10, 1)), detections_of())
    assert (errors.missed, errors.precision, errors.recall, errors.num_errors) == (1, 0, 0, 1)


@pytest.mark.parametrize(("sign", "correlation"), [(1, 1.0), (-1, -1.0)])
def test_scores_that_follow_the_iou_correlate(sign, correlation):
    """Twelve objects of each of two classes; in each class the scores follow the IoU, not over both together."""
    objects = objects_of(*((100 * i, 0, 100 * i + 10, 10, 1 + i // 12) for i in range(24)))
    found = detections_of(
        *((100 * i, 0, 100 * i + 9.5 - 0.3 * (i % 12), 10, 1 + i // 12, 0.5 - sign * 0.01 * (i % 12) + 0.2 * (i // 12))
          for i in range(24))
    )  # fmt: skip
    assert score_iou_correlation(found, match(objects, found)) == pytest.approx(correlation)


def test_too_few_or_equal_predictions_have_no_correlation():
    objects = objects_of(*((100 * i, 0, 100 * i + 10, 10, 1) for i in range(12)))
    equal = detections_of(*((100 * i, 0, 100 * i + 10, 10, 1, 0.5) for i in range(12)))
    assert score_iou_correlation(equal, match(objects, equal)) is None
    few = equal.only(np.arange(5))
    assert score_iou_correlation(few, match(objects, few)) is None


@pytest.fixture
def scenes():
    return open_scenes("val", num_images=64, size=64)


def perfect(dataset, labels):
    """Predictions of just the objects with these labels."""
    truth = dataset.coco_ground_truth()["annotations"]
    wanted = {dataset.category_ids[label] for label in labels}
    found = [{**a, "score": 0.9} for a in truth if a["category_id"] in wanted]
    return results_table(dataset, found_records(found, "perfect"))


def test_the_rarest_classes_are_told_from_the_commonest(scenes):
    counts = np.bincount(np.concatenate([record.labels for record in scenes.records]), minlength=len(scenes.classes))
    order = np.argsort(counts, kind="stable")
    found = class_tail(scenes, scenes, perfect(scenes, [order[-1]]))
    assert found.num_objects == tuple(counts)
    assert found.ratio == counts.max() / max(1, counts.min())
    assert (found.ap_rarest, found.ap_commonest) == (0, pytest.approx(1))
    assert class_tail(scenes, scenes, perfect(scenes, [order[0]])).ap_rarest == pytest.approx(1)


def test_classes_are_told_apart_whatever_the_order_of_their_ids(scenes):
    turned = DerivedDataset(scenes, "val", range(len(scenes)), scenes.records)
    turned.category_ids = turned.own_category_ids = tuple(reversed(scenes.category_ids))
    rarest = int(np.argsort(class_tail(scenes, scenes, perfect(scenes, [0])).num_objects, kind="stable")[0])
    found = class_tail(turned, turned, perfect(turned, [rarest]))
    assert (found.ap_rarest, found.ap_commonest) == (pytest.approx(1), 0)


def test_sizes_are_coco_s(scenes):
    record = replace(scenes.records[0], areas=np.array([32**2 - 1, 32**2, 96**2, 96**2 + 1], dtype=np.float32))
    record = replace(
        record, boxes=np.tile(record.boxes[:1], (4, 1)), labels=np.zeros(4, int), is_crowd=np.zeros(4, bool)
    )
    sizes = object_sizes(DerivedDataset(scenes, "val", [0], [record]))
    assert (sizes.small, sizes.medium, sizes.large) == (0.25, 0.5, 0.25)


@pytest.fixture
def found_as_labelled(scenes, monkeypatch):
    """A run that finds every object of the scenes, more or less surely, and nothing else."""
    truth = scenes.coco_ground_truth()["annotations"]
    scores = np.random.default_rng(0).uniform(0.5, 1, len(truth))
    found = [{**a, "score": score} for a, score in zip(truth, scores, strict=True)]
    found = [{name: a[name] for name in ("image_id", "category_id", "bbox", "score")} for a in found]
    monkeypatch.setattr("hardmine.diagnosis.held_back.predict_dataset", lambda *_: found)


def with_only(dataset, keeps):
    """The data set with the labels for which `keeps(place of the image, number of its labels)` says so."""
    records = []
    for place, record in enumerate(dataset.records):
        kept = keeps(place, len(record.labels))
        columns = {name: getattr(record, name)[kept] for name in ("boxes", "labels", "is_crowd")}
        records.append(replace(record, **columns, areas=None))
    return DerivedDataset(dataset, dataset.split, range(len(records)), records)


def test_labels_that_say_what_is_found_are_not_doubted(scenes, found_as_labelled):
    shares = suspect_shares(Path(), scenes)
    assert shares.num_labels == sum(len(record.labels) for record in scenes.records)
    assert (shares.labels, shares.missing, shares.missing_by_image) == (0, 0, None)


def test_what_is_found_as_surely_as_labels_are_lacks_one(scenes, found_as_labelled):
    """Half of the labels are lost at random: for each that is left, one is missing."""
    rng = np.random.default_rng(1)
    shares = suspect_shares(Path(), with_only(scenes, lambda _, num: rng.random(num) < 0.5))
    num = sum(len(record.labels) for record in scenes.records)
    assert shares.missing == pytest.approx((num - shares.num_labels) / shares.num_labels, rel=0.3)
    assert abs(shares.missing_by_image) < 0.4


def test_labelling_that_was_given_up_shows_by_image(scenes, found_as_labelled):
    """Every second image has lost its labels."""
    shares = suspect_shares(Path(), with_only(scenes, lambda place, num: np.full(num, place % 2 == 0)))
    assert shares.missing_by_image < -0.6


def test_no_predictions_raise_no_suspicion(scenes, monkeypatch):
    monkeypatch.setattr("hardmine.diagnosis.held_back.predict_dataset", lambda *_: [])
    shares = suspect_shares(Path(), scenes)
    assert (shares.labels, shares.missing, shares.missing_by_image) == (0, 0, None)
