"""No override is bypassed: the tables hold every method that an adapter replaces, and each entry is refused."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from torch import nn
from torchvision.models import detection
from torchvision.models.detection import roi_heads as torchvision_roi_heads

from hardmine import recipes, wrap
from hardmine.detectors import Detector
from hardmine.detectors.torchvision import replaced
from hardmine.errors import ConfigError

TABLES = {
    "retinanet": replaced.RETINANET,
    "fcos": replaced.FCOS,
    "ssd": replaced.SSD,
    "ssdlite": replaced.SSD,
    "fasterrcnn": replaced.FASTER_RCNN,
    "cascadercnn": replaced.CASCADE_RCNN,
    "maskrcnn": replaced.FASTER_RCNN,
    "keypointrcnn": replaced.FASTER_RCNN,
}
ENTRIES = [
    (model, path, name)
    for model in ("retinanet", "fcos", "ssd", "fasterrcnn", "cascadercnn")
    for path, names in TABLES[model].items()
    for name in names
]
METHODS = [entry for entry in ENTRIES if not entry[1].startswith("torchvision.")]
OF_CLASSES = [entry for entry in METHODS if entry[2] != "box_similarity"]  # which is set on every object
FUNCTIONS = [entry for entry in ENTRIES if entry[1].startswith("torchvision.")]
NOT_CALLED = [(model, path) for model, path, name in METHODS if name == "forward"]


def own(*args: Any, **kwargs: Any) -> None:
    """What a user might put in the place of anything."""


def part(model: nn.Module, path: str) -> Any:
    return functools.reduce(getattr, path.split(".") if path else [], model)


def as_part_of(model: nn.Module, path: str, kind: type) -> None:
    part(model, path).__class__ = kind


@pytest.mark.parametrize(("name", "path", "method"), OF_CLASSES)
def test_a_method_of_a_subclass_is_refused(name, path, method, make_model):
    model = make_model(name)
    kind = type(part(model, path))
    as_part_of(model, path, type("Mine", (kind,), {method: own}))
    place = f"model.{path}" if path else "the model"
    with pytest.raises(ConfigError, match=rf"^Mine\.{method} \(of {place}\) is not torchvision's own, .* recipe"):
        wrap(model, recipes.random())


@pytest.mark.parametrize(("name", "path", "method"), [entry for entry in METHODS if entry[2] != "__call__"])
def test_a_function_set_on_an_object_is_refused_whenever_it_is_set(name, path, method, make_model, make_full_batch):
    model = make_model(name)
    detector = wrap(model, recipes.random()).train()
    setattr(part(model, path), method, own)
    expected = f"^{method}, set on {f'model.{path}' if path else 'the model'}, a {type(part(model, path)).__name__},"
    with pytest.raises(ConfigError, match=expected):
        wrap(model, recipes.random())
    with pytest.raises(ConfigError, match=expected):
        detector(*make_full_batch())


@pytest.mark.parametrize(("name", "path", "method"), OF_CLASSES)
def test_a_function_put_into_torchvisions_class_is_refused(name, path, method, make_model, monkeypatch):
    model = make_model(name)
    monkeypatch.setattr(type(part(model, path)), method, own, raising=False)
    with pytest.raises(ConfigError, match=rf"\.{method} \(of .* is not torchvision's own"):
        wrap(model, recipes.random())


@pytest.mark.parametrize(("name", "path", "function"), FUNCTIONS)
def test_a_function_put_into_torchvisions_module_is_refused(name, path, function, make_model, monkeypatch):
    monkeypatch.setattr(sys.modules[path], function, own)
    with pytest.raises(ConfigError, match=f"^{path}.{function} is not torchvision's own"):
        wrap(make_model(name), recipes.random())


def test_a_module_of_the_users_is_no_part_of_the_model(make_model, monkeypatch):
    for path in ("rpn", "roi_heads"):
        monkeypatch.setitem(sys.modules, path, ModuleType(path))
    wrap(make_model("fasterrcnn"), recipes.random())


def test_a_decorator_that_passes_for_what_it_decorates_is_refused(make_model, monkeypatch):
    loss = torchvision_roi_heads.fastrcnn_loss

    @functools.wraps(loss)
    def doubled(*args: Any) -> tuple:
        return tuple(2 * value for value in loss(*args))

    monkeypatch.setattr(torchvision_roi_heads, "fastrcnn_loss", doubled)
    with pytest.raises(ConfigError, match="fastrcnn_loss is not torchvision's own"):
        wrap(make_model("fasterrcnn"), recipes.random())


class OwnObject:
    high_threshold = low_threshold = positive_fraction = 0.5
    batch_size_per_image = 8
    allow_low_quality_matches = False
    __call__ = own


@pytest.mark.parametrize(
    ("path", "mine", "method"),
    [
        ("rpn.fg_bg_sampler", OwnObject(), r"OwnObject\.__call__"),
        ("roi_heads.fg_bg_sampler", OwnObject(), r"OwnObject\.__call__"),
        ("roi_heads.proposal_matcher", own, r"function\.__call__"),
        ("roi_heads", nn.Identity(), r"Identity\.forward"),
        ("rpn", nn.Identity(), r"Identity\.forward"),
        ("rpn.box_coder", object(), r"object\.encode"),
    ],
)
def test_an_object_of_ones_own_in_the_place_of_torchvisions_is_refused(path, mine, method, make_model):
    model = make_model("fasterrcnn")
    owner, _, name = path.rpartition(".")
    setattr(part(model, owner), name, mine)
    with pytest.raises(ConfigError, match=rf"{method} \(of model\.{path}\) is not torchvision's own"):
        wrap(model, recipes.random())


HOOKS = {
    "forward": lambda module: module.register_forward_hook(lambda *_: None),
    "forward_pre": lambda module: module.register_forward_pre_hook(lambda *_: None),
    "backward": lambda module: module.register_full_backward_hook(lambda *_: None),
    "backward_pre": lambda module: module.register_full_backward_pre_hook(lambda *_: None),
}


@pytest.mark.parametrize("hook", list(HOOKS))
@pytest.mark.parametrize(("name", "path"), NOT_CALLED)
def test_a_hook_on_what_is_not_called_is_refused_whenever_it_is_set(name, path, hook, make_model, make_full_batch):
    model = make_model(name)
    detector = wrap(model, recipes.random()).train()
    handle = HOOKS[hook](part(model, path))
    expected = f"^{f'model.{path}' if path else 'the model'}, a {type(part(model, path)).__name__}, has a hook,"
    with pytest.raises(ConfigError, match=expected):
        wrap(model, recipes.random())
    with pytest.raises(ConfigError, match=expected):
        detector(*make_full_batch())
    handle.remove()
    wrap(model, recipes.random())


def test_hooks_that_are_called_are_called(make_model, make_batch):
    model, seen = make_model("fasterrcnn"), []
    for name in ("backbone", "transform", "rpn.head", "roi_heads.box_head", "roi_heads.box_predictor"):
        part(model, name).register_forward_hook(lambda *_, name=name: seen.append(name))
    detector = wrap(model, recipes.random()).train()
    detector.register_forward_hook(lambda *_: seen.append("detector"))
    detector(*make_batch(1))
    assert set(seen) == {
        "backbone",
        "transform",
        "rpn.head",
        "roi_heads.box_head",
        "roi_heads.box_predictor",
        "detector",
    }


CALLED = [
    *(("fasterrcnn", path, "forward") for path in ("backbone", "transform", "rpn.head", "rpn.anchor_generator")),
    *(("fasterrcnn", path, "forward") for path in ("roi_heads.box_roi_pool", "roi_heads.box_head")),
    ("fasterrcnn", "rpn", "filter_proposals"),
    ("fasterrcnn", "roi_heads", "has_mask"),
    *((name, "head", "forward") for name in ("retinanet", "fcos", "ssd")),
    *((name, "head.classification_head", "forward") for name in ("retinanet", "fcos", "ssd")),
    *((name, "anchor_generator", "forward") for name in ("retinanet", "fcos", "ssd")),
]
ONLY_IN_INFERENCE = [
    ("fasterrcnn", "roi_heads", "postprocess_detections"),
    ("fasterrcnn", "transform", "postprocess"),
    *((name, "", "postprocess_detections") for name in ("retinanet", "fcos", "ssd")),
]


def counting(kind: type, method: str, calls: list[str]) -> type:
    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        return getattr(kind, method)(self, *args, **kwargs)

    return type("Mine", (kind,), {method: counted})


@pytest.mark.parametrize(("name", "path", "method"), [*CALLED, *ONLY_IN_INFERENCE])
def test_what_is_called_may_be_anybodys_own(name, path, method, make_model, make_batch):
    model, calls = make_model(name), []
    as_part_of(model, path, counting(type(part(model, path)), method, calls))
    detector = wrap(model, recipes.random()).train()
    images, targets = make_batch(detector.label_offset)
    detector(images, targets)
    assert bool(calls) == ((name, path, method) in CALLED)
    calls.clear()
    detector.eval()(images)
    assert calls


BUILDERS = [name for name in dir(detection) if name.endswith(("_fpn", "_fpn_v2", "_vgg16", "_large")) and "_" in name]


@pytest.mark.parametrize("name", BUILDERS)
def test_torchvisions_own_builders_are_accepted(name):
    model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=3)
    assert isinstance(wrap(model, recipes.random()), Detector)


def test_the_builders_are_all_there():
    assert {name.split("_")[0] for name in BUILDERS} == {
        "fasterrcnn", "fcos", "keypointrcnn", "maskrcnn", "retinanet", "ssd300", "ssdlite320"
    }  # fmt: skip


HELPERS = {"encode_boxes", "box_iou", "Matcher.__call__"}
"""What those that are listed call in their turn: the coders, the matching, SSD's matcher its base."""
WITHOUT_EFFECT = {"GeneralizedRCNNTransform.postprocess"}
"""Called in training too, and gives back what it is given."""


@pytest.mark.parametrize("name", [name for name in TABLES if name != "cascadercnn"])  # which is ours, and learns by us
def test_the_table_is_what_torchvision_calls_in_training_and_the_adapter_does_not(name, make_model, make_full_batch):
    model = make_model(name)
    detector = wrap(model, recipes.random()).train()
    images, targets = make_full_batch()
    for target in targets:
        target["labels"] = target["labels"] - 1 + detector.label_offset
    theirs = set(called_by(lambda: model(images, [dict(target) for target in targets])))
    ours = set(called_by(lambda: detector(images, targets)))
    listed = {code for path, names in TABLES[name].items() for code in codes_of(model, path, names)}
    assert not listed & ours
    left_out = {code.co_qualname for code in theirs - ours - listed}
    assert left_out <= HELPERS | WITHOUT_EFFECT
    assert len(listed & theirs) >= len(TABLES[name])


def codes_of(model: nn.Module, path: str, names: tuple[str, ...]) -> Iterator[CodeType]:
    owner = sys.modules[path] if path.startswith("torchvision.") else part(model, path)
    for name in names:
        function = inspect.unwrap(getattr(owner, name))
        if not function.__globals__["__name__"].startswith("torch."):
            yield function.__code__


def called_by(run: Callable[[], Any]) -> list[CodeType]:
    """Functions that torchvision's detection code calls or has: not what these call in torchvision.ops."""
    codes: list[CodeType] = []

    def watch(frame: Any, event: str, _: Any) -> None:
        caller = frame.f_back or SimpleNamespace(f_globals={})
        modules = [str(each.f_globals.get("__name__")) for each in (frame, caller)]
        is_theirs = modules[0].startswith("torchvision.models.detection")
        is_used = modules[0].startswith("torchvision.ops") and modules[1].startswith("torchvision.models.detection")
        if event == "call" and (is_theirs or is_used) and "<" not in frame.f_code.co_name:
            codes.append(frame.f_code)

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)
    return codes
