"""A small RF-DETR, from scratch, and batches for it; everything here is skipped where rfdetr is not installed."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hardmine.core.samples import Samples
from hardmine.equation.recipe import Recipe, Slot
from hardmine.sampling import Sampling

NUM_CLASSES, RESOLUTION, NUM_QUERIES, NUM_GROUPS = 3, 64, 10, 3
SMALL = {
    "num_classes": NUM_CLASSES,
    "resolution": RESOLUTION,
    "num_queries": NUM_QUERIES,
    "num_select": NUM_QUERIES,
    "group_detr": NUM_GROUPS,
    "hidden_dim": 64,
    "sa_nheads": 2,
    "ca_nheads": 2,
    "out_feature_indexes": [1, 2],
    "pretrain_weights": None,
    "device": "cpu",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """rfdetr compiles its mask losses with torch.jit, and warns of a model from scratch."""
    for item in items:
        if "detectors/rfdetr" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated"))
            item.add_marker(pytest.mark.filterwarnings("ignore:.*was instantiated with pretrain_weights=None"))


class Ones(Sampling):
    """Everything counts once, though it is not `All`: what is left is how the framework's sums are put together."""

    def weigh(self, samples: Samples) -> Tensor:
        return torch.ones_like(samples.assignment.iou)


@pytest.fixture
def ones() -> Recipe:
    return Recipe("ones", lambda _: {name: Slot(Ones()) for name in ("select", "classify", "regress")})


@pytest.fixture
def small() -> dict[str, Any]:
    """What is set in the configuration of such a model."""
    return dict(SMALL)


NUM_ENCODER_LAYERS = 2


@pytest.fixture
def make_module(monkeypatch) -> Callable[..., Any]:
    """An RFDETRModelModule, whose encoder has 2 layers for DINOv2's 12; equal seeds give equal weights."""
    pytest.importorskip("rfdetr", reason="needs rfdetr")
    from rfdetr import config
    from rfdetr.models.backbone import dinov2
    from rfdetr.training import RFDETRModelModule

    of_size = dinov2.get_config
    shallow = {"num_hidden_layers": NUM_ENCODER_LAYERS}
    monkeypatch.setattr(dinov2, "get_config", lambda *size: of_size(*size) | shallow)

    def make(**other: Any) -> Any:
        torch.manual_seed(0)
        training = config.TrainConfig(dataset_dir=".", output_dir=".")
        return RFDETRModelModule(config.RFDETRNanoConfig(**(SMALL | other)), training)

    return make


@pytest.fixture(scope="session")
def criterion_of_boxes() -> Any:
    """The criterion of such a module, to be copied."""
    pytest.importorskip("rfdetr", reason="needs rfdetr")
    from rfdetr import config
    from rfdetr.models.lwdetr import build_criterion_from_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = config.RFDETRNanoConfig(**SMALL)
    return build_criterion_from_config(small, config.TrainConfig(dataset_dir=".", output_dir="."))[0]


@pytest.fixture
def make_outputs() -> Callable[..., dict[str, Any]]:
    """What a model says in training of a batch, all leaves with a gradient, and the same of equal seeds."""

    def make(num_images: int, dtype: torch.dtype = torch.float32, num_classes: int = NUM_CLASSES) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(1)

        def layer(of_boxes: torch.dtype = torch.float32) -> dict[str, Tensor]:
            shape = (num_images, NUM_QUERIES * NUM_GROUPS)
            logits = torch.randn(*shape, num_classes + 1, generator=generator) * 2
            boxes = torch.rand(*shape, 4, generator=generator) * 0.4 + 0.2
            return {
                "pred_logits": logits.to(dtype).requires_grad_(),
                "pred_boxes": boxes.to(of_boxes).requires_grad_(),
            }

        # as under autocast: only the encoder's boxes are rounded too
        return {**layer(), "aux_outputs": [layer()], "enc_outputs": layer(dtype)}

    return make


@pytest.fixture
def make_targets() -> Callable[..., list[dict[str, Tensor]]]:
    """Of each image that many objects; the first of a batch is of two pixels of 64."""

    def make(*num_objects: int) -> list[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(2)
        targets = []
        for number in num_objects:
            boxes = torch.rand(number, 4, generator=generator) * 0.3 + 0.15
            if number and not targets:
                boxes[0, 2:] = 2 / RESOLUTION
            targets.append({"labels": torch.randint(NUM_CLASSES, (number,), generator=generator), "boxes": boxes})
        return targets

    return make


@pytest.fixture
def make_batch() -> Callable[..., tuple[list[Tensor], list[dict[str, Tensor]]]]:
    """Images of several sizes, with boxes in pixels, as a detector is given them."""

    def make(*num_objects: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        generator = torch.Generator().manual_seed(3)
        images = [torch.rand(3, 70 + 8 * i, 90 - 4 * i, generator=generator) for i in range(len(num_objects))]
        targets = []
        for number in num_objects:
            corner = torch.rand(number, 2, generator=generator) * 30
            boxes = torch.cat([corner, corner + 6 + torch.rand(number, 2, generator=generator) * 30], dim=-1)
            labels = torch.randint(NUM_CLASSES, (number,), generator=generator)
            targets.append({"boxes": boxes, "labels": labels})
        return images, targets

    return make
