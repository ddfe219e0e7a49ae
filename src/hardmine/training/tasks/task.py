"""What every task says of itself, and how trainings and comparisons go by it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from hardmine.training.batches import Augmentation
from hardmine.training.config import TrainingConfig
from hardmine.training.folder import RunFolder
from hardmine.training.summed import SummedLoss

__all__ = ["Asked", "Data", "Found", "Judged", "Metrics", "Task"]


class Data(Protocol):
    """What is asked of a data set, whatever its labels are."""

    name: str
    split: str
    classes: tuple[str, ...]

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...
    def hash_of_images(self) -> str: ...


class Metrics(Protocol):
    """The measures of one model on one data set."""

    def to_dict(self) -> dict[str, Any]: ...


class Found(Protocol):
    """What a model found in a data set. Every process has it, and asks for all of it."""

    @property
    def metrics(self) -> Any: ...
    def write(self, path: Path) -> None: ...


class Judged(Protocol):
    """What was found, judged once, to be measured on draws of the images (R, I): measure -> (R,)."""

    def measures(self, image_counts: np.ndarray, names: Iterable[str] | None = None) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to use a finished run on; what is None is the run's own.

    needs_labels: whether images without labels are of no use.
    """

    data: str | Path | None = None
    split: str | None = None
    images: Path | None = None
    allow_unlabelled: bool = False
    proposals: str | None = None
    needs_labels: bool = True


class Task(ABC):
    """One task.

    name: as `TrainingConfig.task` has it.  model: the class of what is trained.
    main, called: the measure that verdicts are of, and what it is called in a sentence.
    columns: what the table of a comparison shows of each recipe, measure -> title; the first is `main`.
    metrics: the class of the measures of a run, a dataclass whose fields stand in a row of `metrics.jsonl`.
    recipes: what is compared where nothing is said.
    """

    name: ClassVar[str]
    model: ClassVar[type[nn.Module]]
    main: ClassVar[str]
    called: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    metrics: ClassVar[type]
    recipes: ClassVar[str]

    @abstractmethod
    def open_training_data(self, config: TrainingConfig) -> tuple[Any, Any]:
        """What to learn from and what to measure on. Raises: ConfigError, DataError: it cannot be used."""

    @abstractmethod
    def open_measured_data(self, config: TrainingConfig, split: str | None = None) -> Any:
        """What to measure on, or another split; known to have something to measure. Raises: as above."""

    @abstractmethod
    def open_asked(self, config: TrainingConfig, classes: Mapping[int | str, str], asked: Asked) -> Any:
        """What to use a finished run on. classes: what it learnt, by category id. Raises: as above."""

    @abstractmethod
    def groups(self, dataset: Any, by: str) -> np.ndarray:
        """The name of the group of each image, (I,). Raises: ConfigError, DataError: as `groups_of`."""

    @abstractmethod
    def image_weights(self, config: TrainingConfig, dataset: Any) -> np.ndarray | None:
        """How often each image is drawn, (I,); None: all alike. Raises: DataError: a mined folder cannot be used."""

    @abstractmethod
    def augmentation(self, config: TrainingConfig, images: Any = None, dataset: Any = None) -> Augmentation:
        """What changes a training image and its target, and what makes a batch of several.

        Args: images: (image, target) by number, of the data set, to cut out what is added; None: nothing is.
        Raises: ConfigError, DataError: a mined folder cannot be used.
        """

    @abstractmethod
    def tensors(self, targets: Any) -> Any:
        """What of the targets of a batch goes to the device."""

    @abstractmethod
    def summed(self, model: Any, config: TrainingConfig) -> SummedLoss:
        """The model with its losses and their sum."""

    @abstractmethod
    def find(
        self,
        model: Any,
        dataset: Any,
        accelerator: Accelerator,
        *,
        batch_size: int = 8,
        workers: int = 0,
        watch: Callable[[DataLoader[Any]], Iterable[Any]] = iter,
    ) -> Found:
        """What the model finds in a data set, in float32; the model is left in evaluation mode."""

    @abstractmethod
    def predictions(self, folder: RunFolder, split: str) -> Path:
        """Where a run keeps what was found in a split."""

    @abstractmethod
    def is_kept(self, folder: RunFolder, dataset: Any) -> bool:
        """Whether a run keeps what was found in a data set, all of it."""

    @abstractmethod
    def read(self, folder: RunFolder, dataset: Any) -> Any:
        """What a run keeps of that. Raises: RunError, DataError: it is not there, or cannot be read."""

    @abstractmethod
    def judge(self, dataset: Any, found: Any) -> Judged:
        """Judges what `read` gives."""

    @abstractmethod
    def refuse_out(self, out: Path) -> None:
        """Raises: RunError: predictions cannot go there, since something is there."""

    @abstractmethod
    def write_found(
        self, model: Any, dataset: Any, accelerator: Accelerator, out: Path, config: TrainingConfig, asked: Asked
    ) -> None:
        """Writes what the model finds, for the user. Raises: RunError: it cannot be written."""

    @abstractmethod
    def facts(self, dataset: Any) -> dict[str, Any]:
        """What the labels 0..C-1 mean, for the header of the weights: classes, category_ids, own_category_ids."""

    @abstractmethod
    def write_planted(self, file: Path, train_data: Any) -> None:
        """Writes the label errors that were planted in what is learnt from; nothing where none were asked for."""

    @abstractmethod
    def hardly_learnt(self, recipes: Iterable[Mapping[str, float | None]]) -> str | None:
        """What to say where all recipes find next to nothing, from their mean measures; None: not all do."""
