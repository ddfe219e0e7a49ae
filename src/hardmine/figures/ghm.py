"""Gradient harmonising on real data: how often each gradient norm occurs, and what the losses make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hardmine.core.samples import Samples
from hardmine.core.scores import column_of_label
from hardmine.errors import ConfigError
from hardmine.figures.binning import share_of_bins, sum_of_bins
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.plain_head import evaluate, gradient
from hardmine.losses import ClassificationLoss, CrossEntropy, Focal
from hardmine.recipes import Recipe, Slot
from hardmine.sampling import GHMC
from hardmine.training.evidence import TrainedRun

__all__ = ["draw_ghm"]

OWN = "GHM-C"


def draw_ghm(recipe: Recipe, trained: TrainedRun) -> Figure:
    """The paper's three pictures: how often a norm occurs, what each loss makes of it, and what comes of both."""
    sampling = _density(recipe, trained)
    batches = [_gradients(samples, sampling) for samples in trained.samples(sampling.needs)]
    found = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    norms, edges = next(iter(found.values())), torch.linspace(0, 1, sampling.bins + 1).tolist()
    counts = sum_of_bins(norms, torch.ones_like(norms), edges[1:-1]).tolist()
    x_label = "gradient norm g of cross entropy"
    panels = [
        Panel("How often a norm occurs", x_label, "scores", [Series("scores", edges, counts, "steps")], log_y=True),
        Panel("What a loss makes of it", x_label, "|∂ loss / ∂ logit|", _means(found, norms, edges), log_y=True),
        Panel("What it contributes in all", x_label, "share of Σ |∂ loss / ∂ logit|", _totals(found, norms, edges)),
    ]
    return Figure(recipe.title, panels, "Focal loss: γ = 2 without α.")


def _density(recipe: Recipe, trained: TrainedRun) -> GHMC:
    sampling = recipe.slots_on(trained.traits).get("classify", Slot()).sampling
    if not isinstance(sampling, GHMC):
        raise ConfigError(
            f"{recipe.name} weighs the scores of one-stage detectors only, the run is of {trained.traits.detector}; "
            "give --run a run of retinanet, fcos or ssd"
        )
    return sampling


def _gradients(samples: Samples, sampling: GHMC) -> dict[str, Tensor]:
    """Of each loss the size of its gradient, flat over all scores that count (softmax: over samples)."""
    activation = sampling.activation or "sigmoid"
    norms = _norms(CrossEntropy(activation), samples)
    focal = _norms(Focal(2.0, None, activation), samples)
    sizes = {"cross entropy": norms, "focal loss": focal, OWN: sampling(samples) * norms}
    return {name: size[samples.assignment.is_valid].flatten() for name, size in sizes.items()}


def _norms(loss: ClassificationLoss, samples: Samples) -> Tensor:
    """|∂ loss / ∂ logit|: (B, N, C), or for softmax heads that of the label's logit, (B, N)."""
    samples = replace(samples, logits=samples["logits"].clone().requires_grad_())
    size = gradient(evaluate(loss, samples), samples).abs()
    if loss.activation == "sigmoid":
        return size
    labels = samples["labels"]
    column = column_of_label(labels, size.shape[-1])
    return size.gather(-1, column.unsqueeze(-1)).squeeze(-1)


def _means(found: Mapping[str, Tensor], norms: Tensor, edges: Sequence[float]) -> list[Series]:
    """Mean of each loss in each bin of the norm, at the mean norm there; empty bins are left out."""
    count, where = (sum_of_bins(norms, amounts, edges[1:-1]) for amounts in (torch.ones_like(norms), norms))
    filled = count > 0
    x = (where / count)[filled].tolist()
    means = {name: sum_of_bins(norms, size, edges[1:-1]) / count for name, size in found.items()}
    return [Series(name, x, mean[filled].tolist(), is_own=name == OWN) for name, mean in means.items()]


def _totals(found: Mapping[str, Tensor], norms: Tensor, edges: Sequence[float]) -> list[Series]:
    return [
        Series(name, edges, share_of_bins(norms, size, edges[1:-1]), "steps", name == OWN)
        for name, size in found.items()
    ]
