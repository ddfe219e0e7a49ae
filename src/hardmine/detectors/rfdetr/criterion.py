"""The recipe in rfdetr's criterion: a subclass takes the class's place, so that its batched path is not taken either.

What weighs it is a plain attribute, no module: buffers of a criterion are averaged over steps by rfdetr's callbacks and
written into its checkpoints.
"""

from collections.abc import Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from hardmine.core.samples import GroundTruth
from hardmine.detectors.query_losses import ia_bce
from hardmine.detectors.set_prediction import Indices
from hardmine.detectors.traits import set_traits
from hardmine.detectors.weighted_layers import Dialect, Layer, WeightedLayers, layer_names
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["Seam", "check_module", "is_weighted", "make_heads"]

OTHER_FORMS = ("use_position_supervised_loss", "use_varifocal_loss")


def check_module(module: Any) -> None:
    """Raises ConfigError: anything but an RFDETRModelModule of boxes, trained by its default loss of classes."""
    criterion = getattr(module, "criterion", None)
    if criterion is None or not hasattr(module, "model_config"):
        raise ConfigError(
            f"got rfdetr's {type(module).__name__}; expected an RFDETRModelModule(model_config, train_config): "
            "RFDETR.train() makes one of its own and gives no way in, build_trainer(...).fit(module, ...) does"
        )
    if not criterion.ia_bce_loss or any(getattr(criterion, form) for form in OTHER_FORMS):
        raise ConfigError("rfdetr's loss of classes is adapted in its default form; set ia_bce_loss=True")
    if further := sorted(set(criterion.losses) - {"labels", "boxes", "cardinality"}):
        raise ConfigError(f"got rfdetr's model with losses of {', '.join(further)}; expected a model of boxes alone")


def make_heads(module: Any, recipe: Recipe) -> dict[str, FrameworkHead]:
    """The weights of each layer under the recipe; rfdetr's logits have a column more than there are classes."""
    config = module.model_config
    names = ["last", *(f"aux_{layer}" for layer in range(config.dec_layers - 1)), "encoder"]
    return {name: FrameworkHead(set_traits("rfdetr", config.num_classes + 1), recipe) for name in names}


class Seam:
    """A criterion with weights in it, and the way back. Raises ConfigError: it has weights already."""

    def __init__(self, criterion: Any, heads: nn.ModuleDict):
        if is_weighted(criterion):
            raise ConfigError("a recipe is attached to this module already: detach() that one first")
        self.criterion = criterion
        gains = float(criterion.weight_dict["loss_bbox"]), float(criterion.weight_dict["loss_giou"])
        loss = partial(ia_bce, alpha=self.criterion.focal_alpha)
        self.layers = WeightedLayers(Dialect("rfdetr", loss, "pred_logits", "labels", gains=gains), heads)
        self.before = type(self.criterion)
        self.criterion.__class__ = _weighted(self.before)
        self.criterion.weighted_layers = self.layers

    def expect(self, ground_truth: GroundTruth | None) -> None:
        """See `WeightedLayers.expect`."""
        self.layers.expect(ground_truth)

    def take_away(self) -> None:
        """Leaves the criterion with the class that it had."""
        self.criterion.__class__ = self.before
        for name in ("weighted_layers", "layer_names"):
            vars(self.criterion).pop(name, None)


def is_weighted(criterion: Any) -> bool:
    """Whether there are weights in it."""
    return hasattr(criterion, "weighted_layers")


@cache
def _weighted(kind: type) -> type:
    """The criterion with the losses of classes and boxes weighed."""

    class Weighted(kind):
        layer_names: Mapping[int, str] = MappingProxyType({})

        def __reduce__(self) -> tuple[Any, ...]:
            return _empty, (kind,), vars(self)

        def forward(self, outputs: Any, targets: Any, *given: Any, **named: Any) -> Any:
            self.layer_names = layer_names(outputs, "aux_outputs")
            return super().forward(outputs, targets, *given, **named)

        def loss_labels(
            self, outputs: Any, targets: Any, indices: Any, num_boxes: Any, log: bool = True, **named: Any
        ) -> dict[str, Tensor]:
            @cache
            def stock() -> dict[str, Tensor]:
                return super(Weighted, self).loss_labels(outputs, targets, indices, num_boxes, log, **named)

            layer = self._layer(outputs, targets, indices, num_boxes)
            losses = {"loss_ce": self.weighted_layers.classification(layer, lambda: stock()["loss_ce"])}
            if log:
                with torch.no_grad():
                    losses["class_error"] = stock()["class_error"]
            return losses

        def loss_boxes(
            self, outputs: Any, targets: Any, indices: Any, num_boxes: Any, **named: Any
        ) -> dict[str, Tensor]:
            def stock() -> dict[str, Tensor]:
                return super(Weighted, self).loss_boxes(outputs, targets, indices, num_boxes, **named)

            return self.weighted_layers.boxes(self._layer(outputs, targets, indices, num_boxes), stock)

        def _layer(self, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> Layer:
            name = self.layer_names.get(id(outputs), "last") if self.training else ""
            return Layer(name, outputs, targets, _of_objects(targets, indices), num_boxes)

    return Weighted


def _empty(kind: type) -> Any:
    """A weighted criterion to be filled: a class made at run time is not found by name when it is unpickled."""
    weighted: Any = _weighted(kind)
    return weighted.__new__(weighted)


def _of_objects(targets: Any, indices: Indices) -> Indices:
    """Without the pairs of rows that only fill targets up to a fixed size."""
    if not targets or "valid" not in targets[0]:
        return indices
    is_object = [target["valid"].bool().to(of.device)[of] for target, (_, of) in zip(targets, indices, strict=True)]
    return [(query[keep], of[keep]) for (query, of), keep in zip(indices, is_object, strict=True)]
