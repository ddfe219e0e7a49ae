"""The module that accelerate wraps: a detector or segmenter, its losses and their sum."""

from typing import Any

import torch
from torch import Tensor, nn

from hardmine.detectors import Detector, Segmenter

__all__ = ["SummedLoss", "SummedMaskLoss"]


class SummedLoss(nn.Module):
    """A detector's losses and, under `loss`, their sum: the module that accelerate wraps.

    The detector inside stays as it is, so each process can call it directly to predict, in float32.
    """

    def __init__(self, detector: Detector | Segmenter, classification_weight: float = 1.0) -> None:
        super().__init__()
        self.detector: Any = detector
        self.classification_weight = classification_weight

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        targets = [target | {"labels": target["labels"] + self.detector.label_offset} for target in targets]
        return self._summed(self.detector(images, targets))

    def _summed(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        losses = {name: self._weighed(name, loss) for name, loss in losses.items()}
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _weighed(self, name: str, loss: Tensor) -> Tensor:
        is_weighed = self.classification_weight != 1 and name.startswith(self.detector.classification_losses)
        return loss * self.classification_weight if is_weighed else loss


class SummedMaskLoss(SummedLoss):
    """The same of a segmenter: images (B, 3, H, W), labels (B, H, W)."""

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._summed(self.detector(images, labels))
