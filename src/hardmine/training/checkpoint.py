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
from hardmine.files.reading import check_regular
from hardmine.files.writing import write_atomically

__all__ = [
    "load_module",
    "load_optimizer",
    "load_tensors",
    "optimizer_tensors",
    "refuse_infinite",
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
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            if isinstance(facts, dict):
                return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
            raise ValueError(f"its header holds {type(facts).__name__}")
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise RunError(
            f"cannot read {path}: {error}. It is missing, truncated or was not written by hardmine; "
            "restore it from a copy, or train again into another folder"
        ) from error


def refuse_infinite(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Raises RunError where a tensor holds a number that is not finite: nothing can be predicted with such weights."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise RunError(
                f"{source}: {name} is not finite, so its detector finds nothing; restore it from a copy, or train "
                "again with a lower --lr"
            )


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


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Gives an optimiser over the same parameters its memory back, or says which file does not fit (RunError)."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        if not (number.isdecimal() and int(number) < len(parameters) and _fits(tensor, parameters[int(number)])):
            raise RunError(
                f"{source} does not fit this optimiser: {key} is of another parameter; give the run's own file"
            )
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _fits(memory: Tensor, parameter: Tensor) -> bool:
    """Whether it is a moment of the parameter, or a number."""
    return memory.shape == parameter.shape or not memory.ndim
