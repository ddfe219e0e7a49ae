"""Methods as their papers have them, for those whose code cannot be installed: loops where the authors loop."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EqualizedFocal"]


class EqualizedFocal(nn.Module):
    """EFL (arXiv:2201.02593) on all classes at once, with the gradients that it collects."""

    def __init__(self, num_classes: int, gamma: float = 2.0, alpha: float = 0.25, scale: float = 8.0):
        super().__init__()
        self.gamma, self.alpha, self.scale = gamma, alpha, scale
        self.sums = torch.zeros(2, num_classes)
        self.ratio = torch.full((num_classes,), 100.0)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        target = F.one_hot(labels.clamp_min(0), logits.shape[-1]) * (labels >= 0).unsqueeze(-1)
        focusing = (self.gamma + self.scale * (1 - self.ratio.clamp(max=1))).expand_as(logits)
        probability = logits.sigmoid()
        right = probability * target + (1 - probability) * (1 - target)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
        loss = cross_entropy * (1 - right) ** focusing * (focusing / self.gamma)
        loss = loss * (self.alpha * target + (1 - self.alpha) * (1 - target))
        self._collect(torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0].abs(), target)
        return loss.sum()

    def _collect(self, gradient: Tensor, target: Tensor) -> None:
        self.sums += torch.stack([(gradient * target).sum(0), (gradient * (1 - target)).sum(0)])
        self.ratio = self.sums[0] / (self.sums[1] + 1e-10)
