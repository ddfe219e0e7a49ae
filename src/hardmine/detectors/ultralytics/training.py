"""A recipe in the training of ultralytics' own trainer, by its callbacks."""

from pathlib import Path
from typing import Any

from hardmine.detectors.attached import Attached
from hardmine.detectors.mined_images import DrawnImages, weights_of_files
from hardmine.detectors.ultralytics.criterion import check_model, losses_of, make_heads, new_criterion, put, take_away
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError

__all__ = ["AttachedToModel", "AttachedToTrainer", "attach"]

EVENTS = ("on_train_start", "on_train_epoch_start", "on_model_save")


def attach(model: Any, recipe: Recipe, *, mined: Path | str | None = None) -> Attached:
    """Weighs the losses of a YOLO in its own training, or of a DetectionModel in a loop of one's own.

    Of a YOLO the model is made anew when its training starts, and so is what weighs it: attach first, then train, also
    to resume. What samplings remember is written beside `last.pt`. Images of a mosaic that are not its first are drawn
    by ultralytics, all alike.

    Attach to a DetectionModel on the device it stays on; copies of it are not weighed.

    Raises: ConfigError: another kind of model; mined images for a model that has no trainer.
        EvidenceError: a recipe that the heads do not take.
    """
    from ultralytics.engine.model import Model

    if isinstance(model, Model):
        return AttachedToTrainer(recipe, mined, model)
    if mined is not None:
        raise ConfigError(
            "mined images are drawn by a trainer, and a DetectionModel has none; give your own loader a "
            "hardmine.mining.MinedSampler instead"
        )
    return AttachedToModel(model, recipe)


class AttachedToModel(Attached):
    """The recipe in the losses of a DetectionModel."""

    def __init__(self, model: Any, recipe: Recipe):
        check_model(model)
        if getattr(model, "criterion", None) is None:
            model.criterion = new_criterion(model)
        super().__init__(make_heads(model.criterion, recipe))
        put(model.criterion, self.heads)
        self._model = model

    def detach(self) -> None:
        take_away(self._model.criterion)


class AttachedToTrainer(Attached):
    """The recipe among the callbacks of a YOLO: each of its trainings puts it into the losses of its own model.

    A trainer on several GPUs starts processes of its own and sends them this object, with the recipe and without what
    has been learnt; heads are then those of the processes, and these here stay as they are.
    """

    def __init__(self, recipe: Recipe, mined: Path | str | None, yolo: Any = None):
        super().__init__({} if yolo is None else make_heads(new_criterion(_model_of(yolo)), recipe))
        self.recipe, self.mined = recipe, None if mined is None else Path(mined).absolute()
        self._yolo: Any = yolo
        self._criterion: Any = None
        if yolo is not None:
            for event in EVENTS:
                yolo.add_callback(event, getattr(self, event))

    def __reduce__(self) -> tuple[Any, ...]:
        return AttachedToTrainer, (self.recipe, self.mined)

    def detach(self) -> None:
        if self._criterion is not None:
            take_away(self._criterion)
        for event in EVENTS:
            added = self._yolo.callbacks[event]
            added[:] = [callback for callback in added if callback != getattr(self, event)]

    def on_train_start(self, trainer: Any) -> None:
        """Puts the recipe into the model that is trained: the trainer has made it, and its averaged copy, before."""
        from ultralytics.utils.torch_utils import unwrap_model

        model: Any = unwrap_model(trainer.model)
        check_model(model)
        if getattr(model, "criterion", None) is None:
            model.criterion = model.init_criterion()
        losses_of(model.criterion)
        self.heads.clear()
        self.heads.update(make_heads(model.criterion, self.recipe))
        put(model.criterion, self.heads)
        self._criterion = model.criterion
        for tell in self.when_made:
            tell()
        if trainer.resume and self.remembers:
            self.load(trainer.wdir)

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Says how far training is, and has images drawn by their weights.

        The trainer makes its loader anew where memory was too little.
        """
        self.set_progress(trainer.epoch / trainer.epochs)
        loader = trainer.train_loader
        if self.mined is not None and not isinstance(loader.sampler, DrawnImages):
            _draw(loader, self.mined, trainer.args.seed)

    def on_model_save(self, trainer: Any) -> None:
        """Writes what samplings remember beside the checkpoint; only the main process is told."""
        if self.remembers:
            self.save(trainer.wdir)


def _model_of(yolo: Any) -> Any:
    from torch import nn

    if not isinstance(yolo.model, nn.Module):
        raise ConfigError(f"got the exported model {yolo.model}; expected one that can be trained (.pt or .yaml)")
    return yolo.model


def _draw(loader: Any, mined: Path, seed: int) -> None:
    """Puts a weighted draw in the place of the loader's sampler."""
    from torch import distributed

    if getattr(loader.dataset, "rect", False):
        raise ConfigError("mined images are drawn at random, and rect=True trains them in a fixed order; leave it out")
    spread = distributed.is_available() and distributed.is_initialized()
    place = {"rank": distributed.get_rank(), "num_processes": distributed.get_world_size()} if spread else {}
    weights = weights_of_files(mined, loader.dataset.im_files)
    drawn = DrawnImages(weights, len(loader.sampler), seed, **place)
    object.__setattr__(loader, "sampler", drawn)  # a DataLoader refuses another by name; nothing is loaded yet
    loader.batch_sampler.sampler.sampler = drawn
    loader.reset()
