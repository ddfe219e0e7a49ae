"""What an adapter does itself in training, in torchvision's place: the methods of a model that it will not call.

A user's own version of one of them would be bypassed without a word, so it is refused. Whatever is not listed
(backbone, transform, heads, anchors, filtering of proposals, all of inference) is called, and may be anybody's own.
"""

import sys
from collections.abc import Mapping
from functools import reduce
from typing import Any

from torch import nn

from hardmine.errors import ConfigError

__all__ = ["CASCADE_RCNN", "FASTER_RCNN", "FAST_RCNN", "FCOS", "RETINANET", "SSD", "Replaced", "refuse_overrides"]

Replaced = Mapping[str, tuple[str, ...]]
"""Names that are not called, by the part that has them: a path below the model, or a module of torchvision's."""

TORCHVISION = "torchvision."
CALL = ("__call__", "forward")
CODER = ("encode", "encode_single", "decode", "decode_single")
MATCHER = ("__call__", "set_low_quality_matches_")

RETINANET: Replaced = {
    "": (*CALL, "compute_loss", "eager_outputs"),
    "head": ("compute_loss",),
    "head.classification_head": ("compute_loss",),
    "head.regression_head": ("compute_loss",),
    "head.regression_head.box_coder": CODER,
    "proposal_matcher": MATCHER,
    "torchvision.models.detection.retinanet": ("sigmoid_focal_loss", "_box_loss", "_sum"),
    "torchvision.models.detection._utils": ("generalized_box_iou_loss",),
}
FCOS: Replaced = {
    "": (*CALL, "compute_loss", "eager_outputs"),
    "head": ("compute_loss",),
    "head.box_coder": ("encode", "decode"),
    "torchvision.models.detection.fcos": ("sigmoid_focal_loss", "generalized_box_iou_loss"),
}
SSD: Replaced = {
    "": (*CALL, "compute_loss", "eager_outputs"),
    "box_coder": CODER,
    "proposal_matcher": MATCHER,
}
FASTER_RCNN: Replaced = {
    "": (*CALL, "eager_outputs"),
    "rpn": (*CALL, "assign_targets_to_anchors", "compute_loss", "box_similarity"),
    "rpn.box_coder": CODER,
    "rpn.proposal_matcher": MATCHER,
    "rpn.fg_bg_sampler": ("__call__",),
    "roi_heads": (
        *CALL,
        "check_targets",
        "select_training_samples",
        "add_gt_proposals",
        "assign_targets_to_proposals",
        "subsample",
    ),
    "roi_heads.box_coder": CODER,
    "roi_heads.proposal_matcher": MATCHER,
    "roi_heads.fg_bg_sampler": ("__call__",),
    "torchvision.models.detection.roi_heads": ("fastrcnn_loss",),
}
CASCADE_RCNN: Replaced = {  # its RoI heads are ours, and read no matcher or coder of torchvision's
    part: names for part, names in FASTER_RCNN.items() if not part.startswith("roi_heads")
}
FAST_RCNN: Replaced = {  # its RPN is ours, and called
    part: names for part, names in FASTER_RCNN.items() if not part.startswith("rpn")
}

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
BYPASSED = "and under a recipe it would not be called in training"
PUT_INTO_A_RECIPE = (
    "put what it does into a recipe (docs/your-own-method.md) and torchvision's own back in its place, or train the "
    "model as it is, without hardmine.wrap"
)
MOVE_THE_HOOK = "register it on what hardmine.wrap gives, or on a part that is called (the backbone, a head)"


def refuse_overrides(model: nn.Module, replaced: Replaced) -> None:
    """Looks at each name of the table: is it torchvision's own, in its class, on the object, in its module?

    Raises: ConfigError: it is not, or a module that is not called has a hook.
    """
    for path, names in replaced.items():
        owner = _part(model, path)
        for name in names:
            if owner is not None and not _is_torchvisions(getattr(owner, name, None)):
                raise ConfigError(
                    f"{_name_of(owner, path, name)} is not torchvision's own, {BYPASSED}; {PUT_INTO_A_RECIPE}"
                )
        if "forward" in names and any(getattr(owner, hooks, None) for hooks in HOOKS):
            raise ConfigError(f"{_place(path)}, a {type(owner).__name__}, has a hook, {BYPASSED}; {MOVE_THE_HOOK}")


def _part(model: nn.Module, path: str) -> Any:
    """The part of the model, or the module of torchvision's, that a line of a table is about; None if there is none."""
    if path.startswith(TORCHVISION):
        return sys.modules[path]
    return reduce(lambda part, name: getattr(part, name, None), path.split(".") if path else [], model)


def _is_torchvisions(called: Any) -> bool:
    """By the module that its code was written in, which a decorator with `functools.wraps` does not hide."""
    function = getattr(called, "__func__", called)  # of a bound method
    module = getattr(function, "__globals__", {}).get("__name__", "")
    return module.startswith(TORCHVISION) or module == nn.Module.__module__  # which has their __call__


def _name_of(owner: Any, path: str, name: str) -> str:
    """ "Net.compute_loss (of the model)", by the class that has it, or where it was set on an object or a module."""
    if path.startswith(TORCHVISION):
        return f"{path}.{name}"
    if name in getattr(owner, "__dict__", {}):
        return f"{name}, set on {_place(path)}, a {type(owner).__name__},"
    classes = (kind.__name__ for kind in type(owner).__mro__ if name in vars(kind))
    return f"{next(classes, type(owner).__name__)}.{name} (of {_place(path)})"


def _place(path: str) -> str:
    return f"model.{path}" if path else "the model"
