"""How much the box loss counts beside the classification loss, where a method lets the two decide it themselves."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["EqualTasks", "TaskBalance"]


class TaskBalance(nn.Module, ABC):
    """Gives the factor of the box loss, without gradient, from the two losses of a head as they stand."""

    @abstractmethod
    def forward(self, classification: Tensor, regression: Tensor) -> Tensor: ...


class EqualTasks(TaskBalance):
    """Makes the box loss as large as the classification loss: L_cls / L_box.

    Oksuz, Cam, Akbas, Kalkan, Rank & Sort Loss for Object Detection and Instance Segmentation, ICCV 2021,
    arXiv:2107.11669, section 3.3.

    Convention: the factor is 0 where there is no box loss.
    """

    @torch.no_grad()
    def forward(self, classification: Tensor, regression: Tensor) -> Tensor:
        ratio = classification / regression.clamp_min(torch.finfo(regression.dtype).tiny)
        return torch.where(regression > 0, ratio, 0)
