from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardmine.data import DetectionDataset, Fold, ImageRecord, hold_out, open_scenes
from hardmine.data.label_errors import (
    ERROR_KINDS,
    is_apart,
    parse_shares,
    plant_errors,
    planted_in,
    with_label_errors,
)
from hardmine.errors import ConfigError

ALL = dict.fromkeys(ERROR_KINDS, 0.25)

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


@pytest.fixture(scope="module")
def scenes():
    return open_scenes("train", num_images=300, size=64)


def test_shares_are_read():
    assert parse_shares("dropped=.2") == {"dropped": 0.2}
    assert parse_shares(" swapped = .1, dropped=1e-1,spurious=0.8") == {"swapped": 0.1, "dropped": 0.1, "spurious": 0.8}


NO_SHARES = [
    *("", ".2", "dropped", "dropped=", "dropped=a", "lost=.2", "dropped=.1,", "dropped=.1;shifted=.1"),
    *("dropped=-.1", "dropped=0", "dropped=nan", "dropped=inf", "dropped=.6,shifted=.5", "dropped=.1,dropped=.1"),
]


@pytest.mark.parametrize("text", NO_SHARES)
def test_what_are_no_shares_is_refused_with_what_was_expected(text):
    with pytest.raises(ConfigError, match=r"expected shares of the objects such as dropped=.2,swapped=.1.*spurious"):
        parse_shares(text)


def test_each_kind_meets_its_share_of_the_objects(scenes):
    shares = {"spurious": 0.05, "dropped": 0.3, "swapped": 0.1}
    num_objects = sum(len(record.boxes) for record in scenes.records)
    counts = Counter(error.kind for error in with_label_errors(scenes, shares).planted)
    assert counts.keys() == shares.keys()
    for kind, share in shares.items():
        spread = 4 * np.sqrt(share * (1 - share) / num_objects)
        assert abs(counts[kind] / num_objects - share) < spread + 0.02 * (kind == "spurious")  # little ground is free
    assert (
        with_label_errors(scenes, dict(reversed(shares.items()))).planted == with_label_errors(scenes, shares).planted
    )


def test_errors_of_an_image_are_its_own_whatever_is_around_it(scenes):
    whole = {record.image_id: record for record in with_label_errors(scenes, ALL).records}
    rest, held = hold_out(scenes, Fold(1, 3))
    backwards = DetectionDataset("other", "x", scenes.classes, scenes.category_ids, scenes.records[::-1])
    for part in (rest, held, backwards):
        for record in with_label_errors(part, ALL).records:
            np.testing.assert_array_equal(record.boxes, whole[record.image_id].boxes)
            np.testing.assert_array_equal(record.labels, whole[record.image_id].labels)


def test_numbered_images_are_known_by_the_names_of_their_files(scenes):
    def numbered(records, top):
        named = [replace(r, file=Path(top, "train", f"{r.image_id}.png"), is_numbered=True) for r in records]
        return [replace(record, image_id=place) for place, record in enumerate(named)]

    def errors(records):
        dataset = DetectionDataset("files", "train", scenes.classes, scenes.category_ids, records)
        changed = with_label_errors(dataset, ALL).records
        return {record.file.name: record.boxes.tolist() for record in changed}

    here, moved = errors(numbered(scenes.records, "/a")), errors(numbered(scenes.records[5:], "/b/c"))
    assert moved == {name: boxes for name, boxes in here.items() if name in moved}


def test_images_with_the_same_labels_do_not_have_the_same_errors():
    records = [replace(record(), image_id=number) for number in range(40)]
    dataset = DetectionDataset("same", "train", "abc", (1, 2, 3), records)
    boxes = {tuple(map(tuple, changed.boxes.tolist())) for changed in with_label_errors(dataset, ALL).records}
    assert len(boxes) > 30


def annotated():
    """Twelve objects with areas and weights of their own, the last two crowds, the second labelled again."""
    plain = record(10)
    boxes = np.concatenate([plain.boxes, [[0, 60, 50, 100], [60, 60, 200, 100]]]).astype(np.float32)
    areas = np.arange(1, 13, dtype=np.float32)
    return replace(
        plain,
        boxes=boxes,
        labels=np.arange(12) % 3,
        is_crowd=np.arange(12) >= 10,
        areas=areas,
        weights=areas / 16,
        duplicate_of=np.array([1, 1, 7]),
        unreadable=np.array([[0, 30, 200, 50]], dtype=np.float32),
    )


@pytest.mark.parametrize("seed", range(20))
def test_crowds_stay_and_what_is_known_of_an_object_goes_with_it(seed):
    truth = annotated()
    changed, errors = plant_errors(truth, {"dropped": 0.3, "spurious": 0.3}, 3, np.random.default_rng(seed))
    known = {tuple(box): place for place, box in enumerate(truth.boxes.tolist())}
    places = [known.get(tuple(box)) for box in changed.boxes.tolist()]
    dropped = {known[error.true_box] for error in errors if error.kind == "dropped"}
    assert {10, 11} <= set(places)
    assert set(places) - {None} == set(range(12)) - dropped
    assert places.count(None) == sum(error.kind == "spurious" for error in errors)
    for now, place in enumerate(places):
        if place is None:
            assert (changed.weights[now], changed.is_crowd[now]) == (1, False)
            assert changed.areas[now] == pytest.approx(200)
            assert is_apart(changed.boxes[now], truth.regions)
        else:
            assert (changed.areas[now], changed.weights[now]) == (truth.areas[place], truth.weights[place])
            assert changed.is_crowd[now] == truth.is_crowd[place]
    assert [places[now] for now in changed.duplicate_of] == [place for place in (1, 1, 7) if place not in dropped]
    assert changed.unreadable is truth.unreadable


def test_a_shifted_object_keeps_its_own_area():
    changed, errors = plant_errors(annotated(), {"shifted": 1.0}, 3, np.random.default_rng(0))
    assert len(errors) == 10
    np.testing.assert_allclose(changed.areas, annotated().areas, rtol=1e-5)


def test_a_single_class_that_is_to_be_swapped_is_refused():
    dataset = DetectionDataset("one", "train", ["tree"], [1], [replace(record(), labels=np.zeros(6, dtype=np.int64))])
    with pytest.raises(ConfigError, match="swapped needs two classes; one has only 'tree'"):
        with_label_errors(dataset, {"dropped": 0.1, "swapped": 0.1})


def test_shares_of_more_than_all_objects_are_refused():
    with pytest.raises(ConfigError, match="at most 1 together"):
        plant_errors(record(), {"dropped": 0.7, "shifted": 0.7}, 3, np.random.default_rng(0))


def test_planted_errors_are_found_below_whatever_was_made_of_the_data_set(scenes):
    erroneous = with_label_errors(scenes, ALL)
    assert planted_in(erroneous) is erroneous
    assert planted_in(hold_out(erroneous, Fold(1, 2))[0]) is erroneous
    assert planted_in(hold_out(scenes, Fold(1, 2))[0]) is None
    np.testing.assert_array_equal(erroneous.pixels(2), scenes.pixels(2))
