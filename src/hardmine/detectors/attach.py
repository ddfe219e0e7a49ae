"""Putting a recipe into the loss of a model that its own framework trains."""

from pathlib import Path
from typing import Any

from hardmine.detectors.attached import Attached
from hardmine.detectors.frameworks import framework_of
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["attach"]


def attach(model: Any, recipe: Recipe, *, mined: Path | str | None = None) -> Attached:
    """Weighs the framework's own loss by the recipe, in the framework's own training.

        model = ultralytics.YOLO("yolo11n.pt")
        hardmine.attach(model, hardmine.recipes.hnm())
        model.train(data="data.yaml")                   # their trainer, their augmentation, their checkpoints

    Nothing of it is in a checkpoint, which opens where hardmine is not installed. With a recipe that sets nothing
    (`random`) the training is the framework's, bit for bit. Evaluation is never weighed.

    Args: model: ultralytics' YOLO, a detector of transformers, or rfdetr's RFDETRModelModule.
        mined: a folder of `hardmine mine` on the images that are trained on: images are drawn by the weights in it,
            where the framework's sampler can be told.
    Returns: what was put there, to save or to take away again.
    Raises: ConfigError: a model that nothing can be attached to.  EvidenceError: a recipe that it does not take.
        FrameworkError: a version of the framework that was not tried.
    """
    framework = framework_of(model)
    if framework.package == "torchvision":
        raise ConfigError("torchvision's models have no trainer of their own: use hardmine.wrap(model, recipe)")
    return framework.adapters().attach(model, recipe, mined=mined)
