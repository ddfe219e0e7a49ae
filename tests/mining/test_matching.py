"""Matching of all images at once, against a loop over them and against the evidence under AP."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from hardmine.errors import ConfigError, ShapeError
from hardmine.evaluation import match_predictions
from hardmine.mining import matching as matching_module, pairs as pairs_module
from hardmine.mining.matching import Matching, match
from hardmine.mining.pairs import Detections, Objects


def scene(seed: int, images: int = 6, most: int = 9, classes: int = 3) -> tuple[Objects, Detections]:
    """Objects on a coarse grid, so that overlaps and scores tie, and predictions near them and elsewhere."""
    random = np.random.default_rng(seed)

    def some(num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        corner = random.integers(0, 6, (num, 2)) * 4.0
        boxes = np.concatenate([corner, corner + random.integers(1, 4, (num, 2)) * 4.0], axis=1)
        return random.integers(0, images, num), random.integers(0, classes, num), boxes

    num_objects, num_detections = random.integers(0, images * most, 2)
    objects = Objects(*some(num_objects), is_crowd=random.random(num_objects) < 0.2)
    return objects, Detections(*some(num_detections), scores=random.integers(0, 5, num_detections) / 4)


def iou_of(box: np.ndarray, other: np.ndarray, is_crowd: bool) -> float:
    width, height = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = max(width, 0) * max(height, 0)
    own, others = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return shared / (own if is_crowd else own + others - shared)


def by_loop(objects: Objects, detections: Detections, threshold: float) -> tuple[list[int], list[bool]]:
    """Who takes whom, and who lies in a crowd."""
    taken, on_crowd = [-1] * len(detections.scores), [False] * len(detections.scores)
    for p in sorted(range(len(taken)), key=lambda p: -detections.scores[p]):
        near = [
            (iou_of(detections.boxes[p], objects.boxes[g], objects.is_crowd[g]), g)
            for g in range(len(objects.image))
            if objects.image[g] == detections.image[p] and objects.category[g] == detections.category[p]
        ]
        free = [(iou, g) for iou, g in near if iou >= threshold and not objects.is_crowd[g] and g not in taken]
        if free:
            taken[p] = max(free)[1]
        else:
            on_crowd[p] = any(iou >= threshold and objects.is_crowd[g] for iou, g in near)
    return taken, on_crowd


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.75, 1.0]))
@settings(max_examples=60, deadline=None)
def test_it_is_what_a_loop_over_the_predictions_finds(seed, threshold):
    objects, detections = scene(seed)
    matching = match(objects, detections, threshold)
    taken, on_crowd = by_loop(objects, detections, threshold)
    assert matching.taken.tolist() == taken
    assert matching.on_crowd.tolist() == on_crowd
    for p, g in enumerate(taken):
        if g >= 0:
            assert matching.taken_by[g] == p
            assert matching.taken_iou[p] == pytest.approx(iou_of(detections.boxes[p], objects.boxes[g], False))
    assert (matching.taken_by >= 0).sum() == (matching.taken >= 0).sum()


@pytest.mark.parametrize("pairs_at_a_time", [1, 5])
@pytest.mark.parametrize("seed", range(5))
def test_parts_change_nothing(seed, pairs_at_a_time, monkeypatch):
    objects, detections = scene(seed, images=4, most=60)
    whole = match(objects, detections)
    calls, original = [], matching_module._match_part
    monkeypatch.setattr(pairs_module, "PAIRS_AT_A_TIME", pairs_at_a_time)
    monkeypatch.setattr(matching_module, "_match_part", lambda *given: calls.append(given) or original(*given))
    parts = match(objects, detections)
    assert len(calls) > 1
    for name in Matching.__slots__:
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_as_many_true_predictions_as_coco_does(seed):
    objects, detections = scene(seed, images=10, most=40)
    coco = match_predictions(*as_coco(objects, detections, images=10))
    expected = sum(int(of_class.is_true[0].sum()) for of_class in coco.classes)
    ignored = sum(int(of_class.is_ignored[0].sum()) for of_class in coco.classes)
    matching = match(objects, detections, 0.5)
    assert (matching.taken >= 0).sum() == expected > 0
    assert matching.on_crowd.sum() == ignored


def as_coco(objects: Objects, detections: Detections, images: int) -> tuple[dict, list[dict]]:
    def record(of: Objects | Detections, i: int) -> dict:
        x1, y1, x2, y2 = of.boxes[i].tolist()
        box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        return {"image_id": int(of.image[i]), "category_id": int(of.category[i]), **box}

    annotations = [
        record(objects, i) | {"id": i + 1, "iscrowd": int(objects.is_crowd[i])} for i in range(len(objects.image))
    ]
    found = [record(detections, i) | {"score": float(detections.scores[i])} for i in range(len(detections.scores))]
    return {
        "images": [{"id": i, "width": 64, "height": 64, "file_name": f"{i}.png"} for i in range(images)],
        "categories": [{"id": i, "name": str(i)} for i in range(3)],
        "annotations": annotations,
    }, found


def test_what_stands_near_is_told_whether_it_is_taken_or_not():
    objects = Objects(
        np.array([7, 7, 8]), np.array([0, 1, 0]),
        np.array([[0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 10, 10.0]]), np.array([False] * 3),
    )  # fmt: skip
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60.0]])
    detections = Detections(np.array([7, 7, 9]), np.zeros(3, dtype=int), boxes, np.array([0.9, 0.8, 0.7]))
    matching = match(objects, detections)
    assert matching.taken.tolist() == [0, -1, -1]
    assert matching.own.tolist() == [0, 0, -1]
    np.testing.assert_allclose(matching.own_iou, [1, 10 / 12, 0])
    assert matching.other.tolist() == [1, 1, -1]
    np.testing.assert_allclose(matching.other_iou, [0.5, 0.6, 0])


def test_nothing_to_match_is_no_error():
    none = np.zeros(0, dtype=np.int64)
    objects = Objects(none, none, np.zeros((0, 4)), np.zeros(0, dtype=bool))
    detections = Detections(none, none, np.zeros((0, 4)), np.zeros(0))
    assert isinstance(match(objects, detections), Matching)
    _, some = scene(3)
    assert (match(objects, some).taken == -1).all()
    crowded, _ = scene(4)
    assert (match(crowded, detections).taken_by == -1).all()


def test_what_does_not_belong_together_is_named():
    with pytest.raises(ShapeError, match=r"objects: got images \(2,\).*boxes \(1, 4\)"):
        Objects(np.zeros(2, dtype=int), np.zeros(2, dtype=int), np.zeros((1, 4)), np.zeros(2, dtype=bool))
    with pytest.raises(ConfigError, match=r"must be in \(0, 1\], got 0"):
        match(*scene(0), iou=0)
