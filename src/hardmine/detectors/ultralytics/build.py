"""Building a detection model of ultralytics for a data set: from a name, a description or a checkpoint."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import nn

from hardmine.detectors.torchvision.weights import load_file, load_matching
from hardmine.detectors.ultralytics.checkpoints import read_checkpoint
from hardmine.detectors.ultralytics.criterion import check_model
from hardmine.errors import ConfigError, check_name

__all__ = ["build"]

IMAGE_SIZE = 640
SMALLEST_IMAGE = 32
CHECKPOINT, DESCRIPTIONS = ".pt", (".yaml", ".yml")
SCALES = "nsmlx"
OTHER_TASKS = ("cls", "seg", "pose", "obb", "sem", "depth", "world", "worldv2", "rtdetr", "yoloe")


def build(
    name: str, num_classes: int, *, weights: str = "none", image_size: int | None = None, load: bool = True
) -> nn.Module:
    """A DetectionModel for ``num_classes`` classes, with ultralytics' default hyperparameters.

    Args: name: "yolo11n", "yolov8s", "yolo26n" and so on; a .yaml; or a .pt, of which also the weights are taken, but
            for layers of another number of classes, which start anew.
        weights: "none"; "coco", a .pt of that name in the current folder or in ultralytics' own for weights; or the
            path of a .pt, or of a file with a state_dict (.safetensors, .pth). Nothing is fetched.
        image_size: longer side in pixels of what the model is shown; None for 640.
        load: False for the architecture only.
    Raises: ConfigError: an unknown name, another kind of model, a file that cannot be read, weights that are not there.
    """
    if image_size is not None and image_size < SMALLEST_IMAGE:
        raise ConfigError(f"image_size must be at least {SMALLEST_IMAGE} pixels, got {image_size}")
    if weights == "imagenet":
        raise ConfigError("ultralytics has no ImageNet weights of a detector's backbone; give none, coco or a file")
    if weights == "none" and name.endswith(CHECKPOINT):
        weights = name
    model = _model(_architecture(name), num_classes, name)
    _set_hyperparameters(model, image_size or IMAGE_SIZE)
    if load and weights != "none":
        _load(model, _coco_file(name) if weights == "coco" else weights)
    return model


def _architecture(name: str) -> dict[str, Any]:
    """What a model consists of, as ultralytics describes it."""
    from ultralytics.nn.tasks import yaml_model_load

    if name.endswith(CHECKPOINT):
        architecture, _ = read_checkpoint(_existing(name))
        if architecture is None:
            raise ConfigError(f"{name}: a state_dict does not say of what model; give that, and this file as weights")
        return deepcopy(architecture)
    if name.endswith(DESCRIPTIONS) and (Path(name).is_file() or len(Path(name).parts) > 1):
        return _described(_existing(name))
    known, stem = _known_names(), name.removesuffix(DESCRIPTIONS[0])
    check_name("model of ultralytics", stem, known)
    return yaml_model_load(f"{stem}{DESCRIPTIONS[0]}")


def _existing(file: str) -> Path:
    if not Path(file).is_file():
        raise ConfigError(f"{file}: there is no such file")
    return Path(file)


def _described(file: Path) -> dict[str, Any]:
    from ultralytics.nn.tasks import yaml_model_load

    try:
        architecture = yaml_model_load(file)
    except Exception as error:  # whatever the reader of YAML raises
        raise ConfigError(f"{file}: cannot be read as a description of a model ({error})") from error
    if not {"backbone", "head", "nc"} <= architecture.keys():
        raise ConfigError(f"{file}: expected backbone, head and nc, got {', '.join(map(str, architecture))}")
    return architecture


def _known_names() -> list[str]:
    """The detection models that ultralytics describes, those of several scales once for each."""
    from ultralytics.utils import ROOT

    names = []
    for file in sorted((ROOT / "cfg" / "models").rglob("yolo*.yaml")):
        is_other = any(task in file.stem.split("-") for task in OTHER_TASKS) or "-cls-" in file.stem
        family, _, kind = file.stem.partition("-")
        has_scales = "\nscales:" in file.read_text() and family[-1].isdigit()  # those of YOLOv10 are named one by one
        scaled = [f"{family}{scale}{'-' * bool(kind)}{kind}" for scale in SCALES] if has_scales else [file.stem]
        names += [] if is_other else scaled
    return names


def _model(architecture: dict[str, Any], num_classes: int, name: str) -> nn.Module:
    from ultralytics.nn.tasks import DetectionModel

    architecture = {**architecture, "nc": num_classes}
    if architecture.get("channels", 3) != 3:
        raise ConfigError(f"{name}: takes images of {architecture['channels']} channels; expected 3")
    try:
        model = DetectionModel(architecture, nc=num_classes, verbose=False)  # pyright: ignore[reportArgumentType]
    except Exception as error:  # of a description by hand, whatever it comes upon first
        raise ConfigError(f"{name}: cannot be built ({type(error).__name__}: {error})") from error
    check_model(model)
    return model


def _set_hyperparameters(model: Any, image_size: int) -> None:
    from ultralytics.cfg import get_cfg

    model.args = get_cfg(overrides={"task": "detect", "imgsz": image_size})


def _load(model: nn.Module, weights: str) -> None:
    if not weights.endswith(CHECKPOINT):
        return load_file(model, weights)
    _, tensors = read_checkpoint(_existing(weights))
    return load_matching(model, tensors, weights)


def _coco_file(name: str) -> str:
    from ultralytics.utils import SETTINGS

    file = f"{name.removesuffix(DESCRIPTIONS[0])}{CHECKPOINT}"
    for folder in (Path(), Path(SETTINGS["weights_dir"])):
        if (folder / file).is_file():
            return str(folder / file)
    raise ConfigError(
        f"no {file} in the current folder or in {SETTINGS['weights_dir']}; put it there (ultralytics offers it), or "
        "give the path of a file as weights"
    )
