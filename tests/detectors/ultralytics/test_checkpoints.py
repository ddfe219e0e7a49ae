"""Checkpoints of ultralytics are read, and nothing in them is run."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hardmine.errors import ConfigError

pytest.importorskip("ultralytics", reason="ultralytics is not installed")

from hardmine.detectors.ultralytics.checkpoints import read_checkpoint


@pytest.fixture
def saved(make_yolo, tmp_path):
    """A model as ultralytics saves it, with whatever else is asked for."""

    def save(model=None, **more):
        model = make_yolo(size=64) if model is None else model
        content = {"epoch": 1, "model": None, "ema": model.half(), "best_fitness": np.float64(0.5), **more}
        torch.save(content, tmp_path / "last.pt")
        return model, tmp_path / "last.pt"

    return save


def test_architecture_and_tensors_are_those_of_the_model(saved):
    model, file = saved(train_args={"data": Path("data.yaml")}, optimizer={"state": {}})
    architecture, tensors = read_checkpoint(file)
    assert architecture == model.yaml
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(tensors[name], value) for name, value in model.state_dict().items())


def test_a_state_dict_has_no_architecture(make_yolo, tmp_path):
    model = make_yolo(size=64)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    architecture, tensors = read_checkpoint(tmp_path / "weights.pt")
    assert architecture is None
    assert tensors.keys() == model.state_dict().keys()


def test_what_others_trust_is_neither_used_nor_forgotten(saved):
    """Real layers could be made with arguments that the file chooses."""
    from ultralytics.nn.tasks import DetectionModel

    (model, file), outside = saved(), set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals([DetectionModel, nn.Conv2d]):
        before = torch.serialization.get_safe_globals()
        architecture, _ = read_checkpoint(file)
        assert set(torch.serialization.get_safe_globals()) == set(before)
    assert architecture == model.yaml
    assert set(torch.serialization.get_safe_globals()) == outside


class Runs:
    """Unpickled by calling a function."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("function", [os.system, eval, getattr, torch.hub.load, SimpleNamespace])
def test_a_file_that_names_anything_else_is_refused(function, saved):
    _, file = saved(extra=Runs(function, "touch it"))
    with pytest.raises(ConfigError, match=rf"holds .*\.{function.__name__}, and only layers"):
        read_checkpoint(file)


def test_layers_are_not_made_with_arguments_of_the_file(saved, monkeypatch):
    from ultralytics.nn.tasks import DetectionModel

    _, file = saved(extra=Runs(DetectionModel, {"activation": "print('code')"}))
    monkeypatch.setattr(DetectionModel, "__init__", lambda *_: pytest.fail("a constructor was called"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "__import__('os').system('true')"}, "the activation"),
        ({"activation": "nn.SiLU(__import__('os').getpid())"}, "the activation"),
        ({"head": [[-1, 1, "attempt_download_asset", ["https://example.com"]]]}, "the layer 'attempt_download_asset'"),
        ({"head": [[-1, 1, "nn.functional", []]]}, "the layer 'nn.functional'"),
        ({"head": [[-1, 1, "torchvision.ops.nms", []]]}, "the layer 'torchvision.ops.nms'"),
        ({"head": ["Detect"]}, "the layer None"),
        ({"head": [], "backbone": []}, "no layers"),
    ],
)
def test_an_architecture_that_would_run_code_is_refused(change, message, make_yolo, saved):
    model = make_yolo(size=64)
    model.yaml = {**model.yaml, **change}
    with pytest.raises(ConfigError, match=f"its architecture has {message}"):
        read_checkpoint(saved(model)[1])


@pytest.mark.parametrize("activation", ["nn.SiLU()", "torch.nn.LeakyReLU(0.1)", "nn.ReLU(inplace=True)"])
def test_activations_that_ultralytics_describes_are_read(activation, make_yolo, saved):
    model = make_yolo(size=64)
    model.yaml = {**model.yaml, "activation": activation}
    assert read_checkpoint(saved(model)[1])[0]["activation"] == activation


def damaged(kind: str) -> bytes:
    if kind == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("x", "y")
        return stream.getvalue()
    return {"empty": b"", "noise": b"\x00\x01" * 50, "pickle": pickle.dumps({"model": 1})}[kind]


@pytest.mark.parametrize("kind", ["empty", "noise", "pickle", "zip"])
def test_a_damaged_file_is_named(kind, tmp_path):
    (tmp_path / "last.pt").write_bytes(damaged(kind))
    with pytest.raises(ConfigError, match=r"last\.pt: cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "last.pt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"last\.pt"):
        read_checkpoint(tmp_path / "last.pt")
