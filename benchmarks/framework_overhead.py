"""What does a recipe cost in a training step of other frameworks' detectors?

A step is forward + backward of the framework's own model on images of noise, on one thread. Steps with a recipe
attached and steps of the untouched model take turns in one process; the figure is the median over rounds of the ratio
within a round, with quartiles. Models are built from their configurations: YOLO11n and YOLO26n at 320 pixels, RT-DETRv2
with a ResNet-18 at 320, RF-DETR Nano at 384; 80 classes, 2 images of 5 objects. `random` leaves the losses as they are:
how far it is from 1 is the noise.

    python -m benchmarks.framework_overhead            measures, and writes results/framework_overhead.json
"""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import hardmine as hm
from benchmarks.machine import describe
from benchmarks.measure import alternate

RESULT = Path(__file__).parent / "results" / "framework_overhead.json"
RECIPES = ("random", "hnm", "focal")
IMAGES, OBJECTS, CLASSES, ROUNDS = 2, 5, 80, 11
Step = Callable[[nn.Module], Tensor]


def yolo(name: str) -> tuple[nn.Module, Step]:
    model = hm.build(f"ultralytics:{name}", CLASSES).train()
    batch = {
        "img": torch.rand(IMAGES, 3, 320, 320),
        "cls": torch.randint(CLASSES, (IMAGES * OBJECTS, 1)).float(),
        "bboxes": torch.cat(boxes(), dim=0),
        "batch_idx": torch.arange(IMAGES).repeat_interleave(OBJECTS).float(),
    }
    return model, lambda model: model(batch)[0].sum()


def rt_detr() -> tuple[nn.Module, Step]:
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    sizes: dict[str, Any] = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
    backbone = RTDetrResNetConfig(**sizes, out_features=["stage2", "stage3", "stage4"])
    config = RTDetrV2Config(
        backbone_config=backbone, encoder_in_channels=[128, 256, 512], decoder_layers=3, num_labels=CLASSES
    )
    labels = [{"class_labels": torch.randint(CLASSES, (OBJECTS,)), "boxes": of} for of in boxes()]
    images = torch.rand(IMAGES, 3, 320, 320)
    return RTDetrV2ForObjectDetection(config).train(), lambda model: model(pixel_values=images, labels=labels).loss


def rf_detr() -> tuple[nn.Module, Step]:
    from rfdetr.utilities.tensors import NestedTensor

    module: Any = hm.build("rfdetr:nano", CLASSES).train()
    images = NestedTensor(torch.rand(IMAGES, 3, 384, 384), torch.zeros(IMAGES, 384, 384, dtype=torch.bool))
    targets = [{"labels": torch.randint(CLASSES, (OBJECTS,)), "boxes": of} for of in boxes()]

    def step(module: Any) -> Tensor:
        losses = module.criterion(module.model(images, targets), targets)
        return torch.stack([losses[name] * gain for name, gain in module.criterion.weight_dict.items()]).sum()

    return module, step


def boxes() -> list[Tensor]:
    """Of each image, as shares of its sides."""
    return [
        torch.cat([torch.rand(OBJECTS, 2) * 0.6 + 0.2, torch.rand(OBJECTS, 2) * 0.2 + 0.1], 1) for _ in range(IMAGES)
    ]


MODELS: dict[str, Callable[[], tuple[nn.Module, Step]]] = {
    "ultralytics YOLO11n": lambda: yolo("yolo11n"),
    "ultralytics YOLO26n": lambda: yolo("yolo26n"),
    "transformers RT-DETRv2 R18": rt_detr,
    "rfdetr Nano": rf_detr,
}


def ratio(make: Callable[[], tuple[nn.Module, Step]], recipe: str) -> dict[str, float]:
    """Time of a step under the recipe over that of the untouched model."""
    torch.manual_seed(0)
    stock, step = make()
    weighed = copy.deepcopy(stock)
    hm.attach(weighed, hm.RECIPES[recipe]())

    def run(model: nn.Module) -> Callable[[], None]:
        def call() -> None:
            torch.manual_seed(1)
            model.zero_grad()
            step(model).backward()

        return call

    return asdict(alternate(run(stock), run(weighed), ROUNDS))


def main() -> None:
    torch.set_num_threads(1)
    found = {name: {recipe: ratio(make, recipe) for recipe in RECIPES} for name, make in MODELS.items()}
    shown = Table("detector", *RECIPES)
    for name, of in found.items():
        shown.add_row(name, *(f"{of[r]['ratio']:.3f} ({of[r]['low']:.3f}, {of[r]['high']:.3f})" for r in RECIPES))
    Console(width=120).print(shown)
    RESULT.write_text(json.dumps({"machine": describe(), "ratios": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
