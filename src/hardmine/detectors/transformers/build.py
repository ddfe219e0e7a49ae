"""Building a detector or segmenter of transformers: a kind by its default configuration, a folder, a name on the hub.

Of a folder or a name on the hub, its configuration says which of the two it is.
"""

from pathlib import Path
from typing import Any

from torch import nn

from hardmine.detectors.torchvision.weights import load_file
from hardmine.detectors.transformers.segmentation import SEGMENTERS
from hardmine.errors import ConfigError, check_name

__all__ = ["build"]

KINDS = {
    "rtdetr": "RTDetr",
    "rtdetr_v2": "RTDetrV2",
    "d_fine": "DFine",
    "deimv2": "Deimv2",
    "detr": "Detr",
    "conditional_detr": "ConditionalDetr",
    "deformable_detr": "DeformableDetr",
    "lw_detr": "LwDetr",
    "rf_detr": "RfDetr",
    "yolos": "Yolos",
    "segformer": "Segformer",
}
"""What a kind's classes are called."""
DETECTS, SEGMENTS = "ObjectDetection", "SemanticSegmentation"
"""How the names of classes end that do the one or the other."""
STAGES = {
    "detr": ["stage4"],
    "conditional_detr": ["stage4"],
    "deformable_detr": ["stage2", "stage3", "stage4"],
}
"""Of a ResNet-50, what the models see whose default backbone is timm's."""


def build(name: str, num_classes: int, *, weights: str, image_size: int | None, load: bool) -> nn.Module:  # noqa: ARG001
    """A detector for ``num_classes`` foreground classes, or a segmenter for as many, background included.

    Args: name: a key of `KINDS`, which starts from scratch; or a folder of `save_pretrained`, or a name on the hub,
        which starts from its weights (safetensors only) where these fit.
        weights: "none", or a file with a state_dict (.safetensors or .pth).
        load: False builds the same architecture without any weights.
    Raises: ConfigError: no such model, or weights that cannot be had.
    """
    if weights in ("imagenet", "coco"):
        raise ConfigError(
            f"transformers:{name}: weights {weights!r} are torchvision's; name a model on the hub or a folder, which "
            "has its own, or give a file"
        )
    model = _of_kind(name, num_classes) if name in KINDS else _of_folder(name, num_classes, load=load)
    if load and weights != "none":
        load_file(model, weights)
    return model


def _of_kind(name: str, num_classes: int) -> nn.Module:
    import transformers

    options: dict[str, Any] = {"num_labels": num_classes, **_instead_of_defaults(name)}
    config = getattr(transformers, f"{KINDS[name]}Config")(**options)
    return getattr(transformers, f"{KINDS[name]}For{SEGMENTS if name in SEGMENTERS else DETECTS}")(config)


def _instead_of_defaults(name: str) -> dict[str, Any]:
    """What a default configuration lacks: a backbone without another package (timm), or a scale of features."""
    import transformers

    if name == "lw_detr":
        return {"projector_scale_factors": [1.0]}
    if name not in STAGES:
        return {}
    resnet: Any = transformers.ResNetConfig  # whose stages are an argument of a class above it
    return {"backbone_config": resnet(out_features=STAGES[name]), "use_timm_backbone": False}


def _of_folder(name: str, num_classes: int, *, load: bool) -> nn.Module:
    import transformers

    if "/" not in name and not Path(name).is_dir():
        check_name("kind of transformers' detectors, folder or name on the hub", name, KINDS)
    options: dict[str, Any] = {"trust_remote_code": False, "num_labels": num_classes}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **options)
        auto = getattr(transformers, f"AutoModelFor{SEGMENTS if config.model_type in SEGMENTERS else DETECTS}")
        if not load:
            return auto.from_config(config)
        return auto.from_pretrained(name, **options, ignore_mismatched_sizes=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"transformers:{name} cannot be had ({reason}); give a folder with config.json and model.safetensors, or a "
            f"kind that starts from scratch: {', '.join(KINDS)}"
        ) from error
