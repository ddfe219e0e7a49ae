"""The recipe in the loss function of a model of transformers.

A model calls `self.loss_function`, a plain function that makes its criterion anew for every batch. The seam is a copy
of that function which makes a subclass of the criterion instead: nothing global changes, and no module of ours is a
child of the model (a module in the function's place would be taken for one, and not be called).
"""

from collections.abc import Mapping
from types import FunctionType
from typing import Any

from torch import nn

from hardmine.core.samples import GroundTruth
from hardmine.detectors.traits import set_traits
from hardmine.detectors.transformers.criteria import Criterion, criterion_of
from hardmine.detectors.weighted_layers import Layer, WeightedLayers, layer_names
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.recipe import Recipe
from hardmine.errors import FrameworkError

__all__ = ["Seam", "make_heads"]

AUXILIARY, DENOISING = "auxiliary_outputs", "dn_auxiliary_outputs"
OWN = "_loss_function"
"""Under this name a model keeps a function that was set."""
STOCK = "stock"
"""Under this name a weighted function has the one that it was made of."""


def make_heads(model: Any, recipe: Recipe) -> dict[str, FrameworkHead]:
    """The weights of each layer under the recipe: the last, the others of the decoder, and the encoder's queries."""
    config = model.config
    traits = set_traits("transformers", config.num_labels, criterion_of(model).activation)
    layers = getattr(config, "decoder_layers", None) or 1  # YOLOS has no decoder, and one set of queries
    names = ["last", *(f"aux_{layer}" for layer in range(layers)), "encoder"]
    return {name: FrameworkHead(traits, recipe) for name in names}


class Seam:
    """A model's loss function with weights in it, and the way back.

    Raises: ConfigError: a model whose losses are not adapted.  FrameworkError: its loss function has no such criterion.
    """

    def __init__(self, model: Any, heads: nn.ModuleDict):
        criterion = criterion_of(model)
        self.layers = WeightedLayers(criterion.dialect(model.config), heads)
        self.before = vars(model).get(OWN)
        stock = getattr(model.loss_function, STOCK, model.loss_function)  # of a model that had a recipe before
        kind = getattr(stock, "__globals__", {}).get(criterion.kind)
        if kind is None:
            raise FrameworkError(
                f"the loss function of {type(model).__name__} makes no {criterion.kind}; "
                "give the model's own, of a version of transformers that was tried"
            )
        made = {**stock.__globals__, criterion.kind: _weighted(kind, criterion, self.layers)}
        weighted = FunctionType(stock.__code__, made, stock.__name__, stock.__defaults__, stock.__closure__)
        setattr(weighted, STOCK, stock)
        model.loss_function = weighted
        self.model = model

    def expect(self, ground_truth: GroundTruth | None) -> None:
        """See `WeightedLayers.expect`."""
        self.layers.expect(ground_truth)

    def take_away(self) -> None:
        """Leaves the model with the loss function that it had."""
        vars(self.model).pop(OWN, None)
        if self.before is not None:
            self.model.loss_function = self.before


def _weighted(kind: type, criterion: Criterion, layers: WeightedLayers) -> type:
    """The criterion with the losses of classes and boxes weighed."""

    class Weighted(kind):
        def forward(self, outputs: Mapping[str, Any], targets: Any) -> Any:
            self.names = layer_names(outputs, AUXILIARY, DENOISING)
            return super().forward(outputs, targets)

        def get_loss(self, loss: str, outputs: Any, targets: Any, indices: Any, num_boxes: Any) -> dict[str, Any]:
            def stock() -> dict[str, Any]:
                return super(Weighted, self).get_loss(loss, outputs, targets, indices, num_boxes)

            layer = Layer(self.names.get(id(outputs), "last"), outputs, targets, indices, num_boxes)
            if loss == criterion.classes:
                return {criterion.term: layers.classification(layer, lambda: stock()[criterion.term])}
            return layers.boxes(layer, stock) if loss == "boxes" else stock()

    return Weighted
