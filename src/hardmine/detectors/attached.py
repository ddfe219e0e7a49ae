"""What `attach` leaves in a framework's model: the heads of a recipe, whose state is saved beside its checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.training_time import set_progress
from hardmine.errors import RunError

__all__ = ["STATE_FILE", "Attached"]

STATE_FILE = "hardmine.safetensors"
"""Beside a framework's own checkpoint: what samplings remember."""


class Attached(ABC):
    """The recipe in a framework's loss.

    heads: one for each place where the framework computes losses, outside of its model.
    """

    def __init__(self, heads: dict[str, FrameworkHead]):
        self.heads = nn.ModuleDict(heads)
        self.when_made: list[Callable[[], None]] = []
        """Called whenever a trainer of the framework has had the heads made anew."""

    @abstractmethod
    def detach(self) -> None:
        """Leaves the model as it was."""

    def set_progress(self, progress: float) -> None:
        """Tells the heads how far training is, before each step; see `set_progress` of the equation."""
        set_progress(self.heads, progress)

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Within it the heads see every step, also where the framework would take a shorter path around them."""
        yield

    @property
    def remembers(self) -> bool:
        """Whether any of the samplings has a state."""
        return bool(self.heads.state_dict())

    def save(self, folder: Path | str) -> None:
        """Writes `hardmine.safetensors`: what the samplings remember, for `load` when the training is resumed."""
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.heads.state_dict().items()}
        save_file(state, Path(folder) / STATE_FILE)

    def load(self, folder: Path | str) -> None:
        """Goes back to what `save` wrote. Raises RunError: it is not there, or of another recipe."""
        file = Path(folder) / STATE_FILE
        try:
            self.heads.load_state_dict(load_file(file))
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{file}: not the state of this recipe's samplings ({reason})") from error
