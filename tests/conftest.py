"""Every test starts from the same seed, on one thread, so that two test processes share two cores without fighting.

And small torchvision detectors with outputs that are not all alike, and a batch with an empty image.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from hardmine.detectors import build
from hardmine.detectors.torchvision.backbones import Pyramid

NUM_CLASSES = 3
SIZE = 96
NUM_PROPOSALS = 80
NUM_KEYPOINTS = 5


def mask_rcnn() -> MaskRCNN:
    return MaskRCNN(**two_stage_parts(), mask_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2))


def keypoint_rcnn() -> KeypointRCNN:
    pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    return KeypointRCNN(**two_stage_parts(), num_keypoints=NUM_KEYPOINTS, keypoint_roi_pool=pool)


def two_stage_parts() -> dict[str, Any]:
    return {
        "backbone": Pyramid("tiny", (4, 8, 16, 32), 32, imagenet=False, load=False),
        "num_classes": NUM_CLASSES + 1,
        "rpn_anchor_generator": AnchorGenerator(((16,), (32,), (64,), (128,)), ((0.5, 1.0, 2.0),) * 4),
        "box_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        "min_size": SIZE,
        "max_size": 2 * SIZE,
    }


BRANCHED = {"maskrcnn": mask_rcnn, "keypointrcnn": keypoint_rcnn}


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    def make(detector: str, backbone: str = "tiny", noise: float = 0.05) -> nn.Module:
        model = (
            BRANCHED[detector]()
            if detector in BRANCHED
            else build(detector, NUM_CLASSES, backbone=backbone, image_size=SIZE)
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * noise)
        if detector.endswith("rcnn"):
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


@pytest.fixture
def make_full_batch(make_batch) -> Callable[..., tuple[list[Tensor], list[dict[str, Tensor]]]]:
    """As `make_batch`, for models whose class 0 is the background, with masks and keypoints."""

    def make(num_objects: tuple[int, ...] = (3, 0, 6)) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        images, targets = make_batch(1, num_objects)
        for image, target in zip(images, targets, strict=True):
            target["masks"] = torch.randint(2, (len(target["labels"]), *image.shape[1:]), dtype=torch.uint8)
            lower, upper = target["boxes"][:, None, :2], target["boxes"][:, None, 2:]
            points = lower + torch.rand(len(lower), NUM_KEYPOINTS, 2) * (upper - lower)
            target["keypoints"] = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
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


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def shared() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("HARDMINE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not there ({folder}); set HARDMINE_SHARED to run this")
    return folder
