"""mmdetection's own files, without what it needs to be compiled for.

Its losses, assigners and samplers are plain Python, but importing the package asks for mmcv, whose wheels are built for
few versions of torch. So its files are imported one by one: packages whose `__init__` would import everything are made
by hand, and what is only mentioned (registries, mmcv's operations, mmengine's containers) has a stand-in.
"""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

__all__ = ["Instances", "load"]

PACKAGES = ("", "models", "models.losses", "models.task_modules", "models.task_modules.assigners",
            "models.task_modules.samplers", "models.task_modules.coders", "utils", "structures")  # fmt: skip


class Instances(SimpleNamespace):
    """What mmengine's InstanceData is to an assigner: some tensors of one length."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def __contains__(self, name: str) -> bool:
        return name in vars(self)


class _Registry:
    """Takes classes down, and makes them by name, as mmengine's does."""

    def __init__(self):
        self.classes: dict[str, type] = {}

    def register_module(self, *_: Any, **__: Any) -> Any:
        return lambda thing: self.classes.setdefault(getattr(thing, "__name__", ""), thing)

    def build(self, config: dict[str, Any]) -> Any:
        options = dict(config)
        return self.classes[options.pop("type")](**options)


def load(name: str) -> ModuleType:
    """A module of mmdetection, such as "models.losses.ghm_loss". Raises ImportError where mmdetection is not there."""
    spec = find_spec("mmdet") if "mmdet" not in sys.modules else sys.modules["mmdet"].__spec__
    if spec is None:
        raise ImportError("mmdetection is not installed")
    if "mmdet" not in sys.modules:
        _stand_ins(Path(spec.submodule_search_locations[0]), spec)  # pyright: ignore[reportOptionalSubscript]
    return importlib.import_module(f"mmdet.{name}")


def _stand_ins(root: Path, spec: Any) -> None:
    for package in PACKAGES:
        name = f"mmdet.{package}".rstrip(".")
        _module(name, __path__=[str(root.joinpath(*package.split(".")))], __spec__=spec)
    registry = _Registry()
    _module("mmdet.registry", MODELS=registry, TASK_UTILS=registry)
    _module("mmcv")
    _module("mmcv.ops", sigmoid_focal_loss=None, nms_match=None)
    _module("mmengine")
    _module("mmengine.structures", InstanceData=Instances)
    _module("mmengine.logging", print_log=lambda *_, **__: None)
    boxes = _module(
        "mmdet.structures.bbox", __path__=[str(root / "structures" / "bbox")], BaseBoxes=Instances,
        get_box_tensor=lambda boxes: boxes, cat_boxes=torch.cat, bbox2roi=None)  # fmt: skip
    boxes.bbox_overlaps = importlib.import_module("mmdet.structures.bbox.bbox_overlaps").bbox_overlaps
    sys.modules["mmdet.utils"].__dict__.update(
        ConfigType=dict, util_mixins=importlib.import_module("mmdet.utils.util_mixins"))  # fmt: skip
    tasks = "mmdet.models.task_modules"
    result = importlib.import_module(f"{tasks}.assigners.assign_result").AssignResult
    sys.modules[f"{tasks}.assigners"].__dict__.update(AssignResult=result)
    sys.modules[f"{tasks}.samplers"].__dict__.update(SamplingResult=Instances)
    sys.modules[f"{tasks}.coders"].__dict__.update(BaseBBoxCoder=object)
    importlib.import_module(f"{tasks}.assigners.iou2d_calculator")


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module
    return module
