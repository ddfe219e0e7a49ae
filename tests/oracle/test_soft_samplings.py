"""Soft samplings against loops written from the papers' text, and their limits."""

import math
from dataclasses import replace

import pytest
import torch

from hardmine import ASL1, CARL, GHMC, GHMR, ISR, Assignment, BalancedCE, CrossEntropy, Focal, FocalFactor, Samples
from hardmine.core.samples import BACKGROUND, IGNORE

CLASSES = 3
Place = tuple[int, ...]


@pytest.fixture
def evidence(samples: Samples) -> Samples:
    """The samples with all that soft samplings read; the third batch has equal IoUs."""
    matched = samples.assignment.matched_gt
    logits = torch.randn(*matched.shape, CLASSES + 1, dtype=torch.float64) * 3
    error = torch.randn(*matched.shape, 4, dtype=torch.float64) * 0.05
    positive = matched >= 0
    return replace(
        samples,
        logits=logits,
        code_error=torch.where(positive.unsqueeze(-1), error, 0),
        predicted_iou=torch.where(positive, samples["noise"], 0),
    )


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def softmax(z: list[float]) -> list[float]:
    total = sum(math.exp(one) for one in z)
    return [math.exp(one) / total for one in z]


def gradient_norms(samples: Samples) -> dict[Place, float]:
    """|p - p*| of every class of every sample that counts."""
    norms = {}
    for b, image in enumerate(samples["logits"].tolist()):
        for i, logits in enumerate(image):
            label = int(samples["labels"][b, i])
            if label != IGNORE:
                norms |= {(b, i, c): abs(sigmoid(z) - (c == label)) for c, z in enumerate(logits)}
    return norms


def as_weights(betas: dict[Place, float], like: torch.Tensor) -> torch.Tensor:
    weights = torch.zeros(like.shape, dtype=torch.float64)
    for place, beta in betas.items():
        weights[place] = beta
    return weights


def in_regions(norms: dict[Place, float], bins: int) -> list[int]:
    """R_j, the number of norms with (j - 1)ε <= g < jε; the last region includes 1."""
    return [sum(min(int(g * bins), bins - 1) == j for g in norms.values()) for j in range(bins)]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_factor_of_the_paper(evidence, gamma, alpha):
    expected = {}
    for b, i, c in gradient_norms(evidence):
        p, is_label = sigmoid(float(evidence["logits"][b, i, c])), int(evidence["labels"][b, i]) == c
        p_t = p if is_label else 1 - p
        alpha_t = 1 if alpha is None else alpha if is_label else 1 - alpha
        expected[b, i, c] = alpha_t * (1 - p_t) ** gamma
    weights = FocalFactor(gamma, alpha)(evidence)
    torch.testing.assert_close(weights, as_weights(expected, evidence["logits"]))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal_factor_of_softmax_heads(evidence, gamma, alpha):
    expected = {}
    for b, labels in enumerate(evidence["labels"].tolist()):
        for i, label in enumerate(labels):
            p_t = softmax(evidence["logits"][b, i].tolist())[label if label >= 0 else CLASSES]
            alpha_t = 1 if alpha is None else alpha if label >= 0 else 1 - alpha
            if label != IGNORE:
                expected[b, i] = alpha_t * (1 - p_t) ** gamma
    weights = FocalFactor(gamma, alpha, "softmax")(evidence)
    torch.testing.assert_close(weights, as_weights(expected, evidence["labels"]))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, 0.75), (0.5, None), (2.0, 0.25)])
def test_cross_entropy_times_the_focal_factor_is_focal_loss(evidence, activation, gamma, alpha):
    logits = evidence["logits"].clone().requires_grad_()
    factor = FocalFactor(gamma, alpha, activation)(replace(evidence, logits=logits))
    product = factor * CrossEntropy(activation)(logits, evidence["labels"])
    focal = Focal(gamma, alpha, activation)(logits, evidence["labels"])
    torch.testing.assert_close(product, focal)
    for_product, for_focal = (torch.autograd.grad(loss.sum(), logits, retain_graph=True) for loss in (product, focal))
    torch.testing.assert_close(for_product, for_focal)
    if gamma == 0:
        torch.testing.assert_close(product, BalancedCE(alpha, activation)(logits, evidence["labels"]))


@pytest.mark.parametrize("bins", [1, 5, 30])
@pytest.mark.parametrize("over", ["all", "non-empty"])
def test_ghm_c_by_regions(evidence, bins, over):
    """β = N / (M · R of the own region); the code of the authors has the regions that are not empty for M."""
    norms = gradient_norms(evidence)
    regions = in_regions(norms, bins)
    number = bins if over == "all" else sum(count > 0 for count in regions)
    betas = {place: len(norms) / (number * regions[min(int(g * bins), bins - 1)]) for place, g in norms.items()}
    torch.testing.assert_close(GHMC(bins, 0, over)(evidence), as_weights(betas, evidence["logits"]))


def test_ghm_c_with_momentum(evidence):
    """S = m S + (1 - m) R from 0 over three batches; S / (1 - m^t) is a weighted mean of the R."""
    bins, momentum, ghm, average = 5, 0.75, GHMC(5).double(), [0.0] * 5
    ghm = GHMC(bins, momentum).double()
    for step in range(1, 4):
        batch = replace(evidence, logits=evidence["logits"] * step)
        norms = gradient_norms(batch)
        average = [momentum * s + (1 - momentum) * r for s, r in zip(average, in_regions(norms, bins), strict=True)]
        betas = {
            place: len(norms) / (bins * average[min(int(g * bins), bins - 1)] / (1 - momentum**step))
            for place, g in norms.items()
        }
        torch.testing.assert_close(ghm(batch), as_weights(betas, batch["logits"]))


@pytest.mark.parametrize("bins", [1, 5, 30])
def test_ghm_c_by_the_exact_density(evidence, bins):
    """GD(g) = Σ_k δ_ε(g_k, g) / l_ε(g), pair by pair."""
    norms, half = gradient_norms(evidence), 0.5 / bins
    betas = {}
    for place, g in norms.items():
        neighbours = sum(g - half <= other < g + half for other in norms.values())
        length = min(g + half, 1) - max(g - half, 0)
        betas[place] = len(norms) / (neighbours / length)
    torch.testing.assert_close(GHMC(bins, 0, density="exact")(evidence), as_weights(betas, evidence["logits"]))


@pytest.mark.parametrize("over", ["all", "non-empty"])
def test_ghm_r_by_regions(evidence, over):
    """Over the four numbers of every positive, gr = |d / √(d² + μ²)|."""
    mu, bins = 0.02, 10
    norms = {}
    for b, i in (evidence["labels"] >= 0).nonzero().tolist():
        norms |= {(b, i, k): abs(d / math.sqrt(d**2 + mu**2)) for k, d in enumerate(evidence["code_error"][b, i])}
    norms = {place: float(g) for place, g in norms.items()}
    regions = in_regions(norms, bins)
    number = bins if over == "all" else sum(count > 0 for count in regions)
    betas = {place: len(norms) / (number * regions[min(int(g * bins), bins - 1)]) for place, g in norms.items()}
    weights = GHMR(mu, bins, 0, over)(evidence)
    torch.testing.assert_close(weights, as_weights(betas, evidence["code_error"]))


@pytest.mark.parametrize("mu", [0.02, 1.0])
def test_asl1_of_the_paper(evidence, mu):
    """√(d² + μ²) - μ, with the slope that GHM-R takes for the norm."""
    error = evidence["code_error"].clone().requires_grad_()
    loss = ASL1(mu)(error, torch.zeros_like(error))
    (slope,) = torch.autograd.grad(loss.sum(), error)
    values = [math.sqrt(d**2 + mu**2) - mu for d in error.flatten().tolist()]
    slopes = [d / math.sqrt(d**2 + mu**2) for d in error.flatten().tolist()]
    torch.testing.assert_close(loss.flatten().tolist(), values)
    torch.testing.assert_close(slope.flatten().tolist(), slopes)


@pytest.mark.parametrize("density", ["regions", "exact"])
def test_ghm_leaves_uniform_gradient_norms_alone(density):
    norm = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    matched = torch.full((1, len(norm)), BACKGROUND)
    samples = Samples(Assignment(matched, norm[None]), labels=matched, logits=norm.logit()[None, :, None])
    weights = GHMC(10, 0, density=density)(samples)
    torch.testing.assert_close(weights, torch.ones_like(weights), rtol=0, atol=2e-3)  # the exact count is off by one


def iou_hlr(members: list[Place], samples: Samples, object_of: dict[Place, Place]) -> list[Place]:
    """The members of a class in the order of their IoU-HLR: all the best of their object, the second best, ..."""
    by_iou = sorted(members, key=lambda place: -float(samples["predicted_iou"][place]))
    local = {
        place: [other for other in by_iou if object_of[other] == object_of[place]].index(place) for place in by_iou
    }
    return [place for top in range(len(by_iou)) for place in by_iou if local[place] == top]


@pytest.mark.parametrize("over", ["batch", "image"])
@pytest.mark.parametrize("relative_to", ["largest", "own"])
@pytest.mark.parametrize(("k", "bias"), [(2.0, 0.0), (0.5, 0.2)])
def test_isr_of_the_paper(evidence, over, relative_to, k, bias):
    matched, labels = evidence.assignment.matched_gt.tolist(), evidence["labels"].tolist()
    places = [(b, i) for b, row in enumerate(matched) for i in range(len(row)) if matched[b][i] >= 0]
    object_of = {(b, i): (b, matched[b][i]) for b, i in places}
    expected = (evidence["labels"] == BACKGROUND).double()
    for pool in [places] if over == "batch" else [[place for place in places if place[0] == b] for b in range(2)]:
        classes = [[(b, i) for b, i in pool if labels[b][i] == c] for c in range(CLASSES)]
        largest, weights = max(map(len, classes)), {}
        for members in classes:
            n = largest if relative_to == "largest" else len(members)
            for r, place in enumerate(iou_hlr(members, evidence, object_of)):
                weights[place] = ((1 - bias) * (n - r) / n + bias) ** k
        loss = {place: float(evidence["classification_loss"][place]) for place in pool}
        weighted = sum(weights[place] * loss[place] for place in pool)
        for place in pool:
            expected[place] = weights[place] * sum(loss.values()) / weighted
    torch.testing.assert_close(ISR(k, bias, over, relative_to)(evidence), expected)


def test_isr_keeps_the_loss_of_the_positives(evidence):
    positive, loss = evidence.assignment.is_positive, evidence["classification_loss"]
    weighted = ISR(3.0, 0.1)(evidence) * loss
    torch.testing.assert_close(weighted[positive].sum(), loss[positive].sum())
    assert torch.equal(weighted[~positive], loss[~positive] * evidence.assignment.is_valid[~positive])


def test_the_worked_example_of_hierarchical_ranks():
    """{A, B, C} find one object, C > A > B; {D, E} another, D > E: the order is D C A E B, although B > E."""
    matched = torch.tensor([[0, 0, 0, 1, 1]])
    iou = torch.tensor([[0.7, 0.6, 0.8, 0.9, 0.3]])
    one = torch.ones(1, 5)
    samples = Samples(
        Assignment(matched, iou), labels=torch.zeros_like(matched), predicted_iou=iou, classification_loss=one
    )
    weights = ISR(k=1)(samples)[0]
    assert "".join("ABCDE"[i] for i in weights.argsort(descending=True)) == "DCAEB"
    torch.testing.assert_close(weights[[3, 2, 0, 4, 1]], torch.tensor([5.0, 4, 3, 2, 1]) / 3)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize(("k", "bias"), [(1.0, 0.2), (2.0, 0.0), (0.5, 1.0)])
def test_carl_of_the_paper(evidence, activation, k, bias):
    v = {}
    for b, i in (evidence["labels"] >= 0).nonzero().tolist():
        logits, label = evidence["logits"][b, i].tolist(), int(evidence["labels"][b, i])
        p = softmax(logits)[label] if activation == "softmax" else sigmoid(logits[label])
        v[b, i] = ((1 - bias) * p + bias) ** k
    expected = as_weights({place: one / (sum(v.values()) / len(v)) for place, one in v.items()}, evidence["labels"])
    torch.testing.assert_close(CARL(k, bias, activation=activation)(evidence), expected)


@pytest.mark.parametrize(("k", "bias"), [(1.0, 0.2), (2.0, 0.1)])
def test_the_gradient_of_carl_is_that_of_the_formula(evidence, k, bias):
    """∂L/∂p_i = n (1 - b) k ((1 - b) p_i + b)^(k - 1) / Σv · (L_i - Σ v L / Σ v), and ∂p/∂z = p (1 - p)."""
    positive = evidence.assignment.is_positive
    logits, box_loss = evidence["logits"].clone().requires_grad_(), evidence["regression_loss"]
    weights = CARL(k, bias, activation="sigmoid")(replace(evidence, logits=logits))
    (gradient,) = torch.autograd.grad((weights * box_loss).sum(), logits)
    index = evidence["labels"].clamp_min(0).unsqueeze(-1)
    p = evidence["logits"].sigmoid().gather(-1, index).squeeze(-1)
    floor = (1 - bias) * p + bias
    v = torch.where(positive, floor**k, 0)
    slope = positive.sum() * (1 - bias) * k * floor ** (k - 1) / v.sum()
    expected = slope * (box_loss - (v * box_loss).sum() / v.sum()) * p * (1 - p)
    expected = torch.where(positive, expected, 0).unsqueeze(-1)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient).scatter(-1, index, expected))


def test_carl_without_preference_is_the_plain_box_loss(evidence):
    positive = evidence.assignment.is_positive
    torch.testing.assert_close(CARL(k=0)(evidence), positive.double())
    torch.testing.assert_close(CARL(base=1)(evidence), CARL()(evidence) + positive)
