"""A run from its first step to what is mined with it: stopped, continued, predicting."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from hardmine.cli import main
from hardmine.data.scenes import open_scenes
from hardmine.predictions import read_results
from hardmine.training import RunResult, TrainingConfig, train
from hardmine.training.trainer import Trainer

CONFIG = TrainingConfig(detector="retinanet", recipe="ghm", image_size=64, epochs=2, batch_size=4, workers=0)
BIT_FOR_BIT = {"rtol": 0, "atol": 0}
TO_ROUNDING = {"rtol": 1e-3, "atol": 1e-5}
"""On a GPU, where sums of gradients are taken in any order."""


@pytest.fixture
def on_device(device, monkeypatch) -> Iterator[torch.device]:
    """The device that this process trains on, and eight scenes to train on."""
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 8, "val": 4})
    monkeypatch.setenv("ACCELERATE_USE_CPU", str(device.type == "cpu"))
    AcceleratorState._reset_state(reset_partial_state=True)
    yield device
    AcceleratorState._reset_state(reset_partial_state=True)


def stopped_after_an_epoch(folder: Path) -> None:
    whole = Trainer.run_epoch

    def run_epoch(self: Trainer, reporter: Any) -> dict[str, Any]:
        if self.rows:
            raise KeyboardInterrupt
        return whole(self, reporter)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", run_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(CONFIG, folder, progress=False)


def losses(run: RunResult) -> list[float]:
    return [row["loss"] for row in run.rows]


def test_a_run_is_continued_and_used(on_device, tmp_path):
    whole = train(CONFIG, tmp_path / "whole", progress=False)
    stopped_after_an_epoch(tmp_path / "stopped")
    continued = train(CONFIG, tmp_path / "stopped", resume=True, progress=False)
    closeness = BIT_FOR_BIT if on_device.type == "cpu" else TO_ROUNDING
    torch.testing.assert_close(losses(continued), losses(whole), **closeness)
    environment = json.loads(whole.folder.env.read_text())
    assert (environment["device"] == "cpu") == (on_device.type == "cpu")

    run, found, mined = str(whole.folder.path), tmp_path / "found.json", tmp_path / "mined"
    assert main(["predict", run, "--out", str(found)]) == 0
    assert read_results(found, open_scenes("val", num_images=4))
    assert main(["mine", "--run", run, "--out", str(mined)]) == 0
    assert (mined / "images.parquet").is_file()
