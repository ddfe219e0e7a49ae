"""Every recipe trains in mixed precision: finite losses, and steps that move the weights."""

import pytest
import torch

from hardmine import RECIPES
from hardmine.detectors import DETECTORS, Detector
from hardmine.detectors.support import heads_under
from hardmine.equation.recipe import PIXELS
from hardmine.training import TrainingConfig
from hardmine.training.run import make_detector
from tests.gpu.test_heads import NUM_CLASSES, SIZE, batch

STEPS = 3
SCALE = 2.0**8
"""Of the losses in fp16, where training starts at 2^16 and halves it until no gradient is infinite."""


def detector_for(name: str) -> str:
    return next(detector for detector in DETECTORS if isinstance(heads_under(RECIPES[name]())[detector], list))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", [name for name, make in RECIPES.items() if make().on != PIXELS])
def test_a_few_steps_of_every_recipe(name, dtype, device):
    config = TrainingConfig(detector=detector_for(name), recipe=name, image_size=SIZE)
    detector = make_detector(config, NUM_CLASSES).to(device).train()
    before = [parameter.detach().clone() for parameter in detector.parameters()]
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-3)
    scaler = torch.amp.GradScaler(device.type, init_scale=SCALE, enabled=dtype == torch.float16)
    for _ in range(STEPS):
        with torch.autocast(device.type, dtype):
            loss = total_loss(detector, device)
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    after = list(detector.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert all((now != then).any() for now, then in zip(after, before, strict=True) if now.grad.abs().sum() > 0)
    assert sum(parameter.grad.abs().sum() for parameter in after) > 0


def total_loss(detector: Detector, device: torch.device) -> torch.Tensor:
    images, targets = batch(detector.label_offset)
    there = [{name: value.to(device) for name, value in target.items()} for target in targets]
    return torch.stack(list(detector([image.to(device) for image in images], there).values())).sum()
