"""A segmenter of transformers in a loop of one's own: SegFormer, whose model computes its loss inside its forward.

There is no loss function of its to put a recipe into, so its loss is computed anew, of the scores that it gives.
"""

from typing import Any

from torch import Tensor

from hardmine.detectors.segmenter import Segmenter, resized_logits
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["SEGMENTERS", "TransformersSegmenter", "is_segmenter"]

SEGMENTERS = ("segformer",)
"""Types of configuration whose loss is the cross entropy of scores that are brought to the size of the masks."""


def is_segmenter(model: Any) -> bool:
    return type(model).__name__.endswith("ForSemanticSegmentation")


class TransformersSegmenter(Segmenter):
    """A segmenter of transformers under a recipe. What its configuration calls ignored is ignored.

    Raises: ConfigError: a segmenter whose loss is another.
    """

    def __init__(self, model: Any, recipe: Recipe):
        kind = model.config.model_type
        if kind not in SEGMENTERS:
            raise ConfigError(
                f"got transformers' {type(model).__name__}; of its segmenters {', '.join(SEGMENTERS)} is adapted"
            )
        super().__init__(model, recipe, model.config.num_labels, kind)
        self.ignored = model.config.semantic_loss_ignore_index

    def scores(self, images: Tensor) -> Tensor:
        return resized_logits(self.model(pixel_values=images).logits, images.shape[2:])

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"classification": self.head(self.scores(images), labels)}
