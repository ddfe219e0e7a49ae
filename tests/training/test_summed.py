"""The sum of the losses is what is trained, of boxes in the framework's labels."""

import torch
from torch import nn

from hardmine.training.summed import SummedLoss, SummedMaskLoss


class Model(nn.Module):
    """Says what it was given, as losses."""

    label_offset = 1
    classification_losses = ("classification",)

    def forward(self, images, targets):
        labels = targets if isinstance(targets, torch.Tensor) else torch.cat([target["labels"] for target in targets])
        return {"classification": labels.float().sum(), "auxiliary": torch.tensor(2.0)}


def test_labels_of_boxes_are_the_frameworks_and_those_of_masks_ours():
    boxes = SummedLoss(Model())([], [{"labels": torch.tensor([0, 1])}])
    masks = SummedMaskLoss(Model())(torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 1]]]))
    assert {name: loss.item() for name, loss in boxes.items()} == {"loss": 5, "classification": 3, "auxiliary": 2}
    assert {name: loss.item() for name, loss in masks.items()} == {"loss": 3, "classification": 1, "auxiliary": 2}


def test_the_weight_is_of_the_classification_alone():
    losses = SummedMaskLoss(Model(), 3.0)(torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 1]]]))
    assert {name: loss.item() for name, loss in losses.items()} == {"loss": 5, "classification": 3, "auxiliary": 2}
