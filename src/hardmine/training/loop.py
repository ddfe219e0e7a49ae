"""From a configuration to a complete run folder: what is done in which order, and what is left behind if it stops."""

import logging
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hardmine.training.config import TrainingConfig
from hardmine.training.folder import IMAGES, RunFolder
from hardmine.training.measure import environment
from hardmine.training.processes import start_accelerator
from hardmine.training.progress import Reporter
from hardmine.training.run import save_weights
from hardmine.training.tasks import task_of
from hardmine.training.tasks.task import Data
from hardmine.training.tracking import Tracking, check_tracker
from hardmine.training.trainer import Trainer

__all__ = ["RunResult", "train"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run: where it lies, how good it is, what it cost.

    `metrics` are `Metrics`, of a segmentation `MaskMetrics`. `rows` are the lines of `metrics.jsonl`;
    `seconds_per_step` is the median over all steps of the median epoch.
    """

    folder: RunFolder
    config: TrainingConfig
    metrics: Any
    rows: tuple[dict[str, Any], ...]

    @property
    def predictions(self) -> Path:
        """COCO results on the validation split, or the folder of the masks."""
        return task_of(self.config).predictions(self.folder, self.config.measured_split)

    @property
    def main(self) -> float | None:
        """The measure that recipes are compared by: AP, or mIoU."""
        return getattr(self.metrics, task_of(self.config).main)

    @property
    def seconds_per_step(self) -> float:
        """Median time of one optimiser step, loading of images left out."""
        return statistics.median(row["seconds_per_step"] for row in self.rows)

    @property
    def peak_memory_mb(self) -> float:
        """Highest of all epochs, in MiB; `rows` say of what (`peak_memory_of`)."""
        return max(row["peak_memory_mb"] for row in self.rows)


def train(config: TrainingConfig, out: Path | str, *, resume: bool = False, progress: bool = True) -> RunResult:
    """Trains a detector or a segmenter as the configuration says and leaves a complete run folder.

    Runs on the CPU, on one GPU, or unchanged on several processes under `accelerate launch` or `torchrun`.

    Args:
        resume: continue the run in `out` after its last finished epoch; start it where there is none.
        progress: show bars, if on a terminal.

    Raises:
        ConfigError, DataError: a configuration or a data set that cannot be used; nothing was written.
        RunError: `out` holds something else or a checkpoint that does not fit; a full disk; a loss that is not finite.
    """
    check_tracker(config.track)
    # a DETR has parameters for denoising, which is off in a batch without objects, and RF-DETR some for masks
    accelerator = start_accelerator(config.precision, uses_all=not config.framework.matches_sets)
    train_data, val_data = task_of(config).open_training_data(config)
    trainer = Trainer(config, accelerator, train_data)
    folder = RunFolder(Path(out))
    try:
        _open(folder, trainer, {"training": train_data, "validation": val_data}, resume)
        return _run(folder, trainer, val_data, progress)
    finally:
        accelerator.free_memory()


def _open(folder: RunFolder, trainer: Trainer, data: Mapping[str, Data], resume: bool) -> None:
    accelerator = trainer.accelerator
    if accelerator.is_main_process:
        start = folder.start_or_continue if resume else folder.start
        images = {name: {"number": len(of), "hash": of.hash_of_images()} for name, of in data.items()}
        package = trainer.config.framework.package
        start(trainer.config, environment(accelerator.device, accelerator.num_processes, package) | {IMAGES: images})
        trainer.task.write_planted(folder.label_errors, data["training"])
    accelerator.wait_for_everyone()
    if folder.checkpoint.exists():
        trainer.restore(folder.checkpoint)


def _run(folder: RunFolder, trainer: Trainer, val_data: Data, progress: bool) -> RunResult:
    is_main = trainer.accelerator.is_main_process
    with Tracking(folder, trainer.config, is_main=is_main) as tracking:
        tracking.start(trainer.rows, trainer.epochs)
        _run_epochs(folder, trainer, val_data, tracking, progress)
        metrics = _metrics(trainer)
        if is_main:
            folder.write_rows(trainer.rows)
            save_weights(folder, trainer.final_detector, trainer.task.facts(val_data))
        tracking.finish(metrics)
    trainer.accelerator.wait_for_everyone()
    return RunResult(folder, trainer.config, metrics, tuple(trainer.rows))


def _run_epochs(folder: RunFolder, trainer: Trainer, val_data: Data, tracking: Tracking, progress: bool) -> None:
    is_main = trainer.accelerator.is_main_process
    with Reporter(trainer.epochs, len(trainer.rows) + 1, enabled=progress, is_main=is_main) as reporter:
        try:
            while len(trainer.rows) < trainer.epochs:
                _run_epoch(folder, trainer, val_data, reporter)
                tracking.log(trainer.rows[-1])
        except KeyboardInterrupt:
            message = f"stopped after epoch {len(trainer.rows)}; continue with the same command and --resume"
            reporter.say(message, logging.WARNING)
            raise


def _run_epoch(folder: RunFolder, trainer: Trainer, val_data: Data, reporter: Reporter) -> None:
    row = trainer.run_epoch(reporter)
    if trainer.has_diverged(row) and not any(map(trainer.has_diverged, trainer.rows)):
        reporter.say(
            f"the training has diverged: the mean loss of epoch {row['epoch']} is {row['loss']:.3g}, so what it finds "
            "is nonsense; train again with a lower --lr, or a lower --clip-norm",
            logging.WARNING,
        )
    if trainer.recorder is not None:
        trainer.recorder.write(folder.dynamics, row["epoch"], trainer.accelerator)
    every = trainer.config.eval_every or trainer.epochs
    if row["epoch"] == trainer.epochs or row["epoch"] % every == 0:
        row |= _evaluate(folder, trainer, val_data, reporter).to_dict()
    trainer.rows.append(row)
    if trainer.accelerator.is_main_process:  # first the checkpoint: the rows in it are the ones that count
        trainer.save(folder.checkpoint)
        folder.write_rows(trainer.rows)
    reporter.epoch_done(row)


def _evaluate(folder: RunFolder, trainer: Trainer, val_data: Data, reporter: Reporter) -> Any:
    found = trainer.task.find(
        trainer.final_detector,
        val_data,
        trainer.accelerator,
        batch_size=trainer.config.images_per_step,
        workers=trainer.workers,
        watch=reporter.evaluating,
    )
    found.write(trainer.task.predictions(folder, trainer.config.measured_split))
    return found.metrics


def _metrics(trainer: Trainer) -> Any:
    kind = trainer.task.metrics
    return kind(**{field.name: trainer.rows[-1][field.name] for field in fields(kind)})
