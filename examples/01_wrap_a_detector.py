"""OHEM on a torchvision detector, in a training loop of your own."""

import torch
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

import hardmine as hm

torch.manual_seed(0)
model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=3)
detector = hm.wrap(model, hm.recipes.ohem(budget=32))  # the model itself is not changed
optimizer = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)

images = [torch.rand(3, 240, 320) for _ in range(2)]
targets = [
    {"boxes": torch.tensor([[20.0, 30, 120, 160]]), "labels": torch.tensor([1])},
    {"boxes": torch.tensor([[60.0, 40, 200, 200], [10, 10, 60, 60]]), "labels": torch.tensor([2, 1])},
]

detector.train()
for step in range(3):
    losses = detector(images, targets)  # under torchvision's own names
    total = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    print(step, {name: round(loss.item(), 3) for name, loss in losses.items()})

detections = detector.eval()(images)  # inference is the model's own
print(sorted(detections[0]))
