"""OHEM of the paper against its authors' code.

Two differences, both stated where they matter: the authors measure boxes with "+1 pixel", so their boxes are given to
ours one pixel larger; and they take the hardest of the whole mini-batch, which here is ``over="batch"``.
"""

import torch

from hardmine import IGNORE, OHEM, Assignment, Samples, SmoothL1
from hardmine.core.boxes import pairwise_iou

GOLDEN = ("ohem_paper_nms",)


def test_the_hardest_after_nms_are_kept(case):
    given = {name: tensor.double() for name, tensor in case.given.items()}
    labels = given["labels"].long() - 1  # background becomes -1, which is BACKGROUND
    classification = -given["prob"].gather(1, labels[:, None] + 1).squeeze(1).log()
    regression = box_loss(given)
    torch.testing.assert_close(classification + regression, case.expected["loss"])

    one_pixel = torch.tensor([0.0, 0, 1, 1], dtype=torch.float64)
    boxes = given["rois"][:, 1:] + one_pixel
    images = int(given["rois"][:, 0].max()) + 1
    size = case.params["batch_size"]
    rows = next(rows for rows in range(images, size + 1) if size % rows == 0)  # images of padding make B a divisor
    samples = Samples(
        Assignment(batch(labels, images, rows, fill=IGNORE), batch(classification, images, rows)),
        labels=batch(labels, images, rows, fill=IGNORE),
        boxes=batch(boxes, images, rows),
        classification_loss=batch(classification, images, rows),
        regression_loss=batch(regression, images, rows),
    )
    nms_iou = case.params["nms_thresh"] if case.params["use_nms"] else None
    kept = OHEM(size // rows, nms_iou=nms_iou, over="batch")(samples)
    ours, theirs = kept.flatten().nonzero().flatten(), case.expected["hard_inds"].sort().values
    losses = case.expected["loss"]
    if len(losses.unique()) == len(losses):
        assert torch.equal(ours, theirs)
    suppresses = overlaps(boxes, given["rois"][:, 0], labels, nms_iou)
    for chosen in (ours, theirs):  # which of equal losses comes first is nobody's business
        assert is_greedy(chosen, losses, suppresses, size)


def overlaps(boxes: torch.Tensor, image: torch.Tensor, labels: torch.Tensor, nms_iou: float | None) -> torch.Tensor:
    """Whether two samples are too much alike to be kept both, (N, N)."""
    if nms_iou is None:
        return torch.zeros(len(boxes), len(boxes), dtype=torch.bool)
    same = (image[:, None] == image) & (labels[:, None] == labels)
    return same & (pairwise_iou(boxes, boxes) > nms_iou) & ~torch.eye(len(boxes), dtype=torch.bool)


def is_greedy(chosen: torch.Tensor, losses: torch.Tensor, suppresses: torch.Tensor, size: int) -> bool:
    """Whether this is what taking the hardest again and again may lead to, in some order of equal losses."""
    kept = torch.zeros(len(losses), dtype=torch.bool).index_fill(0, chosen, value=True)
    is_suppressed = (suppresses & kept & (losses >= losses[:, None])).any(dim=1)
    left = losses[~kept & ~is_suppressed]
    full = len(chosen) == size and bool((left <= losses[chosen].min()).all())
    return not suppresses[kept][:, kept].any() and (full or len(left) == 0)


def box_loss(given: dict) -> torch.Tensor:
    """Smooth L1 as their layer has it: of inside-weighted differences, outside-weighted, over all classes' columns."""
    columns = [given[name].view(len(given["labels"]), -1, 4) for name in
               ("bbox_pred", "bbox_targets", "bbox_inside", "bbox_outside")]  # fmt: skip
    predicted, target, inside, outside = columns
    return (SmoothL1()(predicted * inside, target * inside) * outside).sum(dim=(1, 2))


def batch(rows: torch.Tensor, images: int, count: int, fill: int = 0) -> torch.Tensor:
    """Rows of equally many an image, as (count, N, ...), further images filled."""
    stacked = rows.view(images, -1, *rows.shape[1:])
    return torch.cat([stacked, stacked.new_full((count - images, *stacked.shape[1:]), fill)])
