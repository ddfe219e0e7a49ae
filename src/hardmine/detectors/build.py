"""Building a detector of any framework for a data set."""

from torch import nn

from hardmine.detectors.frameworks import FRAMEWORKS, split_name
from hardmine.errors import ConfigError

__all__ = ["build"]

NO_BACKBONE = "micro"
"""What stands in a configuration that says nothing of a backbone."""


def build(
    detector: str,
    num_classes: int,
    *,
    backbone: str = NO_BACKBONE,
    weights: str = "none",
    image_size: int | None = None,
    load: bool = True,
) -> nn.Module:
    """A detector for ``num_classes`` foreground classes, or a segmenter for as many, background included.

        build("retinanet", 80, backbone="resnet50", weights="imagenet")        # torchvision's
        build("ultralytics:yolo11n", 80)                                       # a name, a .yaml or a .pt
        build("transformers:rtdetr_v2", 80)                                    # a kind, a folder or a name on the hub
        build("rfdetr:nano", 80)
        build("lraspp", 81, backbone="mobilenet_v2", weights="imagenet")       # and deeplabv3, fcn
        build("transformers:segformer", 81)

    Args: detector: a key of `DETECTORS` or `SEGMENTERS`, or a framework and what it calls the model.
        backbone: "micro", "tiny" or a torchvision classification network; others' detectors have their own.
        weights: "none", "imagenet" (the backbone's), "coco" (the whole detector's, where the framework offers them), or
            a file with a state_dict (.safetensors or .pth).
        image_size: length in pixels of the image's shorter side; None for what suits the detector.
        load: False builds the same architecture without fetching any weights.
    Raises: ConfigError: unknown names, or weights that cannot be had.
        FrameworkError: a version of the framework that was not tried.
    """
    framework, name = split_name(detector)
    if num_classes < 1:
        raise ConfigError(f"a detector needs at least one class, got {num_classes}")
    options = {"weights": weights, "image_size": image_size, "load": load}
    if framework == "torchvision":
        options["backbone"] = backbone
    elif backbone != NO_BACKBONE:
        raise ConfigError(f"{detector} has a backbone of its own; leave backbone={backbone!r} out")
    elif weights == "imagenet":
        raise ConfigError(
            f"weights 'imagenet' are of a torchvision backbone, and {detector} has its own; give none, coco or a file"
        )
    return FRAMEWORKS[framework].adapters().build(name, num_classes, **options)
