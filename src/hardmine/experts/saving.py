"""An expert or a bank as a file of its own, beside the weights of the model, which stay as they are."""

from pathlib import Path

from hardmine.errors import ConfigError, RunError
from hardmine.experts.bank import Bank
from hardmine.experts.expert import Expert
from hardmine.experts.mixture import SecondModel
from hardmine.training.checkpoint import load_module, load_tensors, refuse_infinite, save_tensors

__all__ = ["load_expert", "save_expert"]

KINDS = {"expert": Expert, "bank": Bank}


def save_expert(file: Path | str, second: SecondModel) -> None:
    """Writes an `Expert` or a `Bank` as safetensors.

    Raises: ConfigError: another second model.  RunError: it cannot be written.
    """
    kinds = [kind for kind, of in KINDS.items() if type(second) is of]
    if not kinds or not isinstance(second, Expert | Bank):
        raise ConfigError(f"got a {type(second).__name__}, expected an Expert or a Bank; save its state_dict yourself")
    save_tensors(Path(file), second.state_dict(), {"kind": kinds[0], "options": second.options})


def load_expert(file: Path | str) -> Expert | Bank:
    """Reads what `save_expert` wrote, onto the CPU, in evaluation mode.

    Raises: RunError: the file is missing, damaged, or of something else.
    """
    file = Path(file)
    tensors, facts = load_tensors(file)
    refuse_infinite(tensors, file)
    try:
        second = KINDS[facts["kind"]](**facts["options"])
    except (KeyError, TypeError, ConfigError) as error:
        raise RunError(f"{file} holds no expert and no bank ({error}); give a file that save_expert wrote") from error
    load_module(second, tensors, file)
    return second.eval()
