"""A second model behind the last layer of a detector or a segmenter: the layer is replaced by one that asks both."""

from typing import Any

from torch import Tensor, nn

from hardmine.detectors import Detector, Segmenter
from hardmine.errors import ConfigError, ShapeError
from hardmine.experts.mixture import SecondModel

__all__ = ["Merged", "add_expert", "last_layer", "remove_expert"]

PREDICTOR, CLASSIFIER, SEGFORMER = "roi_heads.box_predictor", "classifier", "decode_head.classifier"


class Merged(nn.Module):
    """A last layer and a second model beside it, with the layer's own form of output.

    The layer is one of RoIs (features (n, d) or (n, d, 1, 1), output scores (n, C) and boxes, which stay its own) or
    one of pixels (features (B, d, H, W), output (B, C, H, W)).

    Raises: ShapeError: the second model is made for other features or classes.
    """

    def __init__(self, base: nn.Module, second: SecondModel):
        super().__init__()
        self.base, self.second = base, second

    @property
    def num_classes(self) -> int:
        """Columns of the scores, background included."""
        return self.second.num_classes

    def forward(self, features: Tensor) -> Any:
        said = self.base(features)
        logits, others = (said[0], tuple(said[1:])) if isinstance(said, tuple) else (said, ())
        seen, scores = _rows(features, logits.dim()), _rows(logits, logits.dim())
        self._check(seen, scores)
        merged = self.second(seen.to(scores.dtype), scores)
        if logits.dim() > 2:
            merged = merged.unflatten(0, (len(logits), *logits.shape[2:])).movedim(-1, 1)
        return (merged, *others) if others else merged

    def _check(self, seen: Tensor, scores: Tensor) -> None:
        expected = (self.second.num_features, self.second.num_classes)
        if (seen.shape[1], scores.shape[1]) != expected or len(seen) != len(scores):
            raise ShapeError(
                f"got features {tuple(seen.shape)} and scores {tuple(scores.shape)} of {type(self.base).__name__}, but "
                f"the {type(self.second).__name__} was made for (n, {expected[0]}) and (n, {expected[1]}); fit one on "
                "samples of this model"
            )


def _rows(values: Tensor, dims: int) -> Tensor:
    """(n, K) of (n, K, ...) RoIs, or of (B, K, H, W) pixels, row by row."""
    return values.flatten(1) if dims == 2 else values.movedim(1, -1).flatten(0, -2)


def add_expert(model: Any, second: SecondModel, at: str | None = None) -> Merged:
    """Puts a second model behind the last layer of a model: its inference, in its framework's form, is the mixture.

        detector = hm.wrap(model, recipe)                     # trained on all images but some
        samples = hm.experts.collect(detector, held_out)
        hm.experts.add_expert(model, hm.experts.fit_expert(samples))

    Its state_dict has the layer as `base` and the second model as `second` in the place of the layer. The model may be
    trained on, and all of it learns then, through the mixture.

    Args: model: torchvision's Fast or Faster R-CNN, FCN or DeepLabV3, transformers' SegFormer, or what `wrap` makes of
        one; or any, where `at` says which layer.  at: a path such as "roi_heads.box_predictor" to a module that takes
        features and gives scores.
    Raises: ConfigError: no such layer, or one that has an expert.
    """
    place, name, layer = last_layer(model, at)
    if isinstance(layer, Merged):
        raise ConfigError(f"model.{name} has an expert already; take it off first, by remove_expert")
    merged = Merged(layer, second).train(layer.training)
    _set(place, name, merged)
    return merged


def remove_expert(model: Any, at: str | None = None) -> SecondModel:
    """Puts the last layer back, and gives what stood beside it. Raises: ConfigError: it has none."""
    place, name, layer = last_layer(model, at)
    if not isinstance(layer, Merged):
        raise ConfigError(f"model.{name} is a {type(layer).__name__} without an expert")
    _set(place, name, layer.base)
    return layer.second


def last_layer(model: Any, at: str | None = None) -> tuple[nn.Module, str, nn.Module]:
    """The model itself, the path to its last layer, and the layer.

    Raises: ConfigError: the layer is not known, or not there.
    """
    own: nn.Module = model.model if isinstance(model, Detector | Segmenter) else model
    path = at if at is not None else _usual_path(own)
    try:
        return own, path, own.get_submodule(path)
    except AttributeError as error:
        raise ConfigError(f"{type(own).__name__} has no module at {path!r}; give the path of its last layer") from error


def _usual_path(model: nn.Module) -> str:
    for path in (PREDICTOR, SEGFORMER):
        if _has(model, path):
            return path
    if _has(model, CLASSIFIER) and isinstance(layers := model.get_submodule(CLASSIFIER), nn.Sequential):
        return f"{CLASSIFIER}.{len(layers) - 1}"
    raise ConfigError(
        f"the last layer of {type(model).__name__} is not known: expected one with {PREDICTOR}, with a {CLASSIFIER} of "
        f"layers in a row, or with {SEGFORMER}; say which it is with at=, if one layer gives all scores"
    )


def _has(model: nn.Module, path: str) -> bool:
    try:
        return model.get_submodule(path) is not None
    except AttributeError:
        return False


def _set(model: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, layer)
