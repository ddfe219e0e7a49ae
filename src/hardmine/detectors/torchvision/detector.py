"""What torchvision's detectors share: a transform, a backbone, and losses that are taken over."""

from abc import abstractmethod
from functools import reduce
from typing import Any, ClassVar

from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from hardmine.core.samples import GroundTruth
from hardmine.detectors.detector import Detector
from hardmine.detectors.targets import Targets
from hardmine.detectors.torchvision.replaced import Replaced, refuse_overrides
from hardmine.errors import ConfigError

__all__ = ["TorchvisionDetector"]


class TorchvisionDetector(Detector):
    """A detector of torchvision under a recipe.

    Raises: ConfigError: a method that would not be called is a user's own.
    """

    replaced: ClassVar[Replaced]
    """The framework's methods that the adapter will not call in training."""

    def __init__(self, model: Any):
        super().__init__(model)
        refuse_overrides(model, self.replaced)

    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return self.model(images)

    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[ImageList, Targets]:
        refuse_overrides(self.model, self.replaced)  # they may have come since
        return self.model.transform(images, targets)

    def losses(self, batch: ImageList, ground_truth: GroundTruth, objects: Targets) -> dict[str, Tensor]:
        features = self.model.backbone(batch.tensors)
        features = {"0": features} if isinstance(features, Tensor) else features
        return self.head_losses(batch, features, ground_truth, objects)

    @abstractmethod
    def head_losses(
        self, images: ImageList, features: dict[str, Tensor], ground_truth: GroundTruth, targets: Targets
    ) -> dict[str, Tensor]:
        """The losses, given the features of each level by name."""

    def number_at(self, *paths: str) -> int:
        """The first of these numbers that the model has.

        Raises: ConfigError: it has none of them.
        """
        for path in paths:
            number = reduce(lambda part, name: getattr(part, name, None), path.split("."), self.model)
            if isinstance(number, int):
                return number
        raise ConfigError(
            f"the number of classes{', background included,' * self.label_offset} is read from "
            f"model.{' or model.'.join(paths)}, but this {type(self.model).__name__} has no such number; set it"
        )
