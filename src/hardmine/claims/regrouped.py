"""Predictions with the boxes of each object taken away or reordered; those on background stay as they are."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from hardmine.core.boxes import pairwise_iou

__all__ = ["boxes_of_objects", "only_surest", "surest_is_most_accurate", "without_surest"]

Results = list[dict[str, Any]]
ENOUGH_IOU = 0.5


def only_surest(ground_truth: Mapping[str, Any], predictions: Sequence[dict[str, Any]]) -> Results:
    """Leaves of each object the prediction with the highest score."""
    others = {place for group in boxes_of_objects(ground_truth, predictions) for place, _ in group[1:]}
    return [of for place, of in enumerate(predictions) if place not in others]


def without_surest(ground_truth: Mapping[str, Any], predictions: Sequence[dict[str, Any]]) -> Results:
    """Leaves all but that one."""
    surest = {group[0][0] for group in boxes_of_objects(ground_truth, predictions)}
    return [of for place, of in enumerate(predictions) if place not in surest]


def surest_is_most_accurate(ground_truth: Mapping[str, Any], predictions: Sequence[dict[str, Any]]) -> Results:
    """The highest score of each object goes to its prediction with the largest IoU, and that one's in exchange."""
    changed = [dict(of) for of in predictions]
    for group in boxes_of_objects(ground_truth, predictions):
        surest, (best, _) = group[0][0], max(group, key=lambda of: of[1])
        changed[surest]["score"], changed[best]["score"] = predictions[best]["score"], predictions[surest]["score"]
    return changed


def boxes_of_objects(
    ground_truth: Mapping[str, Any], predictions: Sequence[dict[str, Any]]
) -> Iterator[list[tuple[int, float]]]:
    """Of each object that has any, its predictions, the surest first: (place among the predictions, IoU).

    They are of its class, with an IoU of .5 or more, and overlap no other object of the class more.
    """
    objects, found = defaultdict(list), defaultdict(list)
    for of in ground_truth["annotations"]:
        if not of.get("iscrowd"):
            objects[of["image_id"], of["category_id"]].append(of["bbox"])
    for place, of in enumerate(predictions):
        found[of["image_id"], of["category_id"]].append(place)
    for key in objects.keys() & found.keys():
        yield from _grouped(objects[key], found[key], predictions)


def _grouped(
    objects: list[list[float]], places: list[int], predictions: Sequence[dict[str, Any]]
) -> list[list[tuple[int, float]]]:
    boxes = [predictions[place]["bbox"] for place in places]
    iou, nearest = pairwise_iou(_corners(objects), _corners(boxes)).max(dim=0)
    groups: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for place, overlap, owner in zip(places, iou.tolist(), nearest.tolist(), strict=True):
        if overlap >= ENOUGH_IOU:
            groups[owner].append((place, overlap))
    return [sorted(group, key=lambda of: -predictions[of[0]]["score"]) for group in groups.values()]


def _corners(boxes: list[list[float]]) -> torch.Tensor:
    """xywh -> xyxy."""
    box = torch.tensor(boxes, dtype=torch.float64)
    return torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], dim=1)
