"""The RPN under a recipe: its losses, and the proposals that it hands on. Parity: ../test_parity.py."""

import torch

from hardmine import recipes, wrap
from hardmine.core.samples import GroundTruth
from hardmine.detectors.torchvision.rpn import propose, rpn_head


def test_the_head_is_what_the_models_own_parts_say(make_model):
    rpn = make_model("fasterrcnn").rpn
    head = rpn_head("mine", rpn, recipes.random())
    assert (head.traits.detector, head.traits.name, head.traits.num_classes) == ("mine", "rpn", 1)
    assert (head.select.budget, head.select.positive_fraction) == (256, 0.5)
    assert (head.assigner.positive_iou, head.assigner.negative_iou, head.assigner.force_match) == (0.7, 0.3, "keep")


def test_proposals_are_those_of_torchvision_without_gradient(make_model, make_batch):
    model, (images, targets) = make_model("fasterrcnn"), make_batch(1)
    batch, resized = model.transform(images, targets)
    features = model.backbone(batch.tensors)
    objects = GroundTruth.from_lists([t["boxes"] for t in resized], [t["labels"] - 1 for t in resized])
    proposals, losses = propose(model.rpn, wrap(model, recipes.random()).rpn_head, batch, features, objects)
    theirs, _ = model.rpn(batch, features, resized)
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg"}
    for ours, own in zip(proposals, theirs, strict=True):
        torch.testing.assert_close(ours, own)
        assert not ours.requires_grad
