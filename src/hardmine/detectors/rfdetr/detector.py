"""An rfdetr model in a loop of one's own: images resized as it is shown them, its losses weighed."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from hardmine.detectors.query_detector import IMAGENET, QueryDetector
from hardmine.detectors.rfdetr.criterion import Seam, check_module, is_weighted, make_heads
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["RFDETRDetector", "adapt"]


def adapt(model: Any, recipe: Recipe, *, image_size: int | None = None) -> "RFDETRDetector":
    """The RFDETRModelModule under the recipe. Raises ConfigError: another kind of model."""
    return RFDETRDetector(model, recipe, image_size)


class RFDETRDetector(QueryDetector):
    """RF-DETR under a recipe; the sum of its losses is what rfdetr trains on.

    Args: image_size: side of the square that images are resized to, a multiple of what patches and windows need; None
        for the model's own.
    Raises: ConfigError: another kind of model, or a size that does not divide.
        EvidenceError: a recipe that needs what queries do not have.
    """

    labels = "labels"

    def __init__(self, model: Any, recipe: Recipe, image_size: int | None = None):
        check_module(model)
        if is_weighted(model.criterion):
            raise ConfigError("a recipe is attached to this module: detach() it first, or train by rfdetr's trainer")
        super().__init__(model, _side(model.model_config, image_size), IMAGENET)
        self.heads = nn.ModuleDict(make_heads(model, recipe))
        self.criterion = deepcopy(model.criterion)  # the model's own stays as it is
        self.seam = Seam(self.criterion, self.heads)

    @property
    def num_classes(self) -> int:
        return self.model.model_config.num_classes

    def terms(self, batch: Tensor, targets: list[dict[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, float]]:
        return self.criterion(self.model.model(_masked(batch), targets), targets), self.criterion.weight_dict

    def found(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model.model(_masked(batch))
        return found["pred_logits"][..., : self.num_classes], found["pred_boxes"]


def _side(config: Any, image_size: int | None) -> int:
    step, side = config.patch_size * config.num_windows, image_size or config.resolution
    if side % step:
        raise ConfigError(
            f"rfdetr's patches of {config.patch_size} pixels in {config.num_windows} windows need an image_size "
            f"that is a multiple of {step}, got {side}"
        )
    return side


def _masked(batch: Tensor) -> Any:
    """A batch as rfdetr takes it: with a mask of what is filled up, which is nothing of a square."""
    from rfdetr.utilities.tensors import NestedTensor

    return NestedTensor(batch, batch.new_zeros(len(batch), *batch.shape[-2:], dtype=torch.bool))
