"""Losses of a single score against that score: focal loss and its kin, losses of a quality, balances of classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hardmine.core.samples import BACKGROUND, Assignment, Samples
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.plain_head import evaluate, gradient, part_of
from hardmine.losses import ClassificationLoss, CrossEntropy, Focal
from hardmine.recipes import Recipe
from hardmine.sampling import Sampling
from hardmine.sampling.gradient_balanced import GradientBalanced

__all__ = ["draw_class_balance", "draw_focusing", "draw_qualities"]

SCORES = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
OBJECT = 0
SIDES = {"positives": OBJECT, "negatives": BACKGROUND}
GAMMAS = (0.0, 0.5, 1.0, 2.0, 5.0)
QUALITIES = (0.9, 0.6, 0.3)
RATIOS = (0.01, 0.5, 1.0)
SIZE = "|∂ loss / ∂ logit|"


@dataclass(frozen=True, slots=True)
class _Curve:
    """A loss, and its derivative by the logit, at each of `SCORES`."""

    loss: Tensor
    slope: Tensor

    @property
    def size(self) -> Tensor:
        return self.slope.abs()


def draw_focusing(recipe: Recipe) -> Figure:
    """Loss and gradient against p_t: for several γ without α, and the recipe's own."""
    usual = {f"γ = {gamma:g}": _of_truth(Focal(gamma, None), OBJECT) for gamma in GAMMAS}
    loss = part_of(recipe, "classify", ClassificationLoss)
    own = {f"{recipe.name}, {side}": _of_truth(loss, label) for side, label in SIDES.items()}
    x_label = "p_t, probability of what is true"
    panels = [
        Panel("Loss of one score", x_label, "loss", _lines(usual, "loss") + _lines(own, "loss", is_own=True)),
        Panel("Its gradient", x_label, SIZE, _lines(usual, "size") + _lines(own, "size", is_own=True)),
    ]
    return Figure(recipe.title, panels, "Colours: -(1 - p_t)^γ log p_t without α; γ = 0 is cross entropy.")


def draw_qualities(recipe: Recipe) -> Figure:
    """Loss and gradient against the score, for positives of several qualities and for negatives."""
    loss = part_of(recipe, "classify", ClassificationLoss)
    curves = {f"positive, quality {quality:g}": _curve(loss, OBJECT, quality=quality) for quality in QUALITIES}
    curves["negative"] = _curve(loss, BACKGROUND)
    panels = [
        Panel("Loss of one score", "score p", "loss", _lines(curves, "loss")),
        Panel("Its gradient", "score p", "∂ loss / ∂ logit", _lines(curves, "slope")),
    ]
    return Figure(recipe.title, panels, "Where the gradient is below 0 the score is raised, where it is 0 it may rest.")


def draw_class_balance(recipe: Recipe) -> Figure:
    """Gradient against the score, for classes that have received different shares of positive gradient."""
    sampling, loss = part_of(recipe, "classify", GradientBalanced), part_of(recipe, "classify", ClassificationLoss)
    panels = []
    for side, label in SIDES.items():
        curves = {"cross entropy": _curve(CrossEntropy("sigmoid"), label)}
        curves |= {f"ratio {ratio:g}": _curve(loss, label, _at_ratio(sampling, ratio)) for ratio in RATIOS}
        panels.append(Panel(f"{side.capitalize()} of a class", "score p", SIZE, _lines(curves, "size")))
    return Figure(recipe.title, panels, "Ratio: positive over negative gradient that the class has received so far.")


def _at_ratio(sampling: GradientBalanced, ratio: float) -> GradientBalanced:
    """The sampling, in evaluation, as if its class had received gradients in this ratio."""
    sampling.positive.fill_(ratio)
    sampling.negative.fill_(1)
    return sampling.eval()


def _of_truth(loss: ClassificationLoss, label: int) -> _Curve:
    """Against p_t: a negative's is 1 - p."""
    curve = _curve(loss, label)
    return curve if label == OBJECT else _Curve(curve.loss.flip(0), curve.slope.flip(0))


def _curve(loss: ClassificationLoss, label: int, sampling: Sampling | None = None, quality: float = 0.0) -> _Curve:
    logits = SCORES.logit().view(1, -1, 1).requires_grad_()
    labels, of_each = torch.full((1, len(SCORES)), label), SCORES.new_full((1, len(SCORES)), quality)
    samples = Samples(Assignment(labels, torch.zeros_like(of_each), of_each), labels=labels, logits=logits)
    weighted = evaluate(loss, samples)
    if sampling is not None:
        weighted = weighted * sampling(samples)
    return _Curve(weighted.detach().flatten(), gradient(weighted, samples).flatten())


def _lines(curves: Mapping[str, _Curve], part: str, *, is_own: bool = False) -> list[Series]:
    x = SCORES.tolist()
    return [Series(name, x, getattr(curve, part).tolist(), is_own=is_own) for name, curve in curves.items()]
