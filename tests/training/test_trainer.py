import json
import logging
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from hardmine.data import open_dataset
from hardmine.evaluation import read_predictions
from hardmine.training import RunFolder, RunResult, TrainingConfig, train
from hardmine.training.checkpoint import load_tensors
from hardmine.training.progress import Reporter
from hardmine.training.trainer import SummedLoss, Trainer

SCRIPT = Path(__file__).with_name("two_processes.py")


def on_two_processes(folder: Path, configs: Sequence[TrainingConfig]) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(SCRIPT), str(folder), *(config.to_json() for config in configs)]
    subprocess.run(command, env=os.environ | {"ACCELERATE_USE_CPU": "true"}, check=True)


def test_two_processes_train_as_one_does(small, tmp_path, monkeypatch):
    choices = [{"detector": "retinanet", "recipe": "focal"}, {"detector": "fasterrcnn", "recipe": "random"}]
    choices += [{"detector": "fcos", "recipe": recipe} for recipe in ("ghm", "efl", "tood")]  # statistics over ranks
    configs = {size: [small(batch_size=size, **choice) for choice in choices] for size in (2, 4)}
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    on_two_processes(two, configs[2])
    monkeypatch.setattr("hardmine.training.trainer.make_detector", None)  # put back after the script's own
    runpy.run_path(str(SCRIPT))["save_gradients"](one, configs[4])
    for number in map(str, range(len(choices))):
        (alone, facts), (together, facts_of_two) = load_tensors(one / number), load_tensors(two / number)
        assert (facts["processes"], facts_of_two["processes"]) == (1, 2)
        assert sum(name.startswith("gradient") for name in alone) > 20
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    compare_runs(train(configs[4][0], one / "run"), RunFolder(two / "run"))


def compare_runs(alone: RunResult, together: RunFolder) -> None:
    """The same training by one and by two processes, but for rounding; each image was predicted on once."""
    rows = [json.loads(line) for line in together.metrics.read_text().splitlines()]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in alone.rows], rel=1e-3)
    results, expected = read_predictions(together.predictions("val")), read_predictions(alone.predictions)
    assert {result["image_id"] for result in results} == {1, 2, 3, 4, 5}
    assert len({json.dumps(result) for result in results}) == len(results)
    assert len(results) == pytest.approx(len(expected), rel=0.05)


@pytest.fixture
def trainer(small, small_data):
    return Trainer(small(ema=0.9), Accelerator(), open_dataset(small_data, "train"))


def test_an_epoch_reports_what_it_did(trainer):
    row = trainer.run_epoch(Reporter(2, 1, enabled=False, is_main=True))
    assert {"epoch", "step", "lr", "loss", "seconds_per_step", "images_per_second", "peak_memory_of"} <= row.keys()
    assert (row["epoch"], row["step"]) == (1, 3)
    assert trainer.rows == []


def test_heads_are_told_how_far_training_is_before_each_step(trainer, monkeypatch):
    said: list[float] = []
    monkeypatch.setattr(trainer.detector, "set_progress", said.append)
    for _ in range(2):
        trainer.rows.append(trainer.run_epoch(Reporter(2, 1, enabled=False, is_main=True)))
    assert said == pytest.approx([step / 6 for step in range(6)])  # also in an epoch that is begun after a restart


def test_averaged_weights_are_the_final_ones(trainer):
    trainer.run_epoch(Reporter(2, 1, enabled=False, is_main=True))
    assert trainer.final_detector is trainer.average.module
    name, trained = next(iter(trainer.detector.named_parameters()))
    assert not torch.equal(trained, dict(trainer.final_detector.named_parameters())[name])


def test_a_checkpoint_brings_everything_back(trainer, small, small_data, tmp_path):
    reporter = Reporter(2, 1, enabled=False, is_main=True)
    trainer.rows.append(trainer.run_epoch(reporter))
    trainer.save(tmp_path / "c")
    other = Trainer(small(ema=0.9), Accelerator(), open_dataset(small_data, "train"))
    other.restore(tmp_path / "c")
    assert other.rows == trainer.rows
    for training in (trainer, other):
        training.run_epoch(reporter)
    assert all(map(torch.equal, trainer.detector.state_dict().values(), other.detector.state_dict().values()))
    assert all(map(torch.equal, trainer.average.state_dict().values(), other.average.state_dict().values()))


def test_gradients_are_clipped_to_their_norm(small, small_data, monkeypatch):
    norms = []

    def keep_norm(optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())

    training = Trainer(small(clip_norm=0.01), Accelerator(), open_dataset(small_data, "train"))
    monkeypatch.setattr(type(training.optimizer), "step", keep_norm)
    training.run_epoch(Reporter(2, 1, enabled=False, is_main=True))
    assert norms == pytest.approx([0.01] * 3, rel=1e-3)


@pytest.mark.parametrize("detector", ["retinanet", "fcos", "ssd", "ssdlite", "fasterrcnn", "cascadercnn"])
def test_the_classification_losses_and_no_others_are_weighed(detector, small, small_data):
    config = small(detector=detector)
    batch = next(iter(Trainer(config, Accelerator(), open_dataset(small_data, "train")).loader))
    losses = []
    for weight in (1.0, 3.0):
        training = Trainer(
            replace(config, classification_weight=weight), Accelerator(), open_dataset(small_data, "train")
        )
        torch.manual_seed(0)
        losses.append(training.backward(*batch))
    before, after = losses
    weighed = {name for name in before if name.startswith(("classification", "loss_classifier"))}
    assert weighed
    for name in set(before) - {"loss"}:
        torch.testing.assert_close(after[name], before[name] * (3 if name in weighed else 1))
    torch.testing.assert_close(after["loss"], sum(after[name] for name in set(after) - {"loss"}))


class Framework(torch.nn.Module):
    """Gives back the labels it was called with as a loss."""

    label_offset = 1

    def forward(self, images, targets):
        return {"a": targets[0]["labels"].sum(), "b": targets[1]["labels"].sum()}


@pytest.mark.parametrize(
    ("asked", "device", "has_compiler", "expected"),
    [
        (None, "cpu", True, False),
        (None, "cuda", True, True),
        (None, "cuda", False, False),
        (False, "cuda", True, False),
        (True, "cpu", True, True),
        (True, "cpu", False, False),
    ],
)
def test_the_losses_are_compiled_if_asked_for_or_on_a_gpu(
    asked, device, has_compiler, expected, small, small_data, monkeypatch, caplog
):
    """Where there is a compiler; the configuration of the run says what was done."""
    compiled = []
    monkeypatch.setattr("hardmine.training.trainer.compile", lambda part, device: compiled.append((part, device)))
    monkeypatch.setattr("hardmine.training.trainer.has_compiler", lambda kind: has_compiler and kind == device)
    accelerator = Accelerator()
    monkeypatch.setattr(Accelerator, "device", torch.device(device))
    monkeypatch.setattr(Accelerator, "prepare", lambda self, *parts: parts)
    with caplog.at_level(logging.INFO, "hardmine"):
        trainer = Trainer(small(compile=asked), accelerator, open_dataset(small_data, "train"))
    assert compiled == [(trainer.detector, accelerator.device)] * expected
    assert trainer.config.compile == expected
    assert ("compiling the losses" in caplog.text) == expected


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of torch by itself
def test_every_run_of_a_process_is_compiled(small, small_data, monkeypatch):
    """By itself torch stops after eight graphs of one function, and all heads are one function to it."""
    compiled, whole = [], torch.compile

    def noted(graph, inputs):
        compiled.append(graph)
        return graph

    monkeypatch.setattr("hardmine.training.trainer.has_compiler", lambda kind: True)
    monkeypatch.setattr("hardmine.equation.compiling.has_compiler", lambda kind: True)
    monkeypatch.setattr(torch, "compile", lambda function, **_: whole(function, backend=noted))
    data = open_dataset(small_data, "train")
    with torch._dynamo.config.patch(recompile_limit=1):
        for number in (1, 2):
            trainer = Trainer(small(compile=True), Accelerator(), data)
            trainer.backward(*next(iter(trainer.loader)))
            assert len(compiled) == number


def test_the_sum_of_the_losses_is_trained_in_the_frameworks_labels():
    targets = [{"labels": torch.tensor([0, 1])}, {"labels": torch.tensor([4])}]
    losses = SummedLoss(Framework())([], targets)
    assert {name: loss.item() for name, loss in losses.items()} == {"loss": 8, "a": 3, "b": 5}
    assert targets[0]["labels"].tolist() == [0, 1]


def test_on_a_terminal_every_step_is_shown(trainer, monkeypatch):
    shown = []
    monkeypatch.setattr(Reporter, "show_step", lambda self, loss, speed: shown.append((loss, speed)))
    reporter = Reporter(2, 1, enabled=False, is_main=True)
    reporter.has_bars = True
    row = trainer.run_epoch(reporter)
    assert [loss > 0 and speed > 0 for loss, speed in shown] == [True] * 3
    assert sum(loss for loss, _ in shown) / 3 == pytest.approx(row["loss"])
