"""Prime sample attention: the worked example of its rank, and what its box loss does to scores."""

import torch
from torch import Tensor

from hardmine.core.rank_in_groups import hierarchical_local_rank
from hardmine.core.samples import Assignment, Samples
from hardmine.figures.figure import Figure, Panel, Series
from hardmine.figures.plain_head import gradient, part_of
from hardmine.recipes import Recipe
from hardmine.sampling import CARL, ISR

__all__ = ["draw_carl", "draw_isr", "draw_pisa"]

BOXES = ("A", "B", "C", "D", "E")
OBJECTS = (0, 0, 0, 1, 1)
IOUS = (0.70, 0.65, 0.80, 0.90, 0.60)  # C > A > B of one object, D > E of another; B's is above E's
SCORES = torch.linspace(0.02, 0.98, 25)
BETTER, WORSE = 0.5, 1.5  # box losses


def draw_isr(recipe: Recipe) -> Figure:
    """Five boxes of two objects in the order of their hierarchical local rank, and their weights."""
    iou, objects = torch.tensor([IOUS]), torch.tensor([OBJECTS])
    order = hierarchical_local_rank(iou, objects, torch.zeros_like(objects)).argsort()[0].tolist()
    weights = part_of(recipe, "classify", ISR)(_five_boxes(iou, objects))[0].tolist()
    ticks = [BOXES[box] for box in order]
    panels = [
        Panel("Boxes in the order of their rank", "box", "IoU with their object", _bars(order, IOUS), ticks=ticks),
        Panel("Their weights, at equal losses", "box", "weight w'", _bars(order, weights), ticks=ticks),
    ]
    note = "First the best box of each object, then the second best of each: B waits for E, although its IoU is larger."
    return Figure(recipe.title, panels, note)


def draw_carl(recipe: Recipe) -> Figure:
    """The share of a box in the loss, and its gradient into the score, for boxes placed better and worse."""
    sampling = part_of(recipe, "regress", CARL)
    samples = _positives(SCORES.repeat(2))
    box_loss = torch.tensor([BETTER, WORSE]).repeat_interleave(len(SCORES)).unsqueeze(0)
    weights = sampling(samples)
    better, worse = gradient(weights * box_loss, samples).view(2, -1).tolist()
    x = SCORES.tolist()
    shares = (weights[0, : len(x)] - sampling.base).tolist()
    slopes = [Series(f"box loss {BETTER:g}", x, better), Series(f"box loss {WORSE:g}", x, worse)]
    panels = [
        Panel("Weight of a box, besides its own 1", "score p of its class", "c", [Series("c", x, shares, is_own=True)]),
        Panel("Gradient of the box loss into the score", "score p of its class", "∂ loss / ∂ logit", slopes),
    ]
    note = "Where the gradient is below 0 the score is raised: that of a box better placed than the weighted mean."
    return Figure(recipe.title, panels, note)


def draw_pisa(recipe: Recipe) -> Figure:
    """Both halves."""
    return draw_isr(recipe).above(draw_carl(recipe))


def _five_boxes(iou: Tensor, objects: Tensor) -> Samples:
    same = torch.ones_like(iou)
    return Samples(
        Assignment(objects, iou), labels=torch.zeros_like(objects), predicted_iou=iou, classification_loss=same
    )


def _positives(scores: Tensor) -> Samples:
    labels = torch.zeros(1, len(scores), dtype=torch.int64)
    logits = scores.logit().view(1, -1, 1).requires_grad_()
    return Samples(Assignment(labels, torch.ones(1, len(scores))), labels=labels, logits=logits)


def _bars(order: list[int], values: tuple[float, ...] | list[float]) -> list[Series]:
    """A bar a box, at its place in the order; a series an object."""
    places = {number: [x for x, box in enumerate(order) if OBJECTS[box] == number] for number in sorted(set(OBJECTS))}
    return [Series(f"object {number + 1}", at, [values[order[x]] for x in at], "bars") for number, at in places.items()]
