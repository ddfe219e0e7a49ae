"""What tests of several detectors of torchvision need."""

from torch import Tensor, nn


class Repeated(nn.Module):
    """A predictor of one box, as torchvision wants it: the same for each class."""

    def __init__(self, predictor: nn.Module):
        super().__init__()
        self.predictor = predictor

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        scores, codes = self.predictor(pooled)
        return scores, codes.repeat(1, scores.shape[1])
