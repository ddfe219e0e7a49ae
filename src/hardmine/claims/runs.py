"""One cache of trainings for all claims: what is finished is not trained again, whichever claim asked for it first.

FOLDER/runs/<cell>/seed<k> is an ordinary run folder. One whose loss diverged holds `diverged.json` instead of weights:
that too is an answer, and is not tried again.
"""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hardmine.claims.claim import Cell
from hardmine.claims.scales import Scale
from hardmine.comparison.together import Job, suitable_processes, train_all
from hardmine.data import DetectionDataset
from hardmine.errors import RunError
from hardmine.evaluation import Judged, judge, resamples
from hardmine.files.reading import parse_json, read_text
from hardmine.files.writing import write_json
from hardmine.predictions import read_results
from hardmine.training import RunFolder
from hardmine.training.data import open_measured_data
from hardmine.training.evidence import TrainedRun, open_run
from hardmine.training.folder import refuse_other_config

__all__ = ["Runs", "Training"]

logger = logging.getLogger("hardmine")

DIVERGED = "diverged.json"


@dataclass(frozen=True, slots=True)
class Training:
    """A cell under a seed."""

    cell: Cell
    seed: int

    @property
    def folder(self) -> Path:
        """Where it lies, in the folder of all runs."""
        return Path(self.cell.label) / f"seed{self.seed}"


@dataclass(slots=True)
class Runs:
    """The trainings of one scale, in a folder; what was read or computed of them once is kept."""

    folder: Path
    scale: Scale
    kept: dict[Any, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.scale.seeds

    def trainings(self, cells: Sequence[Cell]) -> list[Training]:
        """All of these cells, each once: all seeds of the first, then of the second."""
        return [Training(cell, seed) for cell in dict.fromkeys(cells) for seed in self.seeds]

    def path(self, training: Training) -> Path:
        return self.folder / "runs" / training.folder

    def missing(self, cells: Sequence[Cell]) -> list[Training]:
        """Those that are not finished.

        Raises: RunError: a folder holds a run of another training.
        """
        return [training for training in self.trainings(cells) if not self._is_finished(training)]

    def train(self, cells: Sequence[Cell], jobs: int | None = None, *, progress: bool = True) -> None:
        """Trains what is missing, several at a time if asked for.

        Raises: as `train_all`; RunError also where a folder holds another run.
        """
        missing = self.missing(cells)
        asked = [self._job(number, training) for number, training in enumerate(missing, start=1)]
        if not asked:
            return
        num = jobs or suitable_processes(asked[0].config, len(asked))
        done = train_all(asked, min(num, len(asked)), resume=True, progress=progress)
        for job, result in zip(asked, done, strict=True):
            if result is None:
                write_json(job.folder / DIVERGED, {"diverged": job.name})

    def is_diverged(self, training: Training) -> bool:
        return (self.path(training) / DIVERGED).exists()

    def rows(self, training: Training) -> list[dict[str, Any]]:
        """A line an epoch; fewer where it diverged."""
        file = RunFolder(self.path(training)).metrics
        return [json.loads(line) for line in read_text(file).splitlines()] if file.exists() else []

    def last(self, cell: Cell, name: str) -> np.ndarray:
        """A number of the last epoch, or NaN where it diverged, (S,)."""
        return self.over_seeds(cell, lambda of: math.nan if self.is_diverged(of) else self.rows(of)[-1][name])

    def over_seeds(self, cell: Cell, number: Callable[[Training], float]) -> np.ndarray:
        """A number of each of its trainings, (S,)."""
        return np.array([number(training) for training in self.trainings([cell])], dtype=float)

    def measure(self, cell: Cell, name: str = "ap") -> np.ndarray:
        """A measure of what its runs find, on the measured images and on draws of them: (1 + R, S), as `judge` has it.

        0 where a training diverged: it finds nothing.
        """
        return np.stack([self._measure(training, name) for training in self.trainings([cell])], axis=1)

    def predictions(self, training: Training) -> list[dict[str, Any]]:
        """COCO results on the measured split; none where it diverged."""
        if self.is_diverged(training):
            return []
        return read_results(RunFolder(self.path(training)).predictions(self.dataset.split), self.dataset)

    def trained(self, training: Training, *, on_measured: bool = False) -> TrainedRun:
        """Its detector with some of its training batches, or with batches of what is measured.

        Raises: RunError: it diverged, so there is no detector.
        """
        if self.is_diverged(training):
            raise RunError(f"{self.path(training)} diverged, so there is no detector to look at")
        split = self.scale.config(training.cell, training.seed).measured_split if on_measured else None
        return open_run(self.path(training), None, split)

    @property
    def dataset(self) -> DetectionDataset:
        """What all of them are measured on."""
        return self.keep("dataset", lambda: open_measured_data(self.scale.config(Cell("fasterrcnn", "random"), 0)))

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The same as a COCO dictionary."""
        return self.keep("ground truth", self.dataset.coco_ground_truth)

    @property
    def draws(self) -> np.ndarray:
        """How often each measured image is in each draw, (1 + R, I)."""
        return self.keep("draws", lambda: resamples(len(self.dataset)))

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made once under this key."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def judged(self, training: Training) -> Judged:
        """Its predictions, judged."""
        return self.keep((training, "judged"), lambda: judge(self.ground_truth, self.predictions(training)))

    def _measure(self, training: Training, name: str) -> np.ndarray:
        return self.keep((training, name), lambda: self.judged(training).measures(self.draws, [name])[name])

    def _job(self, number: int, training: Training) -> Job:
        config = self.scale.config(training.cell, training.seed)
        name = f"{training.cell.label}, seed {training.seed}"
        return Job(number, name, config, self.path(training), may_diverge=True)

    def _is_finished(self, training: Training) -> bool:
        folder = RunFolder(self.path(training))
        if not folder.config.exists():
            return False
        config = self.scale.config(training.cell, training.seed)
        refuse_other_config(parse_json(read_text(folder.config)), config, folder.config)
        return folder.weights.exists() or self.is_diverged(training)
