"""How much the box loss counts beside the classification loss, where a method lets the two decide it themselves."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from hardmine.core.ranks import sum_over_ranks
from hardmine.core.state import snapshot
from hardmine.errors import ConfigError

__all__ = ["EqualTasks", "SelfBalance", "TaskBalance"]


class TaskBalance(nn.Module, ABC):
    """Gives the factor of the box loss, without gradient, from the two losses of a head as they stand."""

    @abstractmethod
    def forward(self, classification: Tensor, regression: Tensor) -> Tensor: ...


class EqualTasks(TaskBalance):
    """Makes the box loss as large as the classification loss: L_cls / L_box.

    Oksuz, Cam, Akbas, Kalkan, Rank & Sort Loss for Object Detection and Instance Segmentation, ICCV 2021,
    arXiv:2107.11669, section 3.3.

    Convention: the factor is 0 where there is no box loss. Each process looks at its own two losses.
    """

    @torch.no_grad()
    def forward(self, classification: Tensor, regression: Tensor) -> Tensor:
        ratio = classification / regression.clamp_min(torch.finfo(regression.dtype).tiny)
        return torch.where(regression > 0, ratio, 0)


class SelfBalance(TaskBalance):
    """Makes the box loss as large as both losses together were in the last period: (L_cls + L_box) / L_box.

    Oksuz, Cam, Akbas, Kalkan, A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in
    Object Detection, NeurIPS 2020, arXiv:2009.13592. The authors' 7330 steps are one epoch of COCO at 16 images a step:
    the period is tied to the data, so take the steps of one epoch of yours.

    Convention: the last step of a period has the new factor already. Without any box loss the old factor stays.
    Gradient: none.   State: both losses so far, summed over ranks, the steps and the factor; only in training.

    Args: period: steps between two factors.  start: the factor of the first period.
    Raises: ConfigError: period below 1, or start not above 0.
    """

    factor: Tensor
    total: Tensor
    steps: Tensor

    def __init__(self, period: int = 7330, start: float = 50.0):
        super().__init__()
        if period < 1 or not start > 0:
            raise ConfigError(f"SelfBalance needs period >= 1 and start > 0, got {period}, {start}")
        self.period = period
        self.register_buffer("factor", torch.tensor(float(start)))
        self.register_buffer("total", torch.zeros(2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, classification: Tensor, regression: Tensor) -> Tensor:
        if self.training:
            self._remember(torch.stack([classification, regression]))
        return snapshot(self.factor).to(regression.dtype)

    def _remember(self, losses: Tensor) -> None:
        total = self.total + sum_over_ranks(losses.to(self.total.dtype))
        ends = self.steps + 1 == self.period
        self.factor.copy_(torch.where(ends & (total[1] > 0), total.sum() / total[1], self.factor))
        self.total.copy_(torch.where(ends, 0, total))
        self.steps.copy_(torch.where(ends, 0, self.steps + 1))
