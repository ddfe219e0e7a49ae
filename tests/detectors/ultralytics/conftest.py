"""ultralytics kept off the network and off the user's settings; small models, batches as its loaders make them."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardmine.detectors import build

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="ultralytics-"))  # read when it is imported
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

NUM_CLASSES = 3
SIZE = 128


@pytest.fixture
def make_yolo() -> Callable[..., Any]:
    """A model with weights that are not all alike, in training mode."""

    def make(name: str = "yolo11n", size: int = SIZE) -> nn.Module:
        return build(f"ultralytics:{name}", NUM_CLASSES, image_size=size).train()

    return make


@pytest.fixture
def make_yolo_batch() -> Callable[..., dict[str, Tensor]]:
    """A batch with so many objects an image, all of ``px`` pixels if given."""

    def make(num_objects: tuple[int, ...] = (3, 2), px: float | None = None, size: int = SIZE) -> dict[str, Tensor]:
        num = sum(num_objects)
        sides = torch.rand(num, 2) * 0.3 + 0.1 if px is None else torch.full((num, 2), px / size)
        return {
            "img": torch.rand(len(num_objects), 3, size, size),
            "cls": torch.randint(NUM_CLASSES, (num, 1)).float(),
            "bboxes": torch.cat([torch.rand(num, 2) * 0.6 + 0.2, sides], dim=1),
            "batch_idx": torch.arange(len(num_objects)).repeat_interleave(torch.tensor(num_objects)).float(),
        }

    return make


@pytest.fixture
def run_criterion() -> Callable[..., tuple[Tensor, dict[str, Tensor], dict[str, Tensor | None]]]:
    """Losses, items and gradients of a criterion on a batch; batch statistics of the model stay as they are."""

    def run(model: Any, criterion: Any, batch: dict[str, Tensor], half: bool = False):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses, items = criterion(model(batch["img"]), batch)
        losses.sum().backward()
        model.load_state_dict(before)
        items = items if isinstance(items, dict) else dict(enumerate(items))  # older versions do not name them
        return losses.detach(), items, {name: parameter.grad for name, parameter in model.named_parameters()}

    return run
