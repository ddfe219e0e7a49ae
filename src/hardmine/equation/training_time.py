"""How far a training is: what `samples["progress"]` says. Whoever trains tells the heads before each step."""

import torch
from torch import Tensor, nn

from hardmine.errors import ConfigError, EvidenceError

__all__ = ["TrainingTime", "set_progress"]


class TrainingTime(nn.Module):
    """The share of a training that is done, in [0, 1]; unknown until somebody says it.

    It is no part of a checkpoint: who goes on with a training knows which step comes next.
    """

    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()), persistent=False)
        self.is_known = False

    def of(self, like: Tensor) -> Tensor:
        """The share for each sample, of the shape and device of (B, N).

        Raises: EvidenceError: nobody has said it.
        """
        if not self.is_known:
            raise EvidenceError(
                "a part of the recipe changes with training time, and nobody says how far training is; call "
                "detector.set_progress(step / num_steps) before each step"
            )
        return self.progress.to(like.device).expand_as(like)


def set_progress(model: nn.Module, progress: float) -> None:
    """Tells all heads among the modules how far training is: steps done over all steps, in [0, 1].

    Only recipes with a schedule ask for it; for others it makes no difference.
    Raises: ConfigError: a number out of [0, 1].
    """
    if not 0 <= progress <= 1:
        raise ConfigError(f"progress is the share of the training that is done, from 0 to 1, got {progress}")
    for part in model.modules():
        if isinstance(part, TrainingTime):
            part.progress.fill_(progress)
            part.is_known = True
