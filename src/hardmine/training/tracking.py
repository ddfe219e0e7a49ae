"""What a run tells TensorBoard, Weights & Biases or MLflow, through accelerate's trackers. It decides nothing.

The horizontal axis is optimiser steps. `tracking.json` in the run folder says how far a tracker was told and by which
id it knows the run: a run that goes on continues its curve, and one that gets a tracker late tells it all from the
first epoch. TensorBoard's files lie in `tensorboard/` of the run folder, those of W&B in `wandb/` of it unless
`WANDB_DIR` is set; MLflow has a store of its own (`MLFLOW_TRACKING_URI`).
"""

import logging
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from hardmine.errors import ConfigError, DataError, RunError
from hardmine.evaluation import MaskMetrics, Metrics
from hardmine.files.printable import printable
from hardmine.files.reading import parse_json, read_text
from hardmine.files.writing import write_json
from hardmine.training.config import TrainingConfig
from hardmine.training.folder import RunFolder

__all__ = ["Tracking", "check_tracker", "configuration_of", "values_of"]

logger = logging.getLogger("hardmine")

PROJECT = "hardmine"
"""Project of W&B and experiment of MLflow, unless `WANDB_PROJECT` and `MLFLOW_EXPERIMENT_NAME` say otherwise."""
BY_CLASS = {"per_class": "ap", "iou_per_class": "iou", "boundary_iou_per_class": "boundary iou"}
MEASURES = tuple(field.name for kind in (Metrics, MaskMetrics) for field in fields(kind) if field.name not in BY_CLASS)
UNLIKED = re.compile(r"[^\w. -]")
"""What MLflow takes in no name, and what would divide one into levels."""


def check_tracker(name: str | None) -> None:
    """Raises ConfigError: the tracker's package is not installed."""
    spec = None if name is None else find_spec(name)
    if name is not None and (spec is None or spec.origin is None):  # a folder of that name has none
        raise ConfigError(f"--track {name} needs the package {name}, which is not installed: pip install {name}")


@dataclass(slots=True)
class _Told:
    """How much a tracker knows of the run: its id there, the last step, and whether that it ended was said."""

    id: str | None = None
    step: int = -1
    is_final: bool = False


class Tracking:
    """Tells a tracker of a run, one row of `metrics.jsonl` after another; does nothing where there is none.

    A tracker that fails once the training goes on is left alone from then on, with one warning.

    Args: config: whose `track` names the tracker.  is_main: False: another process tells.
    """

    def __init__(self, folder: RunFolder, config: TrainingConfig, *, is_main: bool) -> None:
        self.folder, self.config = folder, config
        self.name = config.track if is_main else None
        self.told = _Told()
        self._tracker: GeneralTracker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracker is not None:
            self._try(self._tracker.finish)

    def start(self, rows: Sequence[Mapping[str, Any]], num_epochs: int) -> None:
        """Begins a curve, or continues the run's own, and tells all rows that were not told yet.

        Raises: RunError: the tracker cannot be started, or what was noted of it cannot be read.
        """
        if self.name is None:
            return
        check_tracker(self.name)
        noted = _read_noted(self.folder)
        self.told = noted.get(self.name, _Told())
        if self.told.is_final and len(rows) == num_epochs:
            return
        is_new = self.told.id is None
        self._tracker = self._started(self.name)
        if is_new:
            self._try(lambda tracker: tracker.store_init_configuration(configuration_of(self.config)), self._tracker)
        for row in rows:
            self.log(row)

    def log(self, row: Mapping[str, Any]) -> None:
        """Tells the row of an epoch, unless that was done."""
        if self._tracker is None or row["step"] <= self.told.step:
            return
        self._try(lambda tracker: tracker.log(values_of(row), step=row["step"]), self._tracker)
        self._note(step=row["step"])

    def finish(self, metrics: Metrics | MaskMetrics) -> None:
        """Tells the measures of the final detector by themselves."""
        if self._tracker is None:
            return
        final = {f"final/{name}": value for name, value in _numbers(_measures(metrics.to_dict()))}
        self._try(lambda tracker: tracker.log(final, step=self.told.step), self._tracker)
        self._note(is_final=True)

    def _started(self, name: str) -> GeneralTracker:
        try:
            tracker = _MADE[name](self.folder, self.told)
            tracker.start()
        except Exception as error:  # of the tracker's own kinds, which are not known here
            raise RunError(
                f"--track {name}: it cannot be started ({printable(str(error))}); put that right, leave --track out, "
                f"or delete {self.folder.tracking} to begin a curve of its own"
            ) from error
        self.told.id = self.told.id or _id_of(tracker)
        return tracker

    def _note(self, **changes: Any) -> None:
        if self._tracker is None:
            return
        for key, value in changes.items():
            setattr(self.told, key, value)
        noted = _read_noted(self.folder) | {self.name: self.told}
        write_json(self.folder.tracking, {name: asdict(told) for name, told in noted.items()})

    def _try(self, tell: Callable[..., object], *arguments: Any) -> None:
        try:
            tell(*arguments)
        except Exception as error:  # a network or a server that is away is no reason to lose a training
            logger.warning("--track %s failed (%s); the training goes on without it", self.name, printable(str(error)))
            self._tracker = None


def values_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row: `train/...` of the training, `val/...` of an evaluation, and the epoch."""
    measured = dict(_numbers(_measures(row)))
    beside = {*MEASURES, *BY_CLASS, "step", "epoch"}
    trained = _numbers((name, value) for name, value in row.items() if name not in beside)
    return {
        "epoch": row["epoch"],
        **{f"train/{name}": value for name, value in trained},
        **{f"val/{name}": value for name, value in measured.items()},
    }


def configuration_of(config: TrainingConfig) -> dict[str, int | float | str | bool]:
    """The configuration as trackers take it: one level, of plain values."""
    options = asdict(config)
    of_recipe = {f"recipe_options.{name}": value for name, value in options.pop("recipe_options").items()}
    return {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in (options | of_recipe).items()
    }


def _measures(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, row.get(name)) for name in MEASURES)
    for key, measure in BY_CLASS.items():
        yield from ((f"{measure} of {UNLIKED.sub('_', name)}", of) for name, of in (row.get(key) or {}).items())


def _numbers(values: Any) -> Iterator[tuple[str, float]]:
    for name, value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, value


def _read_noted(folder: RunFolder) -> dict[str, _Told]:
    if not folder.tracking.exists():
        return {}
    try:
        return {str(name): _Told(**told) for name, told in parse_json(read_text(folder.tracking)).items()}
    except (DataError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise RunError(f"{folder.tracking} is damaged ({error}); delete it, and the curve begins anew") from error


def _name_of(folder: RunFolder) -> str:
    return "/".join(folder.path.absolute().parts[-2:])


def _tensorboard(folder: RunFolder, told: _Told) -> GeneralTracker:
    """What an earlier process wrote of later steps than it noted is not shown."""
    return TensorBoardTracker("", folder.path / "tensorboard", purge_step=told.step + 1 if told.id else None)


def _wandb(folder: RunFolder, told: _Told) -> GeneralTracker:
    told.id = told.id or secrets.token_hex(8)
    options = {"id": told.id, "resume": "allow", "name": _name_of(folder), "settings": {"console": "off"}}
    where = {} if "WANDB_DIR" in os.environ else {"dir": str(folder.path)}
    return WandBTracker(os.environ.get("WANDB_PROJECT", PROJECT), **options, **where)


def _mlflow(folder: RunFolder, told: _Told) -> GeneralTracker:
    return MLflowTracker(PROJECT, run_id=told.id, run_name=_name_of(folder))


def _id_of(tracker: GeneralTracker) -> str:
    """By which the tracker knows the run; files in the run folder need none."""
    return tracker.tracker.info.run_id if isinstance(tracker, MLflowTracker) else "here"


_MADE: dict[str, Callable[[RunFolder, _Told], GeneralTracker]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
