"""The claim that anchors and points differ in what is assigned to them, not in how boxes are regressed: two by two."""

import numpy as np

from hardmine.claims.claim import Claim, Contrast, Measurement, cell
from hardmine.claims.gains import average_precisions, gain
from hardmine.claims.runs import Runs

__all__ = ["CLAIMS"]

ANCHORS, POINTS = "retinanet", "fcos"
OWN = {ANCHORS: cell(ANCHORS, "random"), POINTS: cell(POINTS, "random")}
"""RetinaNet's own assignment is by largest IoU, FCOS's by place and size."""
BY_STATISTICS = {detector: cell(detector, "atss") for detector in OWN}
BY_IOU = {ANCHORS: OWN[ANCHORS], POINTS: cell(POINTS, "max_iou")}
BY_PLACE = {ANCHORS: cell(ANCHORS, "fcos"), POINTS: OWN[POINTS]}
SHARED = {"both by IoU": BY_IOU, "both by FCOS's rule": BY_PLACE, "both ATSS": BY_STATISTICS}
CELLS = tuple(dict.fromkeys([*OWN.values(), *BY_IOU.values(), *BY_PLACE.values(), *BY_STATISTICS.values()]))


def measure(runs: Runs) -> Measurement:
    """The gap between the two is smaller under the same assignment, whichever it is."""
    own, *alike = (np.abs(gain(runs, (of[POINTS], of[ANCHORS])).values) for of in (OWN, *SHARED.values()))
    contrasts = [
        Contrast(f"gap in AP between FCOS and RetinaNet: each its own assignment - {name}", own - gap)
        for name, gap in zip(SHARED, alike, strict=True)
    ]
    return Measurement(contrasts, average_precisions(runs, CELLS))


CLAIMS = (
    Claim(
        slug="assignment-is-the-difference",
        ids=("002-10",),
        words="What sets anchor-based and anchor-free detectors apart is how positives are defined: alike there, they "
        "are alike in AP.",
        source="Zhang et al., Bridging the Gap Between Anchor-based and Anchor-free Detection (ATSS), CVPR 2020",
        published="COCO, R50, anchors and points: by IoU 37.0, 36.9; by FCOS's rule 37.8, 37.8; ATSS 39.3, 39.2",
        measure=measure,
        cells=CELLS,
        notes="Where IoU decides, points are compared to objects as squares of 8 strides. Both detectors have "
        "torchvision's own losses, which are not alike.",
    ),
)
