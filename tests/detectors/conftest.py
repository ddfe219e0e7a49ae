"""Small torchvision detectors with outputs that are not all alike, and a batch with an empty image."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hardmine.detectors import build

NUM_CLASSES = 3
SIZE = 96
NUM_PROPOSALS = 80


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    def make(detector: str, backbone: str = "tiny", noise: float = 0.05) -> nn.Module:
        model = build(detector, NUM_CLASSES, backbone=backbone, image_size=SIZE)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * noise)
        if detector == "fasterrcnn":
            model.rpn._post_nms_top_n = {"training": NUM_PROPOSALS, "testing": NUM_PROPOSALS}
        return model.train()

    return make


@pytest.fixture
def make_batch() -> Callable[..., tuple[list[Tensor], list[dict[str, Tensor]]]]:
    """Images of several sizes; labels start at ``first``, which is 1 where the framework calls background 0."""

    def make(first: int, num_objects: tuple[int, ...] = (3, 0, 6)) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        images = [torch.rand(3, SIZE + 8 * i, SIZE - 4 * i) for i in range(len(num_objects))]
        targets = [_objects(num, first, image) for num, image in zip(num_objects, images, strict=True)]
        return images, targets

    return make


def _objects(num: int, first: int, image: Tensor) -> dict[str, Tensor]:
    corner = torch.rand(num, 2) * 50
    boxes = torch.cat([corner, corner + 8 + torch.rand(num, 2) * 30], dim=-1)
    return {"boxes": boxes, "labels": torch.randint(first, first + NUM_CLASSES, (num,))}


@pytest.fixture
def loss_and_gradients() -> Callable[..., tuple[dict[str, Tensor], dict[str, Tensor | None]]]:
    """The loss dictionary of a module, and the gradient of its sum for every parameter of the model, by name."""

    def run(module: nn.Module, model: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]):
        model.zero_grad()
        losses = module(list(images), [dict(target) for target in targets])
        sum(losses.values()).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        return {name: loss.detach() for name, loss in losses.items()}, gradients

    return run
