"""All that a run needs to go on where it stopped, in one safetensors file.

One file can be replaced in one step, so there is always exactly one whole checkpoint. It holds tensors (model, averaged
weights, AdamW's moments) under prefixed names, and the few plain facts beside them as JSON in the file's header; there
is nothing to unpickle. Random states are not in it: checkpoints are taken between epochs, and every epoch starts from a
seed of its own (`batches.derive_seed`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hardmine.errors import RunError
from hardmine.training.files import write_atomically

__all__ = [
    "load_module",
    "load_optimizer",
    "load_tensors",
    "optimizer_tensors",
    "save_tensors",
    "with_prefix",
    "without_prefix",
]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors and JSON-able facts to one file, atomically. Raises RunError where it cannot be written."""
    # safetensors refuses tensors that share memory or are strided: a contiguous copy each
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    write_atomically(path, save(copies, metadata={"facts": json.dumps(facts)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `save_tensors` wrote, onto the CPU.

    Raises:
        RunError: the file is missing, truncated, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"cannot read {path}: {error}. It is missing, truncated or was not written by hardmine; "
            "restore it from a copy, or train again into another folder"
        ) from error


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Puts a module's tensors under a name of their own, so that several fit into one file."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `with_prefix` put under this name."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Loads every tensor of a module, and says which file does not fit otherwise (RunError)."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{source} does not fit this detector; it belongs to another one: {reason[:300]}") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers, as `<parameter number>.<name>`; its options are in the configuration already."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, entry in state.items() for name, tensor in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Gives an optimiser over the same parameters its memory back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
