"""A detector of transformers in a loop of one's own: images resized as it is shown them, its losses weighed."""

from typing import Any

from torch import Tensor, nn

from hardmine.detectors.query_detector import IMAGENET, QueryDetector
from hardmine.detectors.transformers.criteria import criterion_of
from hardmine.detectors.transformers.loss import Seam, make_heads
from hardmine.detectors.transformers.segmentation import TransformersSegmenter, is_segmenter
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["TransformersDetector", "adapt"]

IMAGE_SIZE = 640
SIZE_STEP = 32
AS_IT_IS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def adapt(
    model: Any, recipe: Recipe, *, image_size: int | None = None
) -> "TransformersDetector | TransformersSegmenter":
    """The model under the recipe. Raises ConfigError: a model whose losses are not adapted."""
    if is_segmenter(model):
        return TransformersSegmenter(model, recipe)
    return TransformersDetector(model, recipe, image_size)


class TransformersDetector(QueryDetector):
    """A set-prediction detector of transformers under a recipe; the sum of its losses is the model's own loss.

    Images are resized to a square of ``image_size`` pixels, as RT-DETR, D-FINE and RF-DETR are shown them.

    Raises: ConfigError: another kind of model, or images too small for its queries.
        EvidenceError: a recipe that needs what queries do not have.
    """

    labels = "class_labels"

    def __init__(self, model: Any, recipe: Recipe, image_size: int | None = None):
        kind = criterion_of(model)
        side = -(-(image_size or IMAGE_SIZE) // SIZE_STEP) * SIZE_STEP
        _check_places(model, side)
        super().__init__(model, side, IMAGENET if kind.is_normalised else AS_IT_IS)
        self.criterion, self.activation = kind, kind.activation
        self.heads = nn.ModuleDict(make_heads(model, recipe))
        self.seam = Seam(model, self.heads)

    @property
    def num_classes(self) -> int:
        return self.model.config.num_labels

    def terms(self, batch: Tensor, targets: list[dict[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, float]]:
        terms = self.model(pixel_values=batch, labels=targets).loss_dict
        return terms, {term: self.criterion.gain(term, self.model.config) for term in terms}

    def found(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        found = self.model(pixel_values=batch)
        return found.logits, found.pred_boxes


def _check_places(model: Any, side: int) -> None:
    """Raises ConfigError: a model that chooses its queries among places has fewer of these than it needs."""
    strides = getattr(model.config, "feat_strides", None)
    places = sum((side // stride) ** 2 for stride in strides or ())
    if strides and places < model.config.num_queries:
        raise ConfigError(
            f"{type(model).__name__} chooses {model.config.num_queries} queries among the places of its features, of "
            f"which an image of {side} pixels has {places}; give a larger image_size, or fewer num_queries"
        )
