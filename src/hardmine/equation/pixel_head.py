"""The head of a segmenter: every pixel is a sample, and its class is all that there is to learn.

    L = (1/Z) · Σ w_i ℓ(z_i, t_i)            w = w_select · w_classify

There is no background beside the classes, so each pixel that is not ignored is a positive of its class. By default all
of them count once and are averaged, which is what segmentation frameworks do.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from hardmine.core.boxes import at_least_float32
from hardmine.core.samples import Assignment, Samples
from hardmine.equation.normalize import PerValid
from hardmine.equation.place import Place
from hardmine.equation.recipe import HeadTraits, Recipe, Slot
from hardmine.equation.slot import LossSlot, evaluate, one_weight_each, per_sample, weighted_sum
from hardmine.equation.training_time import TrainingTime
from hardmine.errors import ConfigError, EvidenceError, ShapeError
from hardmine.losses import ClassificationLoss, CrossEntropy, TaskBalance
from hardmine.sampling import All, Sampling

__all__ = ["PIXEL_SLOTS", "PixelHead"]

PIXEL_SLOTS = ("select", "classify")
"""Those of `SLOTS` that pixels have: there are no boxes to regress."""


class PixelHead(nn.Module):
    """The loss of one such head under a recipe.

    Raises: ConfigError: the recipe fills an unknown slot, or one with a part of the wrong kind.
        EvidenceError: a part needs evidence that pixels do not have, or the recipe is one for boxes.
    """

    def __init__(self, traits: HeadTraits, recipe: Recipe):
        super().__init__()
        self.traits, self.time = traits, TrainingTime()
        chosen = recipe.slots_on(traits)
        _refuse_boxes(recipe, traits, set(chosen))
        defaults = {"select": Slot(All()), "classify": Slot(All(), CrossEntropy(traits.activation), PerValid())}
        slots = {name: chosen.get(name, Slot()).over(defaults[name]) for name in PIXEL_SLOTS}
        place = {name: Place(recipe.name, traits, name, traits.evidence) for name in PIXEL_SLOTS}
        scale = slots["classify"].scale
        if isinstance(scale, TaskBalance):
            raise EvidenceError(
                f"{place['classify']}: {type(scale).__name__} needs a box loss; give a number, or leave it out"
            )
        self.scale = 1.0 if scale is None else scale
        self.select: Sampling = place["select"].sampling(slots["select"])
        self.classify: LossSlot[ClassificationLoss] = place["classify"].filled(slots["classify"], ClassificationLoss)
        self.needs = self.select.needs | self.classify.needs

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, a scalar, of logits (B, C, H, W) and labels (B, H, W) in 0..C-1 or IGNORE.

        Where nothing counts it is 0, with a gradient of 0.
        Raises: ShapeError: other shapes, or a sampling of the select slot with weights of its own for each class.
        """
        loss, samples = self.look(logits, labels)
        selected = self.choose(samples)
        if self.is_plain and loss is not None:  # millions of pixels feel every pass over them
            z = self.classify.normalize(samples.assignment.only(selected > 0), selected)
            return weighted_sum(loss, selected, z) * self.scale
        kept = samples.keep(selected > 0)
        total = evaluate(self.classify.loss, kept) if loss is None else self.classify.sum(loss, kept, selected)
        if self.classify.also is not None:
            total = total + evaluate(self.classify.also, kept)
        return total * self.scale

    @property
    def is_plain(self) -> bool:
        """Whether the weights of the select slot are all that counts."""
        return type(self.classify.sampling) is All and self.classify.also is None

    def look(self, logits: Tensor, labels: Tensor) -> tuple[Tensor | None, Samples]:
        """Loss of each pixel before any weight (B, N), None of a listwise one, and all the evidence that is read."""
        self._check(logits, labels)
        rows = at_least_float32(logits).flatten(2).transpose(1, 2)  # (B, N, C), a view
        labels = labels.flatten(1)
        iou = torch.zeros(labels.shape, dtype=rows.dtype, device=rows.device)
        noise = torch.rand(labels.shape, device=labels.device) if "noise" in self.needs else None
        progress = self.time.of(iou) if "progress" in self.needs else None
        samples = Samples(Assignment(labels, iou), labels=labels, logits=rows, noise=noise, progress=progress)
        if self.classify.loss.listwise:
            return None, samples
        loss = evaluate(self.classify.loss, samples)
        seen = per_sample(loss) if "classification_loss" in self.needs else None
        return loss, replace(samples, classification_loss=seen)

    def choose(self, samples: Samples) -> Tensor:
        """How much each pixel counts, (B, N)."""
        return one_weight_each(self.select, samples, "pixel", "'classify'")

    def _check(self, logits: Tensor, labels: Tensor) -> None:
        B, C, *size = logits.shape
        if self.traits.num_classes != C or labels.shape != (B, *size):
            raise ShapeError(
                f"got logits {tuple(logits.shape)} and labels {tuple(labels.shape)}; expected (B, "
                f"{self.traits.num_classes}, H, W) and (B, H, W)"
            )


def _refuse_boxes(recipe: Recipe, traits: HeadTraits, chosen: set[str]) -> None:
    if unknown := sorted(chosen - set(PIXEL_SLOTS)):
        raise ConfigError(
            f"recipe {recipe.name!r} fills {', '.join(unknown)}; a head of pixels has {', '.join(PIXEL_SLOTS)}"
        )
    if (assigner := recipe.assigner_on(traits)) is not None:
        raise EvidenceError(
            f"recipe {recipe.name!r} in slot 'assign' of {traits.detector}'s pixels head: {type(assigner).__name__} "
            "assigns boxes to objects, but each pixel has its class already; choose a recipe without an assigner"
        )
