"""A whole detector on the pretended device: nothing of an adapter stays behind on the CPU.

On a GPU its convolutions round otherwise, and another proposal may come out; `test_heads.py` compares what follows.
"""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import hardmine
from hardmine import RECIPES, wrap
from hardmine.detectors import build
from tests.gpu.test_heads import NUM_CLASSES, SIZE, batch
from tests.pretended_device import PretendedDevice

SOURCE = Path(hardmine.__file__).parent


def losses_and_gradients(detector: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]) -> list[Tensor]:
    torch.manual_seed(0)
    losses = torch.stack(list(detector(images, targets).values()))
    return [losses.detach(), *torch.autograd.grad(losses.sum(), [p for p in detector.parameters() if p.requires_grad])]


@pytest.mark.parametrize(
    ("name", "recipe"), [("retinanet", "ghm"), ("fcos", "tood"), ("ssd", "hnm"), ("fasterrcnn", "ohem")]
)
def test_a_step_is_that_of_the_cpu(name, recipe, moved):
    model = build(name, NUM_CLASSES, backbone="tiny", image_size=SIZE)
    detector = wrap(model, RECIPES[recipe]()).train()
    given = batch(detector.label_offset)
    expected = losses_and_gradients(deepcopy(detector), *given)
    with PretendedDevice() as pretended:
        found = losses_and_gradients(moved(detector, pretended.device), *moved(given, pretended.device))
        found = moved(found, torch.device("cpu"))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("name", "recipe"), [("retinanet", "focal"), ("fasterrcnn", "random")])
def test_of_our_own_only_two_looks_at_the_targets_wait(name, recipe, moved):
    """Whether there is a crowd, and whether all values are sound; all other waits of a step are torchvision's."""
    detector = wrap(build(name, NUM_CLASSES, backbone="tiny", image_size=SIZE), RECIPES[recipe]()).train()
    images, targets = batch(detector.label_offset)
    without_crowds = [{name: target[name] for name in ("boxes", "labels")} for target in targets]
    with PretendedDevice() as pretended:
        there, given = (moved(each, pretended.device) for each in (detector, (images, without_crowds)))
        pretended.waits.clear()
        losses_and_gradients(there, *given)
    ours = [line.name for line in pretended.waits if Path(line.filename).is_relative_to(SOURCE)]
    assert ours == ["split_crowds", "_check_values"]
