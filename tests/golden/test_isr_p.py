"""ISR-P against mmdetection's.

Two differences:
- From the third image on, its numbering of objects repeats (the offset of an image is the largest index of the one
  before it, not the sum), so objects of different images become one local group, and all but one of their best boxes
  rank too low (``many_images``). Given its groups, ours gives its weights; given the objects, ours differ.
- Equal IoUs (``identical_pred``) are ordered by the sort there, as they come here: the same weights on other samples.
"""

import torch
from torch import Tensor

from hardmine import BACKGROUND, ISR, Assignment, CrossEntropy, Samples

GOLDEN = ("isr_p",)


def weigh(case, group: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Weights of the positives, and their losses, with one of these groups for each."""
    logits, labels = case.given["cls_score"].double(), case.given["labels"]
    positive = labels < logits.shape[-1] - 1
    labels = torch.where(positive, labels, BACKGROUND)
    loss = CrossEntropy("softmax")(logits[None], labels[None])[0]
    matched, iou = labels.clone(), torch.zeros_like(loss)
    if positive.any():
        matched[positive], iou[positive] = group, case.expected["ious"]
    rows = [tensor.view(images, -1) for tensor in (matched, labels, iou, loss)]
    samples = Samples(Assignment(rows[0], rows[2]), labels=rows[1], predicted_iou=rows[2], classification_loss=rows[3])
    weights = ISR(case.params["k"], case.params["bias"])(samples).flatten()
    assert (weights[~positive] == 1).all()
    return weights[positive], loss[positive]


def test_weights_agree_where_objects_are_told_apart(case):
    images = int(case.given["rois"][:, 0].max()) + 1
    ours, loss = weigh(case, case.given["pos_gt"], images)
    theirs = case.expected["label_weights"][case.given["labels"] < case.given["cls_score"].shape[-1] - 1]
    torch.testing.assert_close((ours * loss).sum(), loss.sum())
    if case.kind == "many_images":
        assert not torch.allclose(ours, theirs, rtol=0.01)
        labels = case.given["labels"][case.given["labels"] < case.given["cls_score"].shape[-1] - 1]
        ours, _ = weigh(case, case.expected["group_gts"] * 100 + labels, 1)  # it groups within the class
    if case.kind == "identical_pred":
        ours, theirs = (weights.sort().values / weights.max() for weights in (ours, theirs))
    torch.testing.assert_close(ours, theirs)
