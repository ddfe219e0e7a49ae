"""Libra R-CNN: the gradient of its box loss, and on real proposals the negatives that its sampling keeps."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from hardmine.core.samples import Evidence, Samples
from hardmine.diagnosis.bins import LOW_IOU
from hardmine.figures.binning import IOU_BINS, by_iou
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.plain_head import part_of
from hardmine.losses import RegressionLoss, SmoothL1
from hardmine.recipes import Recipe, Slot
from hardmine.sampling import OHEM, Combined, RandomBalanced
from hardmine.training.evidence import TrainedRun

__all__ = ["draw_box_loss", "draw_kept_negatives"]

ERRORS = torch.linspace(0, 2, 201, dtype=torch.float64)
MISTAKEN = math.log(2)  # cross entropy of a negative whose background has probability 1/2


def draw_box_loss(recipe: Recipe) -> Figure:
    """Gradient of the box loss against the error, beside that of smooth L1."""
    series = [_slope("smooth L1", SmoothL1(1.0)), _slope(recipe.name, part_of(recipe, "regress", RegressionLoss))]
    panel = Panel("Gradient of the box loss", "error |d| of a box code", "|∂ loss / ∂ d|", series)
    return Figure(recipe.title, [panel])


def draw_kept_negatives(recipe: Recipe, trained: TrainedRun) -> Figure:
    """IoU of the negatives that three samplings keep of the same proposals; of a one-stage detector nothing."""
    own = recipe.slots_on(trained.traits).get("select", Slot()).sampling
    if not isinstance(own, Combined):
        return Figure(recipe.title, [])
    samplings = {"random": RandomBalanced(own.num, own.positive_fraction), "OHEM": OHEM(own.num), recipe.name: own}
    needs: frozenset[Evidence] = frozenset({"classification_loss"})
    needs = needs.union(*(sampling.needs for sampling in samplings.values()))
    batches = trained.samples(needs)
    kept = {name: [sampling(samples) > 0 for samples in batches] for name, sampling in samplings.items()}
    kept["all mistaken ones"] = [samples["classification_loss"] > MISTAKEN for samples in batches]
    series = [_of_negatives(name, batches, masks, is_own=name == recipe.name) for name, masks in kept.items()]
    panel = Panel("Negatives that are kept", "largest IoU with an object", "share of them", series, ticks=IOU_BINS)
    return Figure(recipe.title, [panel], "Mistaken: a negative whose background has less than 1/2.")


def _slope(name: str, loss: RegressionLoss) -> Series:
    error = ERRORS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(error, torch.zeros_like(error)).sum(), error)
    return Series(name, ERRORS.tolist(), slope.tolist(), is_own=not isinstance(loss, SmoothL1))


def _of_negatives(name: str, batches: list[Samples], masks: list[Tensor], is_own: bool) -> Series:
    parts = [b.assignment.iou[mask & b.assignment.is_negative] for b, mask in zip(batches, masks, strict=True)]
    iou = torch.cat(parts)
    above = f"{(iou > LOW_IOU).float().mean():.0%}" if len(iou) else "none"
    return replace(by_iou(f"{name}: {above} above {LOW_IOU:g}", iou, torch.ones_like(iou)), is_own=is_own)
