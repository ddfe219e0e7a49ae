"""Weights a detector starts from: torchvision's own, or a file's. Files are read without unpickling code."""

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn
from torchvision import models

from hardmine.errors import ConfigError

__all__ = ["imagenet_network", "load_coco", "load_file", "load_matching"]

logger = logging.getLogger("hardmine")
OFFLINE = (
    "give a file with a state_dict instead (--weights FILE.safetensors or FILE.pth), or set TORCH_HOME to a folder "
    "that has it in hub/checkpoints"
)


def imagenet_network(name: str) -> nn.Module:
    """A classification network of torchvision with its ImageNet weights (V1), from TORCH_HOME or the network.

    Raises: ConfigError: there are none, or they cannot be had here.
    """
    try:
        return models.get_model(name, weights="IMAGENET1K_V1")
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"cannot fetch the ImageNet weights of {name} ({error}); {OFFLINE}") from error
    except (KeyError, ValueError) as error:
        raise ConfigError(f"torchvision has no ImageNet V1 weights of {name} ({error})") from error


def load_coco(model: nn.Module, weights: Any) -> None:
    """Loads torchvision's COCO weights, but for the class-dependent layers of other sizes, which start anew.

    Raises: ConfigError: the weights cannot be had here.
    """
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"cannot fetch the COCO weights {weights} ({error}); {OFFLINE}") from error
    load_matching(model, state, str(weights))


def load_file(model: nn.Module, file: str) -> None:
    """Loads what fits of a state_dict of the detector, or of its backbone's network.

    Raises: ConfigError: no such file, not a state_dict, or nothing in it fits.
    """
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"--weights {file!r}: expected none, imagenet, coco or the path of an existing file")
    try:
        if path.suffix == ".safetensors":
            state = load_safetensors(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file makes the unpickler raise whatever comes first
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{file}: cannot be read as a state_dict of tensors only ({reason})") from error
    load_matching(model, state, file)


def load_matching(model: nn.Module, state: Any, source: str) -> None:
    """Copies tensors of the same name (or the same name below the backbone) and shape; the others start anew.

    state: a state_dict, or a checkpoint that has one as "state_dict" or "model".  source: what the message calls it.
    Raises: ConfigError: there is none.
    """
    own, state = model.state_dict(), _weights_in(state)
    prefixes = ("", "backbone.body.", "backbone.", "model.")
    fitting: dict[str, Tensor] = {}
    for key, tensor in state.items() if isinstance(state, dict) else ():
        name = str(key)
        short = name.removeprefix("features.").removeprefix("model.")
        for target in (name, *(prefix + short for prefix in prefixes)):
            if target in own and isinstance(tensor, Tensor) and own[target].shape == tensor.shape:
                fitting[target] = tensor
                break
    if not fitting:
        raise ConfigError(f"{source}: none of its tensors has a name and shape of this detector's")
    model.load_state_dict(fitting, strict=False)
    if anew := [name for name in own if name not in fitting]:
        logger.warning(f"{source}: {len(fitting)} tensors loaded; {len(anew)} start anew, the first is {anew[0]}")


def _weights_in(state: Any) -> Any:
    """The state_dict itself, where it lies in a training's checkpoint under one of the usual names."""
    names = ("state_dict", "model") if isinstance(state, dict) else ()
    return next((state[name] for name in names if isinstance(state.get(name), dict)), state)
