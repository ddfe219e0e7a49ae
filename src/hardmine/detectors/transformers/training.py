"""A recipe in the training of a model of transformers, by its Trainer or in a loop of one's own."""

from pathlib import Path
from typing import Any

from hardmine.detectors.attached import Attached
from hardmine.detectors.mined_images import DrawnImages, weights_of_files
from hardmine.detectors.transformers.loss import Seam, make_heads
from hardmine.detectors.transformers.segmentation import is_segmenter
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["AttachedToModel", "attach"]


def attach(model: Any, recipe: Recipe, *, mined: Path | str | None = None) -> "AttachedToModel":
    """Weighs the losses of a detector of transformers, whoever trains it.

        attached = hardmine.attach(model, hardmine.recipes.hnm())
        Trainer(model, ..., callbacks=[attached.callback()]).train()           # saves what samplings remember
        attached.trainer_class(Trainer, files)(model, ...)                     # and draws mined images

    Raises: ConfigError: another kind of model.  EvidenceError: a recipe that the heads do not take.
    """
    if is_segmenter(model):
        raise ConfigError(
            f"{type(model).__name__} computes its loss inside its forward, where nothing can be attached: use "
            "hardmine.wrap(model, recipe)"
        )
    return AttachedToModel(model, recipe, mined)


class AttachedToModel(Attached):
    """The recipe in the loss function of a model; its state is no part of the model's."""

    def __init__(self, model: Any, recipe: Recipe, mined: Path | str | None = None):
        super().__init__(make_heads(model, recipe))
        self.mined = None if mined is None else Path(mined)
        self._seam = Seam(model, self.heads)

    def detach(self) -> None:
        self._seam.take_away()

    def callback(self) -> Any:
        """A TrainerCallback: writes what samplings remember into each checkpoint, and goes back to it on resuming."""
        from transformers import TrainerCallback

        attached = self

        class State(TrainerCallback):
            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.is_world_process_zero and attached.remembers:
                    attached.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")

            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if not state.global_step or not attached.remembers:
                    return
                attached.load(_checkpoint_of(args, state.global_step))

        return State()

    def trainer_class(self, trainer: type, files: list[str]) -> type:
        """A subclass of a Trainer that draws the images of its training set by their mined weights.

        Args: files: the path of each image of the training set, in its order.
        Raises: ConfigError: nothing mined was given to `attach`.  DataError: an image that was not mined.
        """
        if self.mined is None:
            raise ConfigError("there are no mined images to draw: hardmine.attach(model, recipe, mined=FOLDER)")
        weights = weights_of_files(self.mined, files)

        class Drawing(trainer):
            def _get_train_sampler(self, train_dataset: Any = None) -> Any:
                dataset = self.train_dataset if train_dataset is None else train_dataset
                if len(dataset) != len(weights):
                    raise ConfigError(f"got {len(weights)} files of {len(dataset)} images; give one for each, in order")
                return DrawnImages(weights, len(weights), self.args.seed)

        return Drawing


def _checkpoint_of(args: Any, step: int) -> Path:
    """The folder that a Trainer resumes from: the one that its arguments name, or that of the step in its output."""
    given = args.resume_from_checkpoint
    return Path(given) if isinstance(given, str) else Path(args.output_dir) / f"checkpoint-{step}"
