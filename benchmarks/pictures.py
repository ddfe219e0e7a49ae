"""Images of noise with random objects: what a step costs does not depend on what is seen."""

import torch
from torch import Tensor

__all__ = ["noise_images", "random_boxes"]

SIDES = (0.05, 0.4)
"""Least and largest side of a random box, as a share of the image's."""


def random_boxes(num: int, height: int, width: int, sides: tuple[float, float] = SIDES) -> Tensor:
    """(num, 4) xyxy in pixels, inside the image, with sides of so large shares of the image's."""
    least, largest = sides
    size = least + (largest - least) * torch.rand(num, 2)
    corner = torch.rand(num, 2) * (1 - size)
    return torch.cat([corner, corner + size], dim=1) * torch.tensor([width, height, width, height])


def noise_images(
    num: int, height: int, width: int, *, objects: int, classes: int, label_offset: int
) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """So many images, each with so many objects, in the form that torchvision's detectors take."""
    images = [torch.rand(3, height, width) for _ in range(num)]
    targets = [
        {
            "boxes": random_boxes(objects, height, width),
            "labels": torch.randint(classes, (objects,)) + label_offset,
        }
        for _ in range(num)
    ]
    return images, targets
