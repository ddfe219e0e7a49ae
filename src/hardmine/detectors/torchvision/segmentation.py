"""torchvision's segmenters: LR-ASPP, DeepLabV3 and FCN."""

from typing import Any

from torch import Tensor, nn

from hardmine.detectors.segmenter import Segmenter
from hardmine.detectors.traits import pixel_traits
from hardmine.equation.pixel_head import PixelHead
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["TorchvisionSegmenter"]

AUXILIARY_WEIGHT = 0.5
"""Of the auxiliary head's loss, in torchvision's training script."""


class TorchvisionSegmenter(Segmenter):
    """A segmenter of torchvision under a recipe; by default cross entropy, averaged over what is not ignored.

    An auxiliary head has a head of its own under the recipe, and half the weight.
    """

    def __init__(self, model: Any, recipe: Recipe):
        name = type(model).__name__.lower()
        num_classes = _num_classes(model.classifier)
        super().__init__(model, recipe, num_classes, name)
        has_auxiliary = getattr(model, "aux_classifier", None) is not None
        self.auxiliary = PixelHead(pixel_traits(name, num_classes), recipe) if has_auxiliary else None

    def scores(self, images: Tensor) -> Tensor:
        return self.model(images)["out"]

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        found = self.model(images)
        losses = {"classification": self.head(found["out"], labels)}
        if self.auxiliary is not None:
            losses["auxiliary"] = AUXILIARY_WEIGHT * self.auxiliary(found["aux"], labels)
        return losses


def _num_classes(classifier: nn.Module) -> int:
    """What the last convolution of a classifier says.

    Raises: ConfigError: there is none.
    """
    layers = [layer for layer in classifier.modules() if isinstance(layer, nn.Conv2d)]
    if not layers:
        raise ConfigError(
            "the number of classes is that of the last convolution of model.classifier, but this "
            f"{type(classifier).__name__} has none"
        )
    return layers[-1].out_channels
