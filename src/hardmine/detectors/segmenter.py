"""What every adapted segmenter is, of whatever framework: its model, untouched, and our losses beside it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.core.pixels import IGNORED
from hardmine.core.samples import IGNORE
from hardmine.detectors.traits import pixel_traits
from hardmine.equation.pixel_head import PixelHead
from hardmine.equation.recipe import Recipe
from hardmine.equation.training_time import set_progress
from hardmine.errors import ConfigError, ShapeError

__all__ = ["Segmenter", "resized_logits"]


class Segmenter(nn.Module, ABC):
    """A segmenter under a recipe: ``(images, masks) -> dict of losses`` in training mode, the model itself in eval.

    Images are (B, 3, H, W) floats as the model takes them, masks (B, H, W) int64 with classes 0..C-1 and `ignored`.
    The losses are ``classification`` and, where the model has an auxiliary head, ``auxiliary``, with its factor in it:
    their sum is to be minimised. The model's parameters, its state_dict and its inference stay as they are: it is
    `model`.

    Raises: ConfigError: another number of classes than pixels can be told apart by.  EvidenceError: a recipe for boxes.
    """

    ignored: int = IGNORED

    classification_losses: ClassVar[tuple[str, ...]] = ("classification",)
    """How the names of the losses begin that say how well classes are told apart."""

    def __init__(self, model: Any, recipe: Recipe, num_classes: int, name: str):
        super().__init__()
        if num_classes < 2:
            raise ConfigError(f"a segmenter needs 2 classes or more, background included; this one has {num_classes}")
        self.model: Any = model
        self.num_classes = num_classes
        self.head = PixelHead(pixel_traits(name, num_classes), recipe)

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Logits (B, C, H, W) of every pixel of the images (B, 3, H, W)."""

    @abstractmethod
    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The training losses, each a scalar; labels (B, H, W) in 0..C-1 or IGNORE."""

    def forward(self, images: Tensor, masks: Tensor | None = None) -> Any:
        """Losses in training mode, what the model itself says in eval mode.

        Raises: ShapeError: masks that do not fit the images.  ConfigError: a class that the model does not have.
        """
        if not self.training:
            return self.model(images)
        return self.losses(images, self._labels(images, masks))

    @property
    def final_head(self) -> PixelHead:
        """The head whose scores are those that are predicted by."""
        return self.head

    def initialize_prior(self, prior: float) -> None:
        """Classes of pixels start alike: with a softmax and no background beside them, a prior has nothing to say."""

    def set_progress(self, progress: float) -> None:
        """Tells the heads how far training is, in [0, 1], before each step; recipes with a schedule ask for it.

        Raises: ConfigError: a number out of [0, 1].
        """
        set_progress(self, progress)

    def start_epoch(self, epoch: int, num_epochs: int) -> None:
        """Told before each epoch, 1 .. num_epochs: nothing changes with it."""

    def _labels(self, images: Tensor, masks: Tensor | None) -> Tensor:
        expected = (len(images), *images.shape[2:])
        if masks is None or masks.shape != expected or masks.is_floating_point():
            got = "none" if masks is None else f"{masks.dtype} of shape {tuple(masks.shape)}"
            raise ShapeError(f"training needs masks of classes: got {got}, expected whole numbers of shape {expected}")
        masks = masks.long()
        left_out = masks == self.ignored
        wrong = ((masks < 0) | (masks >= self.num_classes)) & ~left_out
        if wrong.any():  # one look for the whole batch: it would crash a GPU
            raise ConfigError(
                f"a mask has the class {int(masks[wrong][0])}; expected 0 to {self.num_classes - 1}, or {self.ignored} "
                "for pixels that are not to count"
            )
        return masks.masked_fill(left_out, IGNORE)


def resized_logits(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Logits (B, C, h, w) as segmenters bring them to the size (H, W) of an image."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
