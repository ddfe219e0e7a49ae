"""The run folder: where each file of a run lies, and when a folder may be written to.

config.json               the training, as `TrainingConfig`; rules already applied
env.json                  versions and hardware; how many images the run is of, and a hash of which
metrics.jsonl             one line per finished epoch
label_errors.parquet      with `label_errors`: each planted error, as it is and as it would be right
predictions_<split>.json  COCO results of the final detector; of a segmenter predictions_<split>/, a mask an image
weights.safetensors       the final weights under torchvision's own names; the classes are in its header
tracking.json             with `track`: how far the tracker was told; tensorboard/, wandb/: what it keeps
dynamics/                 with `record`: how each object was learnt, see `record`
checkpoint.safetensors    what `--resume` needs; always whole, always of the last finished epoch
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardmine.errors import ConfigError, DataError, RunError, what_failed
from hardmine.files.reading import read_text
from hardmine.files.writing import is_taken, write_atomically, write_json
from hardmine.training.config import TrainingConfig

__all__ = ["IMAGES", "RunFolder", "refuse_other_config"]

IMAGES = "images"
"""Under this name the environment of a run says which images it is of, by data set."""

_FREE_TO_CHANGE = {"workers", "compile", "track"}  # what changes no result, but for rounding
_FREE_WITHOUT_FOLDS = {"group_by"}  # it deals out folds, and otherwise only says how a comparison is judged


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def env(self) -> Path:
        return self.path / "env.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def dynamics(self) -> Path:
        return self.path / "dynamics"

    @property
    def tracking(self) -> Path:
        return self.path / "tracking.json"

    @property
    def label_errors(self) -> Path:
        return self.path / "label_errors.parquet"

    def predictions(self, split: str) -> Path:
        """Where the results on a split lie; a split that is no plain name cannot lead out of the folder."""
        return self.path / f"predictions_{Path(split).name}.json"

    def masks(self, split: str) -> Path:
        """The folder of the masks that are predicted on a split, likewise."""
        return self.predictions(split).with_suffix("")

    def start(self, config: TrainingConfig, environment: Mapping[str, object]) -> None:
        """Makes a new run folder. Raises RunError where something is there already, or where it cannot be made."""
        if is_taken(self.path):
            raise RunError(f"{self.path} exists already; choose another folder, or continue that run with --resume")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the run folder {self.path}: {what_failed(error)}") from error
        write_atomically(self.config, config.to_json().encode())  # first: from now on it is a run that can be resumed
        write_json(self.env, dict(environment))

    def start_or_continue(self, config: TrainingConfig, environment: Mapping[str, object]) -> None:
        """Makes a new run folder, or checks that the one there is of the same training (RunError otherwise)."""
        if not is_taken(self.path):
            self.start(config, environment)
            return
        refuse_other_config(json.loads(self.read_config().to_json()), config, self.config)
        if not self.env.exists():  # stopped between the two
            write_json(self.env, dict(environment))
        images = environment.get(IMAGES)
        self._refuse_other_images(images if isinstance(images, Mapping) else {})

    def _refuse_other_images(self, images: Mapping[str, object]) -> None:
        """Raises RunError: images came, went or were renamed; half a run on each would be a run on neither."""
        try:
            facts = json.loads(read_text(self.env))
        except (DataError, ValueError, RecursionError) as error:
            raise RunError(f"{self.env} is damaged ({error}); delete it, if the images are still the same") from error
        before = facts.get(IMAGES) if isinstance(facts, dict) else None
        if not isinstance(before, dict):  # runs did not always note them
            return
        for name, now in images.items():
            if before.get(name, now) != now:
                raise RunError(
                    f"{self.path}: the images of the {name} data are not those that the run was begun with; put them "
                    "back, or choose another folder"
                )

    def read_config(self) -> TrainingConfig:
        """The configuration of the run. Raises RunError where the folder is none of ours."""
        try:
            return TrainingConfig.from_json(read_text(self.config))
        except (DataError, ConfigError) as error:
            raise RunError(f"{self.path} is not a run folder: {error}") from error

    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the lines of `metrics.jsonl`, all of them, so that none is there twice or in half."""
        write_atomically(self.metrics, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def refuse_other_config(stored: Mapping[str, Any], config: TrainingConfig, source: Path) -> None:
    """Raises RunError, naming each difference, unless `stored` is this configuration in all that changes a result."""
    asked = json.loads(config.to_json())  # as stored: tuples have become lists
    there = json.loads(TrainingConfig().to_json()) | dict(stored)  # options that came since had their defaults
    free = _FREE_TO_CHANGE | (_FREE_WITHOUT_FOLDS if config.fold is None else set())
    names = [name for name in asked if name not in free and there[name] != asked[name]]
    if names:
        differences = ", ".join(f"{name} is {there[name]!r} there and {asked[name]!r} here" for name in names)
        raise RunError(f"{source} belongs to another training: {differences}. Give the same options, or another folder")
