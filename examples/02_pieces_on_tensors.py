"""Only the pieces, on tensors: which of 6 anchors does OHEM keep, and what do they cost?"""

import torch

import hardmine as hm

anchors = torch.tensor(
    [[[0, 0, 10, 10], [1, 0, 11, 10], [2, 1, 12, 11], [40, 40, 60, 60], [80, 0, 99, 20], [5, 70, 9, 90]]]
)
anchors = anchors.float()
ground_truth = hm.GroundTruth.from_lists([torch.tensor([[0.0, 0, 11, 11]])], [torch.tensor([2])])

assignment = hm.MaxIoU(positive_iou=0.7, negative_iou=0.3)(anchors, ground_truth)  # t: which object is each anchor's?
labels = ground_truth.labels_of(assignment)
print("labels ", labels.tolist(), "(-1 background, -2 ignored)")

logits = torch.tensor([[[0, 0, 2.0], [0, 0, 1], [0, 0, 0], [0, 3, 0], [-4, -4, -4], [0, 1, 0]]], requires_grad=True)
loss = hm.CrossEntropy("sigmoid")(logits, labels).sum(-1)  # ℓ: how wrong is each?

samples = hm.Samples(assignment, classification_loss=loss.detach())
weights = hm.OHEM(budget=3, nms_iou=None, rank_by="classification")(samples)  # w: which count?
print("loss   ", [round(value, 2) for value in loss[0].tolist()])
print("weights", weights[0].tolist())

z = hm.normalize.PerSampled()(assignment, weights)  # Z: over how many?
print("L      ", round(((weights * loss).sum() / z).item(), 3))
