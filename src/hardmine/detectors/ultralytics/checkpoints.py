"""What is in a checkpoint of ultralytics, a whole pickled model, read without running any code that is in it.

Every layer becomes a `Shell`, which has the tensors of the layer and does nothing; so not even the framework's own
constructors can be called with arguments that a file chooses.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hardmine.errors import ConfigError
from hardmine.files.reading import check_regular

__all__ = ["read_checkpoint"]

LAYERS = ("ultralytics.nn.tasks.", "ultralytics.nn.modules.", "torch.nn.modules.")
VALUES = {
    "numpy.dtype",
    *(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")),
    *(f"pathlib.{kind}" for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"ultralytics.{part}utils.IterableSimpleNamespace" for part in ("", "yolo.")),
}
"""What else is in such a file, beside numbers and text; it is not needed."""
ACTIVATION = re.compile(r"(torch\.)?nn\.\w+\([\w\s.,=-]*\)")


class Shell(nn.Module):
    """A layer without what it does."""

    def __new__(cls, *_: Any) -> "Shell":
        return super().__new__(cls)


class Nothing:
    """A value that is not looked at."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def read_checkpoint(file: Path | str) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    """The architecture, as a .yaml describes it, and the tensors by name; of a plain state_dict, None and the tensors.

    Raises: ConfigError: it cannot be read, or names something that is not a layer.
    """
    path = Path(file)
    try:
        check_regular(path)
        with _shells(path):
            content = torch.load(path, map_location="cpu", weights_only=True)
        model = (content.get("ema") or content.get("model") or content) if isinstance(content, dict) else content
        tensors = dict(model.state_dict() if isinstance(model, Shell) else model)
        architecture = getattr(model, "yaml", None)
    except ConfigError:
        raise
    except Exception as error:  # a broken file makes the unpickler raise whatever comes first
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{file}: cannot be read as a checkpoint of ultralytics ({reason})") from error
    tensors = {name: value for name, value in tensors.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if isinstance(model, Shell):
        _check_architecture(architecture, file)
    return architecture, tensors


@contextmanager
def _shells(file: Path) -> Iterator[None]:
    """Nothing else can be made from the file than shells, and values that are not looked at."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()  # what others trust may be called with any argument
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        if foreign := [name for name in named if not (name.startswith(LAYERS) or name in VALUES)]:
            raise ConfigError(
                f"{file}: holds {', '.join(sorted(foreign))}, and only layers of ultralytics and torch are read; give "
                "a file with a state_dict instead"
            )
        stand_ins = [(Nothing if name in VALUES else Shell, name) for name in named]
        torch.serialization.add_safe_globals(stand_ins)  # pyright: ignore[reportArgumentType]
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _check_architecture(architecture: Any, file: Path | str) -> None:
    """ultralytics looks up what an architecture names, and evaluates its activation as code."""
    from ultralytics.nn import modules

    layers = [] if not isinstance(architecture, Mapping) else [*architecture["backbone"], *architecture["head"]]
    names = [layer[2] if isinstance(layer, list | tuple) and len(layer) > 3 else None for layer in layers]
    unknown = [name for name in names if not _is_layer(name, modules)]
    activation = architecture.get("activation") if isinstance(architecture, Mapping) else None
    if unknown or not names or not (activation is None or ACTIVATION.fullmatch(str(activation))):
        what = f"the layer {unknown[0]!r}" if unknown else f"the activation {activation!r}" if names else "no layers"
        raise ConfigError(f"{file}: its architecture has {what}; expected layers of ultralytics and torch")


def _is_layer(name: Any, modules: Any) -> bool:
    if not isinstance(name, str):
        return False
    layer = getattr(nn, name.removeprefix("nn."), None) if name.startswith("nn.") else getattr(modules, name, None)
    return isinstance(layer, type) and issubclass(layer, nn.Module)
