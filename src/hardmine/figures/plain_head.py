"""Recipes without a detector: the parts they choose for a head of one class, and losses of samples made by hand."""

from typing import TypeVar, get_args

import torch
from torch import Tensor, nn

from hardmine.assign import AssignerEvidence
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import ConfigError
from hardmine.losses import ClassificationLoss
from hardmine.recipes import HeadTraits, Recipe, Slot

__all__ = ["evaluate", "gradient", "part_of"]

PLAIN_HEAD = HeadTraits(
    "retinanet",
    "dense",
    "sigmoid",
    1,
    frozenset(get_args(Evidence)),
    assign_evidence=frozenset(get_args(AssignerEvidence)),
)
Part = TypeVar("Part", bound=nn.Module)


def part_of(recipe: Recipe, name: str, kind: type[Part]) -> Part:
    """The sampling or loss of this kind that the recipe puts there.

    Raises: ConfigError: it puts none there.
    """
    slot = recipe.slots_on(PLAIN_HEAD).get(name, Slot())
    for part in (slot.sampling, slot.loss):
        if isinstance(part, kind):
            return part
    raise ConfigError(f"recipe {recipe.name!r} has no {kind.__name__} in slot {name!r}, got {slot}")


def evaluate(loss: ClassificationLoss, samples: Samples) -> Tensor:
    """The loss with the evidence it needs."""
    return loss(samples["logits"], samples["labels"], **{name: samples[name] for name in loss.needs})


def gradient(total: Tensor, samples: Samples) -> Tensor:
    """Of the sum, with respect to the logits (B, N, C)."""
    return torch.autograd.grad(total.sum(), samples["logits"])[0]
