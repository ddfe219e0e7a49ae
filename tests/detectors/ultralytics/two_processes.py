"""What `test_training.py` starts on two processes, of which the second has images without objects only.

torchrun --nproc-per-node=2 two_processes.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

import hardmine
from hardmine.detectors import build
from hardmine.equation.recipe import Recipe, Slot
from hardmine.recipes import RECIPES
from hardmine.sampling import Sampling


class Ones(Sampling):
    def weigh(self, samples: Any) -> Tensor:
        return torch.ones_like(samples.assignment.iou)


def make_batch(rank: int) -> dict[str, Tensor]:
    num = 0 if rank else 3
    boxes = torch.cat([torch.rand(num, 2) * 0.6 + 0.2, torch.rand(num, 2) * 0.3 + 0.1], dim=1)
    index = torch.tensor([0.0, 0.0, 1.0])[:num]
    return {"img": torch.rand(2, 3, 64, 64), "cls": torch.ones(num, 1), "bboxes": boxes, "batch_idx": index}


def gradients(recipe: Recipe | None, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
    torch.manual_seed(0)
    model = build("ultralytics:yolo26n", 3, image_size=64).train()
    attached = None if recipe is None else hardmine.attach(model, recipe)
    together = DistributedDataParallel(model)
    for _ in range(2):  # a parameter without gradient would stop the second step
        together.zero_grad()
        together(batch)[0].sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, attached


def compare(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    torch.manual_seed(rank)
    batch = make_batch(rank)
    stock, _ = gradients(None, batch)
    ours, _ = gradients(Recipe("ones", lambda _: {"select": Slot(Ones())}), batch)
    _, attached = gradients(RECIPES["ghm"](), batch)
    histograms: list[Any] = [None, None]
    state = attached.heads.state_dict()
    distributed.all_gather_object(histograms, [float(state[name].sum()) for name in sorted(state)])
    if rank == 0:
        difference = max(float((ours[name] - value).abs().max()) for name, value in stock.items())
        names = {"names": sorted(ours), "stock names": sorted(stock)}
        torch.save({**names, "difference": difference, "histograms": histograms}, folder / "found.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    compare(Path(sys.argv[1]))
