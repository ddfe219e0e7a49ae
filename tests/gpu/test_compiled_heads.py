"""A compiled head gives what it gives uncompiled, and is compiled once, however many objects a batch has."""

from copy import deepcopy

import pytest
import torch

import hardmine
from hardmine import recipes
from hardmine.equation import compiling
from hardmine.equation.head import Head
from tests.gpu.test_heads import NUM_CLASSES, SIZE, batch, lose, recorded

RECIPES = {"retinanet": recipes.ghm, "fasterrcnn": recipes.random}
SAMPLED = 16


@pytest.fixture
def compiler(device, monkeypatch) -> None:
    """The device's own; on a CPU, where test_compiling.py tries that, one that makes no code."""
    torch.compiler.reset()
    if device.type == "cpu":
        whole = torch.compile
        monkeypatch.setattr(torch, "compile", lambda function, **_: whole(function, backend="aot_eager"))
    elif not compiling.has_compiler(device.type):
        pytest.skip(f"there is no compiler for {device.type} on this machine")


def detector_under(name: str) -> hardmine.Detector:
    model = hardmine.build(name, NUM_CLASSES, backbone="tiny", image_size=SIZE)
    if name == "fasterrcnn":  # so few that there are always as many
        model.roi_heads.fg_bg_sampler.batch_size_per_image = SAMPLED
    return hardmine.wrap(model, RECIPES[name]())


@pytest.mark.parametrize("first", [(4, 1, 2, 9), (1, 3)], ids=str)
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.usefixtures("compiler")
def test_any_number_of_objects_has_one_graph(name, first, device, moved):
    detector = detector_under(name)
    calls = recorded(detector, *(batch(detector.label_offset, num) for num in first))
    for head in [module for module in detector.modules() if isinstance(module, Head)]:
        eager = moved(head, device)
        compiled = hardmine.compile(deepcopy(eager), device)
        torch.compiler.reset()  # of two heads, the second is no second graph of the first
        with torch._dynamo.config.patch(error_on_recompile=True):
            for args in [moved(args, device) for module, args, _ in calls if module is head]:
                losses = []
                for each in (eager, compiled):
                    torch.manual_seed(1)
                    losses.append(lose(each, *args))
                torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-6)
