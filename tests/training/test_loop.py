import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from textwrap import dedent

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from hardmine.data import open_dataset
from hardmine.errors import ConfigError, DataError, RunError
from hardmine.evaluation import evaluate_predictions, read_predictions
from hardmine.training import RunFolder, train
from hardmine.training.batches import TrainingImages
from hardmine.training.checkpoint import load_tensors, save_tensors
from hardmine.training.progress import Reporter
from hardmine.training.trainer import SummedLoss, Trainer

ROW = {"loss": 1.0, "seconds_per_step": 1.0, "peak_memory_mb": 1.0, "peak_memory_of": "nothing"}
MEASURED = {"seconds", "seconds_per_step", "images_per_second", "peak_memory_mb"}


def rows_of(folder):
    """The lines of metrics.jsonl without what a clock or the memory says."""
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]


def assert_equal_runs(first, second):
    assert first.weights.read_bytes() == second.weights.read_bytes()
    assert first.predictions("val").read_bytes() == second.predictions("val").read_bytes()
    assert rows_of(first) == rows_of(second)


def interrupt_at(monkeypatch, number, error):
    """Raises an error when the training image of this number is asked for."""
    load, count = TrainingImages.__getitem__, 0

    def interrupted(self, key):
        nonlocal count
        count += 1
        if count == number:
            raise error
        return load(self, key)

    monkeypatch.setattr(TrainingImages, "__getitem__", interrupted)


@pytest.fixture(scope="module")
def reference(small, tmp_path_factory):
    """An uninterrupted run of two epochs of three steps."""
    return train(small(), tmp_path_factory.mktemp("reference") / "run", progress=False)


def test_a_run_leaves_a_complete_folder(reference, small_data):
    names = {file.name for file in reference.folder.path.iterdir()}
    assert names == {
        "checkpoint.safetensors",
        "config.json",
        "env.json",
        "metrics.jsonl",
        "predictions_val.json",
        "weights.safetensors",
    }
    first, last = reference.rows
    assert (first["epoch"], first["step"], last["epoch"], last["step"]) == (1, 3, 2, 6)
    assert last["loss"] == pytest.approx(last["classification"] + last["bbox_regression"])
    assert 0 < last["lr"] < reference.config.lr
    truth = open_dataset(small_data, "val").coco_ground_truth()
    assert evaluate_predictions(truth, read_predictions(reference.predictions)) == reference.metrics
    assert reference.seconds_per_step > 0
    assert reference.peak_memory_mb > 0


def test_weights_are_the_models_own(reference):
    weights = load_file(reference.folder.weights)
    assert "head.classification_head.cls_logits.weight" in weights


def test_the_same_seed_gives_the_same_bits(reference, small, tmp_path):
    again = train(small(), tmp_path / "run")
    assert_equal_runs(again.folder, reference.folder)
    other = train(small(seed=1), tmp_path / "other")
    assert other.folder.weights.read_bytes() != reference.folder.weights.read_bytes()


def test_half_precision_trains_and_saves_full_precision(small, tmp_path):
    script = "import sys; from hardmine.training import *; train(TrainingConfig.from_json(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-c", script, small(precision="bf16", epochs=1).to_json(), str(tmp_path / "run")]
    subprocess.run(command, check=True)
    folder = RunFolder(tmp_path / "run")
    assert {tensor.dtype for tensor in load_file(folder.weights).values()} == {torch.float32}
    assert 0 < rows_of(folder)[0]["loss"] < 100


def test_a_killed_run_goes_on_as_if_nothing_had_been(reference, small, tmp_path):
    folder = RunFolder(tmp_path / "run")
    script = dedent(
        """
        import os, signal, sys
        from hardmine.training import TrainingConfig, train
        from hardmine.training.batches import TrainingImages

        load, count = TrainingImages.__getitem__, 0
        def killed(self, key):
            global count
            count += 1
            if count == 12 + 6:  # the second batch of the second epoch
                os.kill(os.getpid(), signal.SIGKILL)
            return load(self, key)
        TrainingImages.__getitem__ = killed
        train(TrainingConfig.from_json(sys.argv[1]), sys.argv[2])
        """
    )
    command = [sys.executable, "-c", script, small().to_json(), str(folder.path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    first_epoch = folder.metrics.read_text()
    assert len(rows_of(folder)) == 1
    assert not folder.weights.exists()
    train(small(), folder.path, resume=True)
    assert_equal_runs(folder, reference.folder)
    assert folder.metrics.read_text().startswith(first_epoch)  # with its seconds: it was not trained again


@pytest.mark.parametrize(("detector", "recipe"), [("fasterrcnn", "random"), ("fcos", "ghm"), ("fasterrcnn", "seesaw")])
def test_averaged_weights_and_recipes_with_noise_or_memory_go_on_exactly_too(
    detector, recipe, small, tmp_path, monkeypatch
):
    config = small(detector=detector, recipe=recipe, ema=0.9, eval_every=1)
    whole = train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 12 + 6, InterruptedError())
        with pytest.raises(InterruptedError):
            train(config, tmp_path / "stopped")
    train(config, tmp_path / "stopped", resume=True)
    assert_equal_runs(RunFolder(tmp_path / "stopped"), whole.folder)


def test_a_run_stopped_in_its_first_epoch_starts_again(reference, small, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6, InterruptedError())
        with pytest.raises(InterruptedError):
            train(small(), tmp_path / "run")
    train(small(), tmp_path / "run", resume=True)
    assert_equal_runs(RunFolder(tmp_path / "run"), reference.folder)


def test_a_full_disk_keeps_the_last_checkpoint(reference, small, tmp_path, monkeypatch):
    save = Trainer.save

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save_until_full(self, path):
        if len(self.rows) == 2:
            monkeypatch.setattr(os, "fsync", full)
        save(self, path)

    monkeypatch.setattr(Trainer, "save", save_until_full)
    with pytest.raises(RunError, match="No space left on device"):
        train(small(), tmp_path / "run")
    monkeypatch.undo()
    train(small(), tmp_path / "run", resume=True)
    assert_equal_runs(RunFolder(tmp_path / "run"), reference.folder)


def test_a_stop_by_the_user_says_how_to_go_on(small, tmp_path, monkeypatch, caplog):
    interrupt_at(monkeypatch, 12 + 6, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(small(), tmp_path / "run")
    assert "stopped after epoch 1; continue with the same command and --resume" in caplog.text


def test_a_finished_run_is_not_trained_again(reference, small, monkeypatch):
    def refuse(self, key):
        raise AssertionError

    monkeypatch.setattr(TrainingImages, "__getitem__", refuse)
    before = {file: file.read_bytes() for file in reference.folder.path.iterdir()}
    assert train(small(), reference.folder.path, resume=True) == reference
    assert {file: file.read_bytes() for file in reference.folder.path.iterdir()} == before


def test_nothing_is_overwritten(reference, small):
    before = {file: file.read_bytes() for file in reference.folder.path.iterdir()}
    with pytest.raises(RunError, match="exists already"):
        train(small(), reference.folder.path)
    with pytest.raises(RunError, match="detector is 'retinanet' there and 'fasterrcnn' here"):
        train(small(detector="fasterrcnn"), reference.folder.path, resume=True)
    with pytest.raises(RunError, match="seed is 0 there and 1 here"):
        train(small(seed=1), reference.folder.path, resume=True)
    assert {file: file.read_bytes() for file in reference.folder.path.iterdir()} == before


@pytest.fixture
def copy(reference, tmp_path):
    """A copy of the reference run to do harm to."""
    folder = RunFolder(tmp_path / "copy")
    folder.path.mkdir()
    for file in reference.folder.path.iterdir():
        (folder.path / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_truncated_checkpoint_is_refused(copy, small):
    copy.checkpoint.write_bytes(copy.checkpoint.read_bytes()[:-10])
    with pytest.raises(RunError, match="truncated"):
        train(small(), copy.path, resume=True)


def test_a_checkpoint_from_another_run_is_refused(copy, small, tmp_path):
    other = train(small(detector="fasterrcnn", epochs=1), tmp_path / "other")
    copy.checkpoint.write_bytes(other.folder.checkpoint.read_bytes())
    with pytest.raises(RunError, match="detector is 'fasterrcnn' there and 'retinanet' here"):
        train(small(), copy.path, resume=True)


def test_a_configuration_or_data_that_cannot_be_used_leaves_nothing(small, tmp_path):
    with pytest.raises(ConfigError, match="unknown recipe 'ohen'"):
        train(small(recipe="ohen"), tmp_path / "run")
    with pytest.raises(DataError):
        train(small(data=str(tmp_path / "missing")), tmp_path / "run")
    with pytest.raises(DataError):
        train(small(val_split="missing"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_second_precision_in_one_process_is_refused_in_words(small, reference, tmp_path):
    with pytest.raises(ConfigError, match="precision bf16 cannot be had here"):
        train(small(precision="bf16"), tmp_path / "run")


@pytest.mark.parametrize(
    "rows", [None, {}, [3], [{"epoch": 1}], [ROW | {"epoch": 2}], [ROW | {"epoch": e} for e in (1, 2)]]
)
def test_a_checkpoint_whose_rows_cannot_be_read_is_refused(copy, small, rows):
    tensors, facts = load_tensors(copy.checkpoint)
    save_tensors(copy.checkpoint, tensors, facts | {"rows": rows})
    with pytest.raises(RunError, match="its rows of epochs cannot be read"):
        train(small(), copy.path, resume=True)


def test_a_checkpoint_that_is_not_finite_is_refused(copy, small):
    tensors, facts = load_tensors(copy.checkpoint)
    next(t for name, t in tensors.items() if name.startswith("detector.model."))[0] = torch.inf
    save_tensors(copy.checkpoint, tensors, facts)
    with pytest.raises(RunError, match="is not finite"):
        train(small(), copy.path, resume=True)


@pytest.mark.parametrize("factor", [1e4, 1e11])
def test_a_loss_that_is_finite_nonsense_is_said_once(small, tmp_path, monkeypatch, caplog, factor):
    forward, num_steps = SummedLoss.forward, 0

    def explode(self, images, targets):
        nonlocal num_steps
        num_steps += 1
        losses = forward(self, images, targets)
        return losses | {"loss": losses["loss"] + (factor * 10 if num_steps > 3 else 0)}

    monkeypatch.setattr(SummedLoss, "forward", explode)
    train(small(epochs=3), tmp_path / "run", progress=False)
    said = [message for message in caplog.messages if "has diverged" in message]
    assert len(said) == 1
    assert "mean loss of epoch 2" in said[0]
    assert "lower --lr, or a lower --clip-norm" in said[0]


def test_weights_that_are_not_finite_stop_the_run_too(small, tmp_path, monkeypatch):
    """The last step of an epoch may be the one that leaves no number behind: no loss has seen it yet."""
    step = torch.optim.AdamW.step

    def last_step(self, *given):
        step(self, *given)
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(torch.nan)

    monkeypatch.setattr("hardmine.training.trainer.Trainer._start_epoch", lambda *_: None)
    trainer = Trainer(small(batch_size=10), Accelerator(), open_dataset(small().data, "train"))
    monkeypatch.setattr(type(trainer.optimizer.optimizer), "step", last_step)
    with pytest.raises(RunError, match="or its weights are not"):
        trainer.run_epoch(Reporter(1, 1, enabled=False, is_main=True))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(small, tmp_path, monkeypatch):
    forward, num_steps = SummedLoss.forward, 0

    def overflow(self, images, targets):
        nonlocal num_steps
        num_steps += 1
        return {name: loss / (num_steps < 5) for name, loss in forward(self, images, targets).items()}

    monkeypatch.setattr(SummedLoss, "forward", overflow)
    with pytest.raises(RunError, match="loss of epoch 2 is not finite"):
        train(small(), tmp_path / "run")
    assert len(rows_of(RunFolder(tmp_path / "run"))) == 1
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run" / "checkpoint.safetensors").values())


def test_records_that_were_left_out_are_said_once(small, small_data, tmp_path, caplog):
    truth = json.loads((small_data / "train.json").read_text())
    truth["annotations"][0]["bbox"][2:] = [0, 0]
    shutil.copytree(small_data, tmp_path / "data")
    (tmp_path / "data" / "train.json").write_text(json.dumps(truth))
    for number in (1, 2):
        train(small(data=str(tmp_path / "data"), epochs=1), tmp_path / f"run{number}")
    assert sum("split 'train': 1 record was left out" in message for message in caplog.messages) == 1


def test_it_is_evaluated_every_so_many_epochs(small, tmp_path):
    result = train(small(epochs=5, eval_every=2), tmp_path / "run")
    assert [row["epoch"] for row in result.rows if "ap" in row] == [2, 4, 5]


def test_training_learns(small, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="hardmine")
    result = train(small(epochs=8, ema=0.99), tmp_path / "run")
    losses = [row["loss"] for row in result.rows]
    assert losses[-1] < 0.8 * losses[0]
    assert sum(later < earlier for earlier, later in pairwise(losses)) >= 5
    assert sum("images/s" in message for message in caplog.messages) == 8
