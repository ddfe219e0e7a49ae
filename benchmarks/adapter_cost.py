"""What does the adapter cost? Training steps through `hardmine.wrap` with default slots against the untouched model.

Steps alternate in one run and each is forward + backward; the figure is the median over rounds of the ratio of the two
steps of a round. Writes benchmarks/results/adapter_cost.json.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
import torchvision

import hardmine as hm

RESULTS = Path(__file__).parent / "results"


def step(model: torch.nn.Module, images: list, targets: list, device: torch.device) -> float:
    """Seconds of one forward and backward pass."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    torch.stack(list(model(images, targets).values())).sum().backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def batch(size: int, objects: int, offset: int, device: torch.device) -> tuple[list, list]:
    """Four random images with as many random objects each."""
    images, targets = [], []
    for _ in range(4):
        corner = torch.rand(objects, 2) * size * 0.6
        boxes = torch.cat([corner, corner + size * (0.08 + 0.3 * torch.rand(objects, 2))], dim=1)
        images.append(torch.rand(3, size, size, device=device))
        targets.append({"boxes": boxes.to(device), "labels": torch.randint(3, (objects,), device=device) + offset})
    return images, targets


def measure(name: str, backbone: str, size: int, rounds: int, device: torch.device) -> dict:
    """Ratios of the two steps of each round, after two rounds to warm up."""
    torch.manual_seed(0)
    model = hm.build(name, 3, backbone=backbone, image_size=size).to(device).train()
    wrapped = hm.wrap(model, hm.recipes.random()).train()
    images, targets = batch(size, 12, wrapped.label_offset, device)
    ratios = []
    for _ in range(rounds + 2):
        untouched = step(model, images, targets, device)
        ratios.append(step(wrapped, images, targets, device) / untouched)
        model.zero_grad(set_to_none=True)
    low, middle, high = statistics.quantiles(ratios[2:], n=4)
    return {"detector": name, "backbone": backbone, "image_size": size, "ratio": round(middle, 3),
            "quartiles": [round(low, 3), round(high, 3)], "rounds": rounds}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = []
    for name in hm.detectors.DETECTORS:
        rows.append(measure(name, options.backbone, options.image_size, options.rounds, device))
        print(rows[-1])
    hardware = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    report = {"device": hardware, "torch": torch.__version__, "torchvision": torchvision.__version__, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "adapter_cost.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
