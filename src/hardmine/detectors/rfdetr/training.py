"""A recipe in the training of an rfdetr model, by Lightning's trainer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hardmine.detectors.attached import Attached
from hardmine.detectors.rfdetr.criterion import Seam, check_module, is_weighted, make_heads
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError, RunError

__all__ = ["AttachedToModule", "attach"]

STATE = "hardmine"
"""Under this key a checkpoint of Lightning has what samplings remember, as plain tensors."""


def attach(module: Any, recipe: Recipe, *, mined: Path | str | None = None) -> "AttachedToModule":
    """Weighs the losses of an RFDETRModelModule, before `build_trainer`.

        attached = hardmine.attach(module, hardmine.recipes.focal())
        trainer = build_trainer(train_config, model_config)
        trainer.callbacks.append(attached.callback())                    # saves what samplings remember
        trainer.fit(module, datamodule)

    Raises: ConfigError: another kind of model; mined images, for which rfdetr's data module has no place.
        EvidenceError: a recipe that the heads do not take.
    """
    if mined is not None:
        raise ConfigError(
            "rfdetr's data module draws images by a sampler of its own, which cannot be told; train with "
            "`hardmine train --detector rfdetr:... --mined FOLDER` instead"
        )
    return AttachedToModule(module, recipe)


class AttachedToModule(Attached):
    """The recipe in the criterion of a module; its state is no part of the module's."""

    def __init__(self, module: Any, recipe: Recipe):
        check_module(module)
        super().__init__(make_heads(module, recipe))
        self._seam = Seam(module.criterion, self.heads)
        if self._is_plain:
            self._seam.take_away()  # rfdetr takes its fused path by its own class only

    @property
    def _is_plain(self) -> bool:
        return all(head.is_untouched for head in self.heads.values())

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Without its fused path, rfdetr's losses are the same up to rounding."""
        is_away = not is_weighted(self._seam.criterion)
        if is_away:
            self._seam = Seam(self._seam.criterion, self.heads)
        try:
            yield
        finally:
            if is_away:
                self._seam.take_away()

    def detach(self) -> None:
        self._seam.take_away()

    def callback(self) -> Any:
        """A callback of Lightning: keeps what samplings remember in each .ckpt, and goes back to it on resuming."""
        from pytorch_lightning import Callback

        attached = self

        class State(Callback):
            def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
                if attached.remembers:
                    checkpoint[STATE] = {name: value.cpu() for name, value in attached.heads.state_dict().items()}

            def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
                if attached.remembers:
                    attached.restore(checkpoint.get(STATE))

        return State()

    def restore(self, state: Any) -> None:
        """Goes back to what a checkpoint says. Raises RunError: it says nothing, or is of another recipe."""
        try:
            self.heads.load_state_dict(state or {})
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"the checkpoint does not have the state of this recipe's samplings ({reason}); it was written without "
                "attached.callback(), or with another recipe"
            ) from error
