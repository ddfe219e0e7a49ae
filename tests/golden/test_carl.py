"""CARL against mmdetection's, with smooth L1 (β = 1) over all samples: no difference.

The gradient into the class scores agrees too, the normaliser's share of it included.
"""

import torch

from hardmine import BACKGROUND, CARL, Assignment, Samples, SmoothL1

GOLDEN = ("carl",)


def test_loss_and_both_gradients_agree(case):
    logits = case.given["cls_score"].double().requires_grad_()
    codes = case.given["bbox_pred"].double().requires_grad_()
    labels, classes = case.given["labels"], logits.shape[-1] - 1
    positive = labels < classes
    matched = torch.where(positive, labels, BACKGROUND)[None]
    activation = "sigmoid" if case.params["sigmoid"] else "softmax"
    carl = CARL(case.params["k"], case.params["bias"], activation=activation)
    weights = carl(Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits[None]))[0]
    assert (weights[~positive] == 0).all()
    own = codes.view(-1, classes, 4)[torch.arange(len(labels)), labels.clamp_max(classes - 1)]
    loss = SmoothL1()(own, case.given["bbox_targets"].double()).sum(-1)
    total = (weights * loss).sum() / len(labels)
    torch.testing.assert_close(total.detach()[None], case.expected["loss"])
    for_scores, for_boxes = torch.autograd.grad(total, (logits, codes))
    torch.testing.assert_close(for_scores, case.expected["grad_cls_score"])
    torch.testing.assert_close(for_boxes, case.expected["grad_bbox_pred"])
