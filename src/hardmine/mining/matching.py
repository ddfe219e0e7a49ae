"""Which prediction found which object, for all images at once.

The rules are COCO's, as in `evaluation.matching`: within an image and class, in order of score, a prediction takes the
free object with the highest IoU at or over the threshold (of equals the later one). Here at one threshold, without a
limit to the predictions of an image, and with what stands near each prediction, whether it took it or not.

Nothing is looped over one by one: see `pairs`; and predictions of equal rank in their image and class choose together.
"""

from dataclasses import dataclass

import numpy as np

from hardmine.errors import ConfigError
from hardmine.mining.pairs import (
    ANY_CATEGORY,
    Detections,
    Mask,
    Numbers,
    Objects,
    Pairs,
    Places,
    pairs_in_parts,
    spread,
)
from hardmine.tables.groups import place_in_run

__all__ = ["Matching", "match"]


@dataclass(frozen=True, slots=True)
class Matching:
    """What stands near each prediction. Objects are numbered as they were given; -1 where there is none.

    taken: (P,) the object that each prediction takes, taken_iou: (P,) how much they overlap, 0 where it takes none.
    taken_by: (G,) the prediction that takes each object.
    own, own_iou: (P,) the object of its class that it overlaps most, taken or not, and how much.
    other, other_iou: (P,) the same of all other classes.
    on_crowd: (P,) whether it takes nothing and at least the threshold's share of it lies in a crowd of its class.
    """

    taken: Places
    taken_iou: Numbers
    taken_by: Places
    own: Places
    own_iou: Numbers
    other: Places
    other_iou: Numbers
    on_crowd: Mask


def match(objects: Objects, detections: Detections, iou: float = 0.5) -> Matching:
    """Matches predictions to objects at an IoU threshold.

    Raises: ConfigError: the threshold is not in (0, 1].
    """
    if not 0 < iou <= 1:
        raise ConfigError(f"the IoU threshold must be in (0, 1], got {iou}")
    taken_by = np.full(len(objects.image), -1)
    parts, found = [], []
    for part, pairs in pairs_in_parts(objects, detections):
        parts.append(part)
        found.append(_match_part(objects, detections.only(part), pairs, iou, part, taken_by))
    back = np.argsort(np.concatenate(parts))
    columns = (np.concatenate(column)[back] for column in zip(*found, strict=True))
    taken, taken_iou, own, own_iou, other, other_iou, on_crowd = columns
    return Matching(taken, taken_iou, taken_by, own, own_iou, other, other_iou, on_crowd)


def _match_part(
    objects: Objects, detections: Detections, pairs: Pairs, iou: float, part: Places, taken_by: Places
) -> tuple[np.ndarray, ...]:
    """The columns of `Matching` for some predictions; `taken_by` is filled in for their images."""
    same = detections.category[pairs.detection] == objects.category[pairs.object]
    crowd = objects.is_crowd[pairs.object]
    num = len(detections.scores)
    own, own_iou = pairs.where(same & ~crowd).best(num)
    other, other_iou = pairs.where(~same & ~crowd).best(num)
    of_anything = objects.category[pairs.object] == ANY_CATEGORY
    _, in_crowd = pairs.where((same | of_anything) & crowd).best(num)
    candidates = pairs.where(same & ~crowd & (pairs.overlap >= iou))
    taken, taken_iou = _take_turns(candidates, detections, num, part, taken_by)
    on_crowd = (taken < 0) & (in_crowd >= iou)
    return taken, taken_iou, own, own_iou, other, other_iou, on_crowd


def _turn(detections: Detections) -> Places:
    """Place of each prediction among those of its image and class, by falling score; of equals, the first given."""
    order = np.lexsort((-detections.scores, detections.category, detections.image))
    groups = np.stack([detections.image[order], detections.category[order]])
    starts = np.append(True, (groups[:, 1:] != groups[:, :-1]).any(axis=0))[: len(order)]
    return spread(order, place_in_run(starts), len(order), 0)


def _take_turns(
    candidates: Pairs, detections: Detections, num: int, places: Places, taken_by: Places
) -> tuple[Places, Numbers]:
    """Those whose turn it is choose among the objects that are free; no two of them can want the same."""
    taken, taken_iou = np.full(num, -1), np.zeros(num)
    takers = np.unique(candidates.detection)  # who wants nothing needs no turn
    turn = spread(takers, _turn(detections.only(takers)), num, -1)
    candidates = candidates.ordered(turn[candidates.detection])
    turns = turn[candidates.detection]
    ends = np.flatnonzero(np.append(turns[1:] != turns[:-1], True)[: len(turns)]) + 1
    for start, end in zip([0, *ends[:-1]], ends, strict=False):
        choosing = candidates.where(np.arange(start, end))
        chosen = choosing.where(taken_by[choosing.object] < 0).last_of_each()
        taken[chosen.detection], taken_iou[chosen.detection] = chosen.object, chosen.overlap
        taken_by[chosen.object] = places[chosen.detection]
    return taken, taken_iou
