"""Watching in the loops and trainers of other frameworks: each is skipped where it is not installed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import hardmine as hm
from hardmine.diagnosis import watch
from tests.detectors.rfdetr.conftest import criterion_of_boxes, make_batch as make_rfdetr_batch, make_module
from tests.detectors.transformers.conftest import make_detr, make_labels
from tests.detectors.ultralytics.conftest import make_yolo, make_yolo_batch
from tests.diagnosis.test_watching import check_consistency

__all__ = [
    "criterion_of_boxes", "make_detr", "make_labels", "make_module", "make_rfdetr_batch", "make_yolo",
    "make_yolo_batch",
]  # fmt: skip

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated"),  # rfdetr compiles its mask losses
    pytest.mark.filterwarnings("ignore:.*was instantiated with pretrain_weights=None"),  # rfdetr, from scratch
    pytest.mark.filterwarnings("ignore:.*pin_memory.*"),  # transformers' Trainer on a CPU
]
RECIPES = ["random", "hnm"]


def check_same(model: Any, attached: Any, step: Callable[[], torch.Tensor], *, exactly: bool = True) -> Any:
    """A step watched is the step unwatched: loss and gradients; gives what was seen."""
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def run() -> tuple[torch.Tensor, dict[str, Any]]:
        model.load_state_dict(before)
        model.zero_grad()
        torch.manual_seed(1)
        loss = step()
        loss.backward()
        return loss.detach(), {name: of.grad for name, of in model.named_parameters()}

    run()  # in their first step frameworks' sums are held against those of their terms
    loss, gradients = run()
    with watch(attached) as watched:
        seen_loss, seen = run()
    tolerance = {"rtol": 0, "atol": 0} if exactly else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(seen_loss, loss, **tolerance)
    for name, gradient in gradients.items():
        if gradient is not None:
            torch.testing.assert_close(seen[name], gradient, **tolerance)
    for found in watched.tables().values():
        check_consistency(found)
    again = run()
    torch.testing.assert_close(again[0], loss, rtol=0, atol=0)
    return watched


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["yolo11n", "yolo26n"])
def test_a_yolo_in_a_loop_of_one_s_own(make_yolo, make_yolo_batch, name, recipe):
    pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    model = make_yolo(name)
    attached = hm.attach(model, hm.RECIPES[recipe]())
    batch = make_yolo_batch()
    watched = check_same(model, attached, lambda: sum(model.loss(batch)[0]))
    heads = watched.tables()
    assert set(heads) == ({"detect"} if name == "yolo11n" else {"one2many", "one2one"})
    for found in heads.values():
        assert [row["bin"] for row in found.tables["level"]] == ["stride 8", "stride 16", "stride 32"]
        assert found.totals["samples"] == 2 * 336
        assert (found.totals["kept"] < found.totals["samples"]) == (recipe == "hnm")


def test_a_yolo_in_its_own_trainer(tmp_path):
    """Its trainer makes the model, and so the heads, anew when it starts."""
    ultralytics = pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    random = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for place in range(4):
        Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"images/{place}.png")
        (tmp_path / f"labels/{place}.txt").write_text("0 .5 .5 .3 .4\n1 .3 .6 .2 .2")
    (tmp_path / "data.yaml").write_text(f"path: {tmp_path}\ntrain: images\nval: images\nnames: [a, b]\n")
    yolo = ultralytics.YOLO("yolo11n.yaml", verbose=False)
    attached = hm.attach(yolo, hm.recipes.random())
    options = {"imgsz": 64, "batch": 2, "workers": 0, "plots": False, "device": "cpu", "amp": False, "verbose": False}
    with watch(attached, classes=("a", "b")) as watched:
        yolo.train(data=str(tmp_path / "data.yaml"), epochs=2, project=str(tmp_path), val=False, **options)
    found = watched.tables()["detect"]
    check_consistency(found)
    assert found.totals["images"] == 8
    assert [row["bin"] for row in found.tables["class"]] == ["a", "b", "background"]
    assert not attached.when_made


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", ["RTDetrV2", "Detr", "DeformableDetr"])
def test_a_detr_of_transformers(make_detr, make_labels, kind, recipe):
    pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")
    model = make_detr(kind)
    attached = hm.attach(model, hm.RECIPES[recipe]())
    pixels, labels = torch.rand(2, 3, 64, 64), make_labels(2, 3)
    watched = check_same(model, attached, lambda: model(pixel_values=pixels, labels=labels).loss)
    heads = watched.tables()
    assert "last" in heads
    assert heads["last"].totals["positives"] == 5
    assert heads["last"].totals["objects_without_positive"] == 0
    assert "level" not in heads["last"].tables


def test_sizes_of_a_detr_are_of_the_image_that_is_said(make_detr):
    """It is told boxes as shares of the image: a tenth of its side is small at 64 pixels, and large at 1000."""
    pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")
    model = make_detr("RTDetrV2")
    attached = hm.attach(model, hm.recipes.random())
    labels = [{"class_labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.1, 0.1]])}]
    for side, size in ((64, "small"), (640, "medium"), (1000, "large")):
        with watch(attached, image_size=side) as watched:
            model(pixel_values=torch.rand(1, 3, 64, 64), labels=labels).loss.backward()
        rows = {row["bin"]: row for row in watched.tables()["last"].tables["object_size"]}
        assert rows[size]["objects"] == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_rfdetr_module(make_module, make_rfdetr_batch, recipe):
    """With a recipe that sets nothing, rfdetr takes a path of its own, which gives the same up to rounding."""
    pytest.importorskip("rfdetr", reason="needs rfdetr")
    from rfdetr.utilities.tensors import NestedTensor

    module = make_module().train()
    attached = hm.attach(module, hm.RECIPES[recipe]())
    images = torch.rand(2, 3, 64, 64)
    targets = [
        {"labels": torch.tensor([0, 1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.4], [0.3, 0.6, 0.2, 0.2]])},
        {"labels": torch.tensor([2]), "boxes": torch.tensor([[0.4, 0.4, 0.5, 0.2]])},
    ]

    def step() -> torch.Tensor:
        outputs = module.model(NestedTensor(images, torch.zeros(2, 64, 64, dtype=torch.bool)), targets)
        losses, gains = module.criterion(outputs, targets), module.criterion.weight_dict
        return sum(loss * gains[name] for name, loss in losses.items() if name in gains)

    kind = type(module.criterion)
    watched = check_same(module, attached, step, exactly=recipe != "random")
    assert type(module.criterion) is kind
    assert {"last", "encoder"} <= set(watched.tables())


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_rfdetr_model_under_a_recipe(make_module, make_rfdetr_batch, recipe):
    pytest.importorskip("rfdetr", reason="needs rfdetr")
    model = make_module()
    detector = hm.wrap(model, hm.RECIPES[recipe]()).train()
    images, targets = make_rfdetr_batch(2, 3)
    watched = check_same(model, detector, lambda: sum(detector(list(images), targets).values()))
    assert watched.tables()["last"].totals["objects"] == 5
