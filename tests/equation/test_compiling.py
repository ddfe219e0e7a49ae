"""Compiled or not: the same losses, gradients and choices, and nothing breaks where there is no compiler."""

import logging
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

import hardmine
from hardmine.equation import compiling
from hardmine.recipes import RECIPES

# torch looks at .grad of whatever enters a graph, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")

DETECTOR_OF = {"ohem": "fasterrcnn", "ghm": "retinanet", "alrp": "retinanet"}


@pytest.fixture
def compiler():
    if not compiling.has_compiler("cpu"):
        pytest.skip("this machine has no compiler")


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine whose compiler does not work; the answer that other tests had is forgotten, before and after."""
    compiling.has_compiler.cache_clear()
    monkeypatch.setattr(torch, "compile", lambda *_, **__: _broken)
    yield
    compiling.has_compiler.cache_clear()


def _broken(*_):
    raise RuntimeError("no working C++ compiler")


def batch() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[4.0, 6.0, 40.0, 50.0], [20.0, 10.0, 60.0, 44.0]])
    images = [torch.rand(3, 64, 64, generator=generator) for _ in range(2)]
    return images, [{"boxes": boxes, "labels": torch.tensor([1, 2])}, {"boxes": boxes[:1], "labels": torch.tensor([2])}]


def losses_and_gradient(detector: hardmine.Detector) -> tuple[dict[str, Tensor], list[Tensor]]:
    torch.manual_seed(7)
    losses = detector.train()(*batch())
    torch.stack(list(losses.values())).sum().backward()
    return losses, [parameter.grad for parameter in detector.parameters() if parameter.grad is not None]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("recipe", DETECTOR_OF)
def test_a_compiled_detector_gives_the_same_losses_gradients_and_random_choices(recipe):
    torch.manual_seed(0)
    model = hardmine.build(DETECTOR_OF[recipe], num_classes=3, backbone="tiny", image_size=64)
    eager = hardmine.wrap(model, RECIPES[recipe]())
    compiled = hardmine.compile(deepcopy(eager), "cpu")
    assert type(compiled) is type(eager)
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    torch.testing.assert_close(losses_and_gradient(compiled), losses_and_gradient(eager), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("compiler")
def test_only_the_heads_of_a_detector_are_compiled():
    model = hardmine.build("fasterrcnn", num_classes=3, backbone="tiny", image_size=64)
    compiled = hardmine.compile(hardmine.wrap(model, RECIPES["random"]()), "cpu")
    names = [name for name, module in compiled.named_modules() if module._compiled_call_impl is not None]
    assert names == ["rpn_head", "roi_head"]


@pytest.mark.parametrize("waits", [True, False])
def test_what_waits_for_the_device_is_left_out_of_the_graph(waits, monkeypatch):
    whole, captured = torch.compile, []

    def rank(loss: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
        captured.append(torch.compiler.is_compiling())
        return logits.mean()

    monkeypatch.setattr(torch, "compile", lambda function, **_: whole(function, backend="aot_eager"))
    monkeypatch.setattr(hardmine.APLoss, "forward", rank)
    monkeypatch.setattr(hardmine.APLoss, "on_device", not waits)
    model = hardmine.build("retinanet", num_classes=3, backbone="tiny", image_size=64)
    losses_and_gradient(hardmine.compile(hardmine.wrap(model, RECIPES["ap_loss"]()), "cpu"))
    assert captured == [not waits]


def test_a_function_is_given_back_as_a_compiled_one():
    logits = torch.randn(2, 5, 3)
    compiled = hardmine.compile(lambda values: values.sigmoid().sum())
    torch.testing.assert_close(compiled(logits), logits.sigmoid().sum())


def test_without_a_compiler_everything_stays_as_it_is_and_a_line_is_logged(no_compiler, caplog):
    loss = hardmine.Focal()
    with caplog.at_level(logging.INFO, "hardmine"):
        assert hardmine.compile(loss) is loss
        assert hardmine.compile(torch.sigmoid) is torch.sigmoid
    assert loss._compiled_call_impl is None
    assert [record.getMessage() for record in caplog.records] == [
        "not compiled, there is no working compiler for cpu: no working C++ compiler"
    ]


def test_the_device_is_that_of_the_part_unless_it_is_named():
    meta = nn.Linear(1, 1, device="meta")
    assert compiling._device_type(meta, None) == "meta"
    assert compiling._device_type(meta, "cuda:1") == "cuda"
    expected = torch.accelerator.current_accelerator(check_available=True)
    assert compiling._device_type(torch.sigmoid, None) == (expected.type if expected else "cpu")
