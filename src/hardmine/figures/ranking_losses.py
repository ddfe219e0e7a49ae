"""Losses that compare all scores with each other: who is pushed how hard, in a small batch made by hand."""

import torch

from hardmine.core.samples import BACKGROUND, Assignment, Samples
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.plain_head import evaluate, gradient, part_of
from hardmine.losses import ClassificationLoss
from hardmine.recipes import Recipe

__all__ = ["draw_ranking"]

NUM_POSITIVES, NUM_NEGATIVES = 16, 240
GOOD, BAD = 0.9, 0.6  # IoUs of predicted boxes, in turn
ABOUT = "below 0: the score is raised"


def draw_ranking(recipe: Recipe) -> Figure:
    """Gradient of every sample against its score."""
    samples = _batch()
    loss = evaluate(part_of(recipe, "classify", ClassificationLoss), samples)
    slopes, scores = gradient(loss, samples).flatten(), samples["logits"].detach().flatten()
    positive, good = samples.assignment.is_positive[0], samples["predicted_iou"][0] == GOOD
    groups = {"good boxes": positive & good, "bad boxes": positive & ~good, "negatives": ~positive}
    points = {name: Series(name, scores[of].tolist(), slopes[of].tolist(), "points") for name, of in groups.items()}
    *of_positives, of_negatives = points.values()
    panels = [
        Panel("Positives", "logit", f"∂ loss / ∂ logit ({ABOUT})", of_positives),
        Panel("Negatives", "logit", "∂ loss / ∂ logit", [of_negatives]),
    ]
    note = (
        f"One image of {NUM_POSITIVES} positives and {NUM_NEGATIVES} negatives, made by hand; "
        f"good boxes have IoU {GOOD:g}, bad ones {BAD:g}."
    )
    return Figure(recipe.title, panels, note)


def _batch() -> Samples:
    """Positives spread evenly, negatives as a bell left of them; box losses as GIoU would give."""
    middle = torch.linspace(0.5 / NUM_NEGATIVES, 1 - 0.5 / NUM_NEGATIVES, NUM_NEGATIVES)
    negatives = 1.3 * 2**0.5 * torch.erfinv(2 * middle - 1) - 2
    logits = torch.cat([torch.linspace(-4, 3, NUM_POSITIVES), negatives]).view(1, -1, 1)
    is_positive = torch.arange(logits.shape[1]).unsqueeze(0) < NUM_POSITIVES
    labels = torch.where(is_positive, 0, BACKGROUND)
    iou = torch.where(is_positive, torch.tensor([GOOD, BAD]).repeat(logits.shape[1] // 2), 0)
    return Samples(
        Assignment(labels, iou), labels=labels, logits=logits.requires_grad_(),
        predicted_iou=iou, regression_loss=torch.where(is_positive, 1 - iou, 0),
    )  # fmt: skip
