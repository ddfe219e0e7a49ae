"""OHEM of the paper against its authors' code.

Two differences, both stated where they matter: the authors measure boxes with "+1 pixel", so their boxes are given to
ours one pixel larger; and they take the hardest of the whole mini-batch, which here is ``over="batch"``.
"""

import torch

from hardmine import IGNORE, OHEM, Assignment, Samples, SmoothL1

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
    if case.kind in ("ties", "dup_boxes"):  # which of equal losses is taken is nobody's business
        losses = case.expected["loss"]
        torch.testing.assert_close(losses[ours].sort().values, losses[theirs].sort().values)
    else:
        assert torch.equal(ours, theirs)


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
