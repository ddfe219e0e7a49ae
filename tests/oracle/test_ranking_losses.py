"""AP, aLRP and RS loss against loops written from the papers' text, and their identities."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from hardmine import ALRP, BACKGROUND, IGNORE, ALRPWeight, APLoss, RankSort
from hardmine.core.samples import Assignment, Samples

Place = tuple[int, int, int]  # image, sample, class


def batches() -> dict[str, tuple[Tensor, Tensor]]:
    """Logits (2, 12, 3) and labels (2, 12)."""
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 12, 3, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(IGNORE, 3, (2, 12), generator=generator)
    one = torch.full_like(labels, BACKGROUND)
    one[1, 4] = 2
    return {
        "ordinary": (logits, labels),
        "ties": (logits.round(), labels),
        "all equal": (torch.full_like(logits, -4.6), labels),
        "all within a step": (logits * 1e-3, labels),
        "far apart": (logits * 1e4, labels),
        "one positive": (logits, one),
        "no positives": (logits, labels.clamp_max(BACKGROUND)),
        "all positive": (logits, labels.clamp_min(0)),
        "no negatives": (logits[..., :1], torch.where(labels < 0, IGNORE, 0)),
    }


@pytest.fixture(params=list(batches()))
def batch(request) -> tuple[Tensor, Tensor]:
    return batches()[request.param]


@pytest.fixture(params=[0, 0.25, 0.5, 1.0, 3.0])
def delta(request) -> float:
    return request.param


def step(difference: float, delta: float) -> float:
    if delta == 0:
        return float(difference >= 0)
    return min(1.0, max(0.0, difference / (2 * delta) + 0.5))


def pooled(logits: Tensor, labels: Tensor) -> tuple[dict[Place, float], dict[Place, float]]:
    """Scores of the positives and the negatives of the whole batch by their place."""
    positives, negatives = {}, {}
    for b, row in enumerate(labels.tolist()):
        for i, label in enumerate(row):
            for c, score in enumerate(logits[b, i].tolist()):
                if label != IGNORE:
                    (positives if c == label else negatives)[b, i, c] = score
    return positives, negatives


def slow_ap(
    positives: dict[Place, float], negatives: dict[Place, float], delta: float, interpolated: bool
) -> tuple[float, dict[Place, float]]:
    """Visit the positives by ascending score and carry the largest precision along."""
    gradient = dict.fromkeys([*positives, *negatives], 0.0)
    loss, best = 0.0, 0.0
    for i in sorted(positives, key=lambda place: positives[place]):
        above = {j: step(score - positives[i], delta) for j, score in negatives.items()}
        true = 1 + sum(step(score - positives[i], delta) for k, score in positives.items() if k != i)
        precision = true / (true + sum(above.values()))
        best = max(best, precision)
        kept = best if interpolated else precision
        loss += (1 - kept) / len(positives)
        gradient[i] -= (1 - kept) / len(positives)
        for j, h in above.items():
            if h > 0:
                scale = (1 - kept) / (1 - precision)
                gradient[j] += h / (true + sum(above.values())) * scale / len(positives)
    return loss, gradient


def slow_alrp(
    positives: dict[Place, float], negatives: dict[Place, float], box_error: dict[Place, float], delta: float
) -> tuple[float, dict[Place, float], dict[Place, float]]:
    """Loss and gradient of the classification side, and what the box error of each positive counts on the other."""
    gradient, weight = dict.fromkeys([*positives, *negatives], 0.0), dict.fromkeys(positives, 0.0)
    loss = 0.0
    for i, own in positives.items():
        above = {j: step(score - own, delta) for j, score in negatives.items()}
        others = {k: step(score - own, delta) for k, score in positives.items() if k != i}
        false = sum(above.values())
        rank = 1 + sum(others.values()) + false
        loss += false / rank / len(positives)
        if false > 1e-5:
            error = (false + sum(h * box_error[k] for k, h in others.items())) / rank
            gradient[i] -= error / len(positives)
            for j, h in above.items():
                gradient[j] += error * h / false / len(positives)
        for k, score in positives.items():
            weight[k] += (score >= own) / rank
    return loss, gradient, weight


def slow_rank_sort(
    positives: dict[Place, float], negatives: dict[Place, float], iou: dict[Place, float], delta: float
) -> tuple[float, dict[Place, float]]:
    """Current minus target errors; the ranking error goes to negatives, the sorting error to positives of lower IoU."""
    gradient = dict.fromkeys([*positives, *negatives], 0.0)
    loss = 0.0
    for i, own in positives.items():
        above = {j: step(score - own, delta) for j, score in negatives.items()}
        others = {k: step(score - own, delta) for k, score in positives.items()}
        target = {k: h for k, h in others.items() if iou[k] >= iou[i]}
        wrong = {k: h for k, h in others.items() if iou[k] < iou[i]}
        ranking = sum(above.values()) / (sum(above.values()) + sum(others.values()))
        sorting, wanted = (
            sum(h * (1 - iou[k]) for k, h in some.items()) / sum(some.values()) for some in (others, target)
        )
        sorting = sorting - wanted if sum(wrong.values()) > 0 else 0
        loss += (ranking + sorting) / len(positives)
        gradient[i] -= (ranking + sorting) / len(positives)
        for j, h in above.items():
            if h > 0:
                gradient[j] += ranking * h / sum(above.values()) / len(positives)
        for k, h in wrong.items():
            if h > 0:
                gradient[k] += sorting * h / sum(wrong.values()) / len(positives)
    return loss, gradient


def agree(loss: Callable[[Tensor], Tensor], logits: Tensor, value: float, gradient: dict[Place, float]) -> None:
    """Both with only the scores that matter, as on a CPU, and with all in their places, as on a GPU."""
    expected = torch.zeros_like(logits)
    for place, number in gradient.items():
        expected[place] = number
    for is_compiling in (False, True):
        logits = logits.detach().clone().requires_grad_()
        with patch("torch.compiler.is_compiling", return_value=is_compiling):
            ours = loss(logits)
        (our_gradient,) = torch.autograd.grad(ours, logits)
        torch.testing.assert_close(ours.item(), value, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(our_gradient, expected, rtol=1e-9, atol=1e-9)
        assert our_gradient.sum().abs() < 1e-9, "what positives are pushed up, others are pushed down"


def by_place(values: Tensor, positives: dict[Place, float]) -> dict[Place, float]:
    return {place: values[place[:2]].item() for place in positives}


@pytest.mark.parametrize("interpolated", [True, False])
def test_ap(batch, delta, interpolated):
    logits, labels = batch
    agree(
        lambda z: APLoss(delta, interpolated)(z, labels),
        logits,
        *slow_ap(*pooled(logits, labels), delta, interpolated),
    )


@pytest.mark.parametrize("tau", [0.5, 0.0])
def test_alrp(batch, delta, tau):
    logits, labels = batch
    box_loss = torch.rand(labels.shape, dtype=torch.float64)
    positives, negatives = pooled(logits, labels)
    error = by_place(box_loss / 2 / (1 - tau), positives)
    value, gradient, weight = slow_alrp(positives, negatives, error, delta)
    agree(lambda z: ALRP(delta, tau)(z, labels, regression_loss=box_loss), logits, value, gradient)
    assignment = Assignment(labels, torch.zeros(labels.shape, dtype=torch.float64))
    weights = ALRPWeight(delta, tau)(Samples(assignment, labels=labels, logits=logits))
    expected_weights = torch.zeros_like(weights)
    for (b, i, _), number in weight.items():
        expected_weights[b, i] = number / 2 / (1 - tau)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("levels", [None, 4, 1], ids=["all IoUs apart", "some equal", "all equal"])
def test_rank_sort(batch, delta, levels):
    logits, labels = batch
    iou = torch.rand(labels.shape, dtype=torch.float64)
    if levels is not None:
        iou = (iou * levels).floor() / levels
    positives, negatives = pooled(logits, labels)
    expected = slow_rank_sort(positives, negatives, by_place(iou, positives), delta)
    agree(lambda z: RankSort(delta)(z, labels, predicted_iou=iou), logits, *expected)


def all_pairs(logits: Tensor, labels: Tensor, quality: Tensor, delta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of AP, aLRP and RS loss for one class from whole matrices of pairs, in float64."""
    score, positive = logits.double().flatten(), labels.flatten() >= 0
    own, y, count = score[positive], quality.double().flatten()[positive], positive.sum()
    above = ((score[~positive] - own[:, None]) / (2 * delta) + 0.5).clamp(0, 1)
    others = ((own - own[:, None]) / (2 * delta) + 0.5).clamp(0, 1)
    false, rank = above.sum(1), others.sum(1) + 0.5 + above.sum(1)
    alrp = torch.where(false > 1e-5, (false + others @ y - y / 2) / rank, 0)
    worse = others * (y < y[:, None])
    better = others - worse
    sorting = (others @ (1 - y)) / others.sum(1) - (better @ (1 - y)) / better.sum(1)
    sorting = torch.where(worse.sum(1) > 0, sorting, 0)
    gradients = []
    for error, to_others in ((false / rank, None), (alrp, None), (false / (rank - 0.5), sorting)):
        gradient = torch.zeros_like(score)
        gradient[~positive] = torch.where(false > 0, error / false, 0) @ above
        gradient[positive] = -error
        if to_others is not None:
            gradient[positive] += torch.where(worse.sum(1) > 0, to_others / worse.sum(1), 0) @ worse - to_others
        gradients.append((gradient / count).view_as(logits))
    return gradients[0], gradients[1], gradients[2]


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_many_positives_and_negatives_in_float32(spread):
    """Scores in float32 as a head gives them; inside everything is float64."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.where(torch.rand(1, 20000, generator=generator) < 0.02, 0, BACKGROUND)
    logits = torch.randn(1, 20000, 1, generator=generator) * spread + (labels >= 0).unsqueeze(-1) * spread
    quality = torch.rand(1, 20000, generator=generator)
    losses = (
        lambda z: APLoss(0.5, interpolated=False)(z, labels),
        lambda z: ALRP(0.5)(z, labels, regression_loss=quality),
        lambda z: RankSort(0.5)(z, labels, predicted_iou=quality),
    )
    for loss, expected in zip(losses, all_pairs(logits, labels, quality, 0.5), strict=True):
        in_float64 = logits.double().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(in_float64), in_float64)
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
        in_float32 = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(in_float32), in_float32)
        torch.testing.assert_close(gradient, expected.float())


@pytest.mark.parametrize("interpolated", [False, True])
def test_with_a_hard_step_ap_loss_is_one_minus_ap(interpolated):
    """Average over positives of the precision at their place in the list, or of the best at or after it."""
    logits, labels = torch.randn(2, 30, 2, dtype=torch.float64), torch.randint(IGNORE, 2, (2, 30))
    positives, negatives = pooled(logits, labels)
    listed = sorted([(score, True) for score in positives.values()] + [(score, False) for score in negatives.values()])
    hits, precisions = 0, []
    for place, (_, is_positive) in enumerate(reversed(listed), start=1):
        hits += is_positive
        if is_positive:
            precisions.append(hits / place)
    if interpolated:
        precisions = [max(precisions[k:]) for k in range(len(precisions))]
    expected = 1 - sum(precisions) / len(precisions)
    assert APLoss(0, interpolated)(logits, labels).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [APLoss, ALRP])
def test_a_tiny_step_is_a_hard_one(kind):
    """Not so for RS, which counts H(0) of a positive itself: 1/2 for any soft step and 1 for the hard one."""
    logits, labels = torch.randn(2, 30, 2, dtype=torch.float64).requires_grad_(), torch.randint(IGNORE, 2, (2, 30))
    of_box = torch.rand(2, 30, dtype=torch.float64)

    def gradient(delta: float) -> Tensor:
        loss = kind(delta)
        return torch.autograd.grad(loss(logits, labels, **dict.fromkeys(loss.needs, of_box)), logits)[0]

    torch.testing.assert_close(gradient(1e-9), gradient(0))
