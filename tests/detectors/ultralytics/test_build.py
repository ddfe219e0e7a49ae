"""Detection models of ultralytics from names, descriptions and checkpoints."""

import logging

import pytest
import torch
import yaml

from hardmine.detectors import build
from hardmine.errors import ConfigError

pytest.importorskip("ultralytics", reason="ultralytics is not installed")


@pytest.fixture
def checkpoint(tmp_path):
    """A yolo11n of three classes as ultralytics saves it."""
    model = build("ultralytics:yolo11n", 3)
    torch.save({"model": None, "ema": model}, tmp_path / "mine.pt")
    return model, f"ultralytics:{tmp_path / 'mine.pt'}"


@pytest.mark.parametrize("name", ["yolo11n", "yolov8n", "yolo26n", "yolo12n", "yolov9t", "yolov10n", "yolov5n-p6"])
def test_a_name_gives_its_detector(name):
    model = build(f"ultralytics:{name}", 4, image_size=96)
    assert model.model[-1].nc == len(model.names) == 4
    assert model.args.imgsz == 96
    assert (model.args.box, model.args.cls) == (7.5, 0.5)
    assert build(f"ultralytics:{name}", 4).args.imgsz == 640


@pytest.mark.parametrize("name", ["yolo11q", "yolo11n-seg", "rtdetr-l", "resnet50", "http://example.com/yolo11n", ""])
def test_another_name_is_refused(name):
    with pytest.raises(ConfigError, match=f"unknown model of ultralytics {name!r}"):
        build(f"ultralytics:{name}", 4)


def test_near_names_are_shown():
    with pytest.raises(ConfigError, match="did you mean yolo11"):
        build("ultralytics:yolo11", 4)


def description(tmp_path, **change):
    """YOLO11 of half the channels of its smallest."""
    from ultralytics.nn.tasks import yaml_model_load

    architecture = yaml_model_load("yolo11n.yaml")
    small = {**architecture, "scales": {"n": [0.5, 0.125, 1024]}, **change}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({name: value for name, value in small.items() if value}))
    return f"ultralytics:{tmp_path / 'small.yaml'}"


def test_a_description_gives_its_detector(tmp_path):
    model = build(description(tmp_path), 5)
    assert model.model[-1].nc == 5
    assert sum(parameter.numel() for parameter in model.parameters()) < 1e6


def test_a_description_of_something_else_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected backbone, head and nc"):
        build(description(tmp_path, head=None), 5)
    with pytest.raises(ConfigError, match="takes images of 4 channels"):
        build(description(tmp_path, channels=4), 5)
    with pytest.raises(ConfigError, match="cannot be built"):
        build(description(tmp_path, head=[[-1, 1, "NoSuchLayer", []]]), 5)
    with pytest.raises(ConfigError, match="expected a DetectionModel with a Detect head"):
        build(description(tmp_path, head=[[[4, 6, 10], 1, "Segment", ["nc", 32, 64]]]), 5)
    (tmp_path / "small.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"small\.yaml: cannot be read as a description"):
        build(f"ultralytics:{tmp_path / 'small.yaml'}", 5)
    with pytest.raises(ConfigError, match="there is no such file"):
        build(f"ultralytics:{tmp_path / 'other.yaml'}", 5)


def test_a_checkpoint_gives_its_weights(checkpoint):
    model, name = checkpoint
    again = build(name, 3)
    assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())


def test_layers_of_another_number_of_classes_start_anew(checkpoint, caplog):
    model, name = checkpoint
    with caplog.at_level(logging.WARNING, "hardmine"):
        other = build(name, 7)
    assert other.model[-1].nc == 7
    own, theirs = other.state_dict(), model.state_dict()
    anew = [key for key in own if own[key].shape != theirs[key].shape]
    assert {key.split(".")[2] for key in anew} == {"cv3"}
    assert all(torch.equal(own[key], theirs[key]) for key in own if key not in anew)
    assert f"{len(anew)} start anew" in caplog.text


def test_without_loading_only_the_architecture_is_taken(checkpoint):
    model, name = checkpoint
    torch.manual_seed(1)
    again = build(name, 3, load=False)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert not torch.equal(again.state_dict()["model.0.conv.weight"], model.state_dict()["model.0.conv.weight"])


def test_weights_may_be_a_file(checkpoint, tmp_path):
    model, name = checkpoint
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    for weights in (name.partition(":")[2], str(tmp_path / "weights.pth")):
        again = build("ultralytics:yolo11n", 3, weights=weights)
        assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())


def test_weights_of_coco_are_looked_for_and_not_fetched(checkpoint, tmp_path, monkeypatch):
    from ultralytics.utils import SETTINGS

    model, _ = checkpoint
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no yolo11n\.pt in the current folder or in"):
        build("ultralytics:yolo11n", 3, weights="coco")
    build("ultralytics:yolo11n", 3, weights="coco", load=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    (tmp_path / "mine.pt").rename(folder / "yolo11n.pt")
    monkeypatch.setitem(SETTINGS, "weights_dir", str(folder))
    again = build("ultralytics:yolo11n", 3, weights="coco")
    assert torch.equal(again.state_dict()["model.0.conv.weight"], model.state_dict()["model.0.conv.weight"])


def test_weights_that_there_are_not_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="weights 'imagenet' are of a torchvision backbone"):
        build("ultralytics:yolo11n", 3, weights="imagenet")
    with pytest.raises(ConfigError, match="there is no such file"):
        build("ultralytics:yolo11n", 3, weights=str(tmp_path / "mine.pt"))
    with pytest.raises(ConfigError, match="at least 32 pixels"):
        build("ultralytics:yolo11n", 3, image_size=16)


def test_a_checkpoint_without_an_architecture_is_refused(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="a state_dict does not say of what model"):
        build(f"ultralytics:{tmp_path / 'weights.pt'}", 3)
