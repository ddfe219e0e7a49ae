"""Building an rfdetr model."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

from torch import nn

from hardmine.detectors.torchvision.weights import load_file
from hardmine.errors import ConfigError, check_name

__all__ = ["build"]

SIZES = {
    "nano": "RFDETRNanoConfig",
    "small": "RFDETRSmallConfig",
    "medium": "RFDETRMediumConfig",
    "base": "RFDETRBaseConfig",
    "large": "RFDETRLargeConfig",
}
"""What the configuration of each size is called."""


def build(name: str, num_classes: int, *, weights: str, image_size: int | None, load: bool) -> nn.Module:
    """An RFDETRModelModule for ``num_classes`` foreground classes.

    Args: name: a key of `SIZES`.  weights: "none" starts from scratch, the encoder included; "coco" is rfdetr's own,
        which it fetches; or a file with a state_dict (.safetensors or .pth).
        image_size: the side of the images; None for the size's own.
        load: False builds the same architecture without any weights.
    Raises: ConfigError: no such size, or weights that cannot be had.
    """
    check_name("size of rfdetr", name, SIZES)
    module = _module(name, num_classes, image_size, fetch=load and weights == "coco")
    if load and weights not in ("none", "coco"):
        load_file(module, weights)
    return module


def _module(name: str, num_classes: int, image_size: int | None, *, fetch: bool) -> nn.Module:
    from rfdetr import config
    from rfdetr.training import RFDETRModelModule

    options: dict[str, Any] = {"num_classes": num_classes, "device": "cpu"}
    options |= {} if image_size is None else {"resolution": image_size}
    options |= {} if fetch else {"pretrain_weights": None}
    try:
        with nullcontext() if fetch else _encoder_from_scratch(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pretrain_weights=None")  # it was asked for
            return RFDETRModelModule(
                getattr(config, SIZES[name])(**options), config.TrainConfig(dataset_dir=".", output_dir=".")
            )
    except OSError as error:
        raise ConfigError(f"cannot fetch the weights of rfdetr:{name} ({error}); give a file, or none") from error
    except ValueError as error:
        raise ConfigError(f"rfdetr:{name}: {error}") from error


@contextmanager
def _encoder_from_scratch() -> Iterator[None]:
    """Where rfdetr would fetch the weights of its encoder (for the base size it does, without weights of its own)."""
    dinov2: Any = import_module("rfdetr.models.backbone.dinov2")
    encoder = dinov2.WindowedDinov2WithRegistersBackbone
    dinov2.WindowedDinov2WithRegistersBackbone = _Untrained(encoder)
    try:
        yield
    finally:
        dinov2.WindowedDinov2WithRegistersBackbone = encoder


class _Untrained:
    """A class of encoders whose `from_pretrained` fetches nothing."""

    def __init__(self, encoder: Any):
        self.encoder = encoder

    def __call__(self, config: Any) -> nn.Module:
        return self.encoder(config)

    def from_pretrained(self, _: str, *, config: Any) -> nn.Module:
        return self.encoder(config)
