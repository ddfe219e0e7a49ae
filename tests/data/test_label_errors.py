import numpy as np
import pytest

from hardmine.data import ImageRecord
from hardmine.data.label_errors import ERROR_KINDS, is_apart, plant_errors
from hardmine.errors import ConfigError

NONE = np.zeros((0, 4), dtype=np.float32)


def record(num_objects=6):
    left = 20 * np.arange(num_objects, dtype=np.float32)
    boxes = np.stack([left, np.full_like(left, 5), left + 10, np.full_like(left, 25)], axis=1)
    crowd = np.zeros(num_objects, dtype=bool)
    return ImageRecord(3, None, 200, 100, boxes, np.arange(num_objects) % 3, crowd)


def plant(fraction=1.0, num_classes=3, seed=0, taken=NONE, truth=None):
    return plant_errors(truth or record(), fraction, num_classes, np.random.default_rng(seed), taken)


def as_set(boxes, labels):
    return {(*box, label) for box, label in zip(boxes.tolist(), labels.tolist(), strict=True)}


@pytest.mark.parametrize("seed", range(20))
def test_errors_say_exactly_how_record_and_truth_differ(seed):
    truth = record()
    changed, errors = plant(0.7, seed=seed)
    before, after = as_set(truth.boxes, truth.labels), as_set(changed.boxes, changed.labels)
    assert before - after == {(*e.true_box, e.true_label) for e in errors if e.true_box is not None}
    assert after - before == {(*e.box, e.label) for e in errors if e.box is not None}
    assert len(changed.is_crowd) == len(changed.boxes)


def test_each_kind_is_what_it_says():
    errors = [error for seed in range(30) for error in plant(seed=seed)[1]]
    by_kind = {kind: [error for error in errors if error.kind == kind] for kind in ERROR_KINDS}
    assert all(len(found) > 20 for found in by_kind.values())
    assert all(e.box is None and e.label is None and e.true_box for e in by_kind["dropped"])
    assert all(e.box == e.true_box and e.label != e.true_label and 0 <= e.label < 3 for e in by_kind["swapped"])
    assert all(e.true_box is None and is_apart(np.array(e.box), record().boxes) for e in by_kind["spurious"])
    for error in by_kind["shifted"]:
        x1, y1, x2, y2 = error.box
        moved = np.abs(np.array(error.box) - error.true_box)[:2] / (10, 20)
        assert error.label == error.true_label
        assert (moved > 0.32).all()
        assert (moved < 0.51).all()
        assert 0 <= x1 < x2 <= 200
        assert 0 <= y1 < y2 <= 100


def test_share_of_objects_is_the_fraction():
    assert plant(0.0)[1] == []
    assert len(plant(1.0)[1]) == 6
    counts = [len(plant(0.25, seed=seed)[1]) for seed in range(300)]
    assert 0.2 < np.mean(counts) / 6 < 0.3


def test_one_class_cannot_be_swapped():
    assert all(error.kind != "swapped" for seed in range(20) for error in plant(num_classes=1, seed=seed)[1])


def test_spurious_boxes_keep_away_from_taken_ground():
    taken = np.array([[0, 30, 200, 100]], dtype=np.float32)
    spurious = [e for seed in range(20) for e in plant(seed=seed, taken=taken)[1] if e.kind == "spurious"]
    assert all(is_apart(np.array(error.box), taken) for error in spurious)
    by_image = [[np.array(e.box) for e in plant(seed=seed)[1] if e.kind == "spurious"] for seed in range(60)]
    assert all(
        is_apart(box, np.array(boxes[:place]).reshape(-1, 4)) for boxes in by_image for place, box in enumerate(boxes)
    )
    everywhere = np.array([[0, 0, 200, 100]], dtype=np.float32)
    assert all(e.kind != "spurious" for seed in range(20) for e in plant(seed=seed, taken=everywhere)[1])


def test_no_objects_no_errors():
    changed, errors = plant(truth=record(0))
    assert changed.boxes.shape == (0, 4)
    assert errors == []


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(ConfigError, match="expected a fraction from 0 to 1"):
        plant(fraction)
