"""A loss that gives way to another while training goes on."""

from typing import Any

import torch
from torch import Tensor

from hardmine.core.samples import Evidence
from hardmine.errors import ConfigError
from hardmine.losses.classification import ClassificationLoss
from hardmine.sampling.scheduled import check_times, ramp

__all__ = ["ScheduledLoss"]


class ScheduledLoss(ClassificationLoss):
    """Goes from one classification loss to another.

        ℓ = (1 - s) ℓ_first + s ℓ_then,    s as in `Scheduled`

    Such as cross entropy first, and focal loss once scores mean something. Both are worked out in every step.
    Raises: ConfigError: not 0 <= start <= end <= 1, a listwise loss, which has no loss of a sample, or losses for
        different kinds of scores.
    """

    def __init__(self, first: ClassificationLoss, then: ClassificationLoss, start: float, end: float | None = None):
        super().__init__(first.activation)
        self.first, self.then = first, then
        self.start, self.end = start, start if end is None else end
        check_times("ScheduledLoss", self.start, self.end)
        if first.activation != then.activation or first.listwise or then.listwise:
            raise ConfigError("ScheduledLoss needs two losses of each score, for the same kind of scores")
        clock: frozenset[Evidence] = frozenset({"progress"})
        self.needs = first.needs | then.needs | clock
        self.through_grad = first.through_grad and then.through_grad

    def forward(self, logits: Tensor, labels: Tensor, *, progress: Tensor, **known: Any) -> Tensor:
        known |= {"progress": progress}
        first, then = (self._of(loss, logits, labels, known) for loss in (self.first, self.then))
        share = ramp(progress.detach(), self.start, self.end).to(first.dtype)
        share = share if first.ndim == 2 else share.unsqueeze(-1)
        return torch.lerp(first, then, share.expand_as(first))

    def _of(self, loss: ClassificationLoss, logits: Tensor, labels: Tensor, known: dict[str, Tensor]) -> Tensor:
        return loss(logits, labels, **{name: known[name] for name in loss.needs})
