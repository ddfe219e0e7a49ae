"""The moving parts of a training and one epoch of them.

Every epoch is a closed unit. It starts from seeds of its own, so it depends on the weights, AdamW's moments and the
step count alone, and these are what a checkpoint holds. Stopping and continuing between two epochs changes nothing.
"""

import logging
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device, set_seed
from torch import Tensor

from hardmine.detectors import Detector, Segmenter
from hardmine.equation.compiling import compile, has_compiler
from hardmine.errors import DivergedError, RunError
from hardmine.training import checkpoint
from hardmine.training.batches import BatchOrder, derive_seed, training_loader
from hardmine.training.config import TrainingConfig
from hardmine.training.folder import refuse_other_config
from hardmine.training.measure import peak_memory, reset_peak_memory, synchronize
from hardmine.training.optimise import averaged_weights, learning_rate, optimizer_for, set_learning_rate
from hardmine.training.progress import Reporter
from hardmine.training.record import Recorder, WithPlaces
from hardmine.training.run import make_detector
from hardmine.training.summed import SummedLoss
from hardmine.training.tasks import Task, task_of
from hardmine.training.tasks.task import Data

__all__ = ["SummedLoss", "Trainer"]

logger = logging.getLogger("hardmine")

FIRST_STEPS = 10
"""Steps whose median loss is what the loss of an untrained detector is taken to be."""
BLOWN_UP, NONSENSE = 1e3, 1e6
"""A mean loss above so many times that, or above this number, is of weights that have gone astray."""
ROW = ("loss", "seconds_per_step", "peak_memory_mb", "peak_memory_of")
"""What of a finished epoch is read again."""


class Trainer:
    """A detector or segmenter, its optimiser and its batches, trained epoch by epoch.

    The initial weights and the order of the images depend on `config.seed` only, not on the recipe. `rows` holds one
    entry per finished epoch: the lines of `metrics.jsonl`.
    """

    def __init__(self, config: TrainingConfig, accelerator: Accelerator, train_data: Data) -> None:
        self.epochs = config.num_epochs(len(train_data), accelerator.num_processes)
        is_compiled = config.compiles_on(accelerator.device.type) and has_compiler(accelerator.device.type)
        rules_applied = {"epochs": self.epochs, "batch_size": config.images_per_step, "lr": config.peak_lr}
        self.config, self.accelerator = replace(config, **rules_applied, compile=is_compiled), accelerator
        self.task: Task = task_of(config)
        self.detector: Detector | Segmenter = make_detector(config, len(train_data.classes))
        self.optimizer = optimizer_for(self.detector, config)
        if is_compiled:
            self._compile_losses()
        self.model, self.optimizer = accelerator.prepare(self.task.summed(self.detector, config), self.optimizer)
        self.average = None if config.ema is None else averaged_weights(self.detector, config.ema)
        self.workers = config.workers if config.workers is not None else (0 if accelerator.device.type == "cpu" else 4)
        images: Any = train_data
        weights = self.task.image_weights(config, images)
        place = accelerator.process_index, accelerator.num_processes
        self.order = BatchOrder(len(train_data), config, *place, weights)
        self.recorder = Recorder(cast(Detector, self.detector)) if config.record else None
        images = WithPlaces(images) if config.record else images
        augmentation = self.task.augmentation(config, images, train_data)
        self.loader = training_loader(images, config, self.order, self.workers, augmentation)
        self.rows: list[dict[str, Any]] = []
        self.first_loss = 0.0  # of the first steps; 0: not known, since they were made by another process

    def _compile_losses(self) -> None:
        if self.accelerator.is_main_process:
            logger.info("compiling the losses: the first steps take up to a minute; --no-compile does without")
        torch.compiler.reset()  # the compiler gives up after 8 heads, and runs before this one had theirs
        compile(self.detector, self.accelerator.device)

    @property
    def final_detector(self) -> Detector | Segmenter:
        """What is evaluated and saved: the averaged weights where there are such."""
        return self.detector if self.average is None else cast(Detector | Segmenter, self.average.module)

    def run_epoch(self, reporter: Reporter) -> dict[str, Any]:
        """Trains for one epoch and returns its row of `metrics.jsonl`, for the caller to complete and append to `rows`.

        Raises:
            DivergedError: the loss is not a finite number; the last checkpoint is from before.
        """
        epoch = len(self.rows) + 1
        self._start_epoch(epoch)
        totals: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.accelerator.device))
        first: list[Tensor] = []
        seconds: list[float] = []
        start = time.perf_counter()
        for images, targets in reporter.steps(self.loader, epoch):
            step_start = time.perf_counter()
            losses = self._step(images, targets, (epoch - 1) * len(self.loader) + len(seconds))
            synchronize(self.accelerator.device)
            seconds.append(time.perf_counter() - step_start)
            first += [losses["loss"]] if len(first) < FIRST_STEPS else []
            for name, loss in losses.items():
                totals[name] += loss
            if reporter.has_bars:
                speed = self._num_images(len(seconds)) / (time.perf_counter() - start)
                reporter.show_step(float(losses["loss"]), speed)
        if epoch == 1:
            self.first_loss = float(torch.stack(first).median())
        return self._row(epoch, totals, seconds, time.perf_counter() - start)

    def has_diverged(self, row: Mapping[str, Any]) -> bool:
        """Whether the loss of an epoch, finite as it is, says that nothing is learnt any more."""
        return row["loss"] > NONSENSE or row["loss"] > BLOWN_UP * self.first_loss > 0

    def backward(self, images: Any, targets: Any) -> dict[str, Tensor]:
        """Leaves the gradients of one batch, averaged over the processes, in the detector; returns its losses."""
        device = self.accelerator.device
        if self.recorder is not None:
            self.recorder.expect(targets)
        losses = self.model(send_to_device(images, device), send_to_device(self.task.tensors(targets), device))
        self.optimizer.zero_grad()
        self.accelerator.backward(losses["loss"])
        return {name: loss.detach() for name, loss in losses.items()}

    def save(self, path: Path) -> None:
        """Writes a checkpoint of all that the next epoch depends on."""
        tensors = checkpoint.with_prefix("detector", self.detector.state_dict())
        tensors |= checkpoint.with_prefix("optimizer", checkpoint.optimizer_tensors(self.optimizer))
        if self.average is not None:
            tensors |= checkpoint.with_prefix("average", self.average.state_dict())
        checkpoint.save_tensors(path, tensors, self._facts() | {"rows": self.rows})

    def restore(self, path: Path) -> None:
        """Goes back to a checkpoint.

        Raises:
            RunError: it cannot be read, or is of another detector, configuration or number of processes.
        """
        tensors, facts = checkpoint.load_tensors(path)
        stored = facts.get("config")
        refuse_other_config(stored if isinstance(stored, dict) else {}, self.config, path)
        if facts.get("processes") != self.accelerator.num_processes:
            raise RunError(f"{path} was written by {facts.get('processes')} processes; continue with as many")
        checkpoint.load_module(self.detector, checkpoint.without_prefix("detector", tensors), path)
        checkpoint.refuse_infinite(checkpoint.without_prefix("detector.model", tensors), path)
        checkpoint.load_optimizer(self.optimizer, checkpoint.without_prefix("optimizer", tensors), path)
        if self.average is not None:
            checkpoint.load_module(self.average, checkpoint.without_prefix("average", tensors), path)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(facts.get("scaler") or {})
        self.rows = _checked_rows(facts.get("rows"), self.epochs, self.task, path)

    def _facts(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "config": asdict(self.config),
            "processes": self.accelerator.num_processes,
            "scaler": None if scaler is None else scaler.state_dict(),  # fp16 only
        }

    def _start_epoch(self, epoch: int) -> None:
        set_seed(derive_seed("sampling", self.config.seed, epoch, self.accelerator.process_index))
        self.order.epoch = epoch
        self.detector.start_epoch(epoch, self.epochs)
        self.model.train()
        reset_peak_memory(self.accelerator.device)

    def _step(self, images: Any, targets: Any, step: int) -> dict[str, Tensor]:
        self.detector.set_progress(step / (self.epochs * len(self.loader)))
        losses = self.backward(images, targets)
        if self.config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.detector.parameters(), self.config.clip_norm)
        set_learning_rate(self.optimizer, learning_rate(self.config, step, self.epochs * len(self.loader)))
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.detector)
        return losses

    def _num_images(self, num_steps: int) -> int:
        return num_steps * self.config.images_per_step * self.accelerator.num_processes

    def _row(self, epoch: int, totals: dict[str, Tensor], seconds: list[float], elapsed: float) -> dict[str, Any]:
        means = self.accelerator.reduce(dict(totals), reduction="mean")
        losses = {name: float(total) / len(seconds) for name, total in means.items()}
        if not math.isfinite(losses["loss"]) or not all(p.isfinite().all() for p in self.detector.parameters()):
            raise DivergedError(
                f"the loss of epoch {epoch} is not finite ({losses}), or its weights are not; lower lr or clip_norm, "
                "or use precision no"
            )
        memory, memory_of = peak_memory(self.accelerator.device)
        return {
            "epoch": epoch,
            "step": epoch * len(self.loader),
            "lr": self.optimizer.param_groups[0]["lr"],
            **losses,
            "seconds": elapsed,
            "seconds_per_step": statistics.median(seconds),
            "images_per_second": self._num_images(len(seconds)) / elapsed,
            "peak_memory_mb": memory,
            "peak_memory_of": memory_of,
        }


def _checked_rows(rows: Any, epochs: int, task: Task, source: Path) -> list[dict[str, Any]]:
    """The rows of the epochs that are finished. Raises RunError where the checkpoint does not hold them."""
    are_rows = isinstance(rows, list) and all(isinstance(row, dict) and set(ROW) <= row.keys() for row in rows)
    in_order = are_rows and [row.get("epoch") for row in rows] == list(range(1, len(rows) + 1))
    measured = {field.name for field in fields(task.metrics)} if in_order and len(rows) == epochs else set()
    if not in_order or len(rows) > epochs or not measured <= (rows or [{}])[-1].keys():
        raise RunError(f"{source}: its rows of epochs cannot be read; restore it from a copy, or train again")
    return rows
