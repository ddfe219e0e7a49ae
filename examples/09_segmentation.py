"""Hard mining of pixels on a segmenter of torchvision: shapes are drawn, and a small model learns them twice."""

import torch
from torch import Tensor, nn
from torchvision.models.segmentation import LRASPP

import hardmine as hm

torch.set_num_threads(1)  # the model is tiny

CLASSES, SIDE, STEPS = 3, 32, 40  # background, a square, a dot


class Backbone(nn.Module):
    """Two maps of features, as LR-ASPP wants them; yours is `lraspp_mobilenet_v3_large()`."""

    def __init__(self):
        super().__init__()
        self.low = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.high = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        low = self.low(images)
        return {"low": low, "high": self.high(low)}


def draw(number: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) and masks (B, H, W) of classes; 255 around each shape, where nobody can tell."""
    images, masks = torch.rand(number, 3, SIDE, SIDE), torch.zeros(number, SIDE, SIDE, dtype=torch.long)
    for image, mask in zip(images, masks, strict=True):
        for label, side in ((1, 12), (2, 6)):
            y, x = (int(place) for place in torch.randint(1, SIDE - side - 1, (2,)))
            mask[y - 1 : y + side + 1, x - 1 : x + side + 1] = 255
            mask[y : y + side, x : x + side] = label
            image[label, y : y + side, x : x + side] += 0.4
    return images, masks


def iou(found: Tensor, masks: Tensor, label: int) -> float:
    """Intersection over union of one class, over all images, without what is ignored."""
    counts = masks != 255
    both = ((found == label) & (masks == label) & counts).sum()
    return float(both / (((found == label) | (masks == label)) & counts).sum().clamp_min(1))


for recipe in (hm.recipes.random(), hm.recipes.pixel_ohem(threshold=0.7)):
    torch.manual_seed(0)
    images, masks = draw(6)
    segmenter = hm.wrap(LRASPP(Backbone(), 16, 16, CLASSES, 16), recipe).train()
    optimizer = torch.optim.AdamW(segmenter.parameters(), 1e-2)
    for _ in range(STEPS):
        losses = segmenter(images, masks)  # {"classification": ...}, and "auxiliary" of a model with such a head
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = segmenter.eval()(images)["out"].argmax(1)  # the model itself
    print(f"{recipe.name:10s} loss {loss.item():.3f}, IoU", [round(iou(found, masks, label), 2) for label in range(3)])
