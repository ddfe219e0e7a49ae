"""ISR-P against mmdetection's.

Two differences:
- From the third image on, its numbering of objects repeats (the offset of an image is the largest index of the one
  before it, not the sum), so objects of different images become one local group, and all but one of their best boxes
  rank too low. Given its groups, ours gives its weights; given the objects, where the groups are the objects.
- Equal IoUs within a class are ordered by the sort there, as they come here: the same weights on other samples.
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
    positive = case.given["labels"] < case.given["cls_score"].shape[-1] - 1
    labels, theirs = case.given["labels"][positive], case.expected["label_weights"][positive]
    ours, loss = weigh(case, case.given["pos_gt"], images)
    torch.testing.assert_close((ours * loss).sum(), loss.sum())
    if loss.sum() == 0:  # no positives, or none that loses anything, which is 0 / 0 there
        assert theirs.isnan().all()
        return
    of_their_groups, _ = weigh(case, case.expected["group_gts"] * 100 + labels, 1)  # it groups within the class
    assert_same_weights(case, of_their_groups, theirs, labels)
    objects = case.given["pos_img"] * 100 + case.given["pos_gt"]
    if torch.equal(pairs_of(objects, labels), pairs_of(case.expected["group_gts"], labels)):
        assert_same_weights(case, ours, theirs, labels)


def pairs_of(group: Tensor, labels: Tensor) -> Tensor:
    """Which positives share a group and a class, (P, P)."""
    return (group[:, None] == group) & (labels[:, None] == labels)


def assert_same_weights(case, ours: Tensor, theirs: Tensor, labels: Tensor) -> None:
    """Among positives of one class and IoU only the weights are the same, not who has which; then the sum that is kept
    is another, too."""
    kind = torch.stack([labels.double(), case.expected["ious"]], dim=1)
    if len(kind.unique(dim=0)) < len(kind):
        number = kind.unique(dim=0, return_inverse=True)[1]
        ours, theirs = (sorted_within(number, weights / weights.max()) for weights in (ours, theirs))
    torch.testing.assert_close(ours, theirs)


def sorted_within(number: Tensor, weights: Tensor) -> Tensor:
    """The weights by number, and within each by size."""
    weights, order = weights.sort()
    return weights[number[order].sort(stable=True).indices]
