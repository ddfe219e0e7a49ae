"""Long-tail weights and pairwise losses against loops written from the papers' text, and their limits."""

import math
import statistics

import pytest
import torch

from hardmine import (
    BACKGROUND,
    EFL,
    IGNORE,
    All,
    Assignment,
    ClassBalanced,
    Correlation,
    CrossEntropy,
    DRLoss,
    EQLv2,
    Focal,
    Samples,
    Seesaw,
)

C = 3


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(z) for z in row)
    return [math.exp(z) / total for z in row]


@pytest.fixture(params=range(4))
def batches(request) -> list[Samples]:
    """Three batches of two images in float64; the first class is rare, the last seed has no positives."""
    generator = torch.Generator().manual_seed(request.param)
    found = []
    for _ in range(3):
        labels = torch.randint(IGNORE, C, (2, 12), generator=generator)
        labels = torch.where((labels == 0) & (torch.rand(2, 12, generator=generator) < 0.7), 1, labels)
        if request.param == 3:
            labels = labels.clamp_max(BACKGROUND)
        logits = torch.randn(2, 12, C + 1, generator=generator, dtype=torch.float64) * 2
        iou = torch.rand(2, 12, generator=generator, dtype=torch.float64)
        found.append(Samples(Assignment(labels, iou), labels=labels, logits=logits, predicted_iou=iou))
    return found


def sigmoid_head(samples: Samples) -> Samples:
    return Samples(samples.assignment, labels=samples.labels, logits=samples.logits[..., :C])


def elements(samples: Samples):
    """(place, logit, whether it is the sample's own class) of every score of a sample that counts."""
    for b, row in enumerate(samples.labels.tolist()):
        for i, label in enumerate(row):
            for c in range(C):
                if label != IGNORE:
                    yield (b, i, c), samples.logits[b, i, c].item(), c == label


def test_eqlv2(batches):
    """Up-weight positives by 1 + α(1 - f(g)), down-weight negatives by f(g), g from the gradients of earlier calls."""
    sampling = EQLv2(C).double()
    positive, negative = [0.0] * C, [0.0] * C
    for number, samples in enumerate(map(sigmoid_head, batches)):
        ratio = [p / n for p, n in zip(positive, negative, strict=True)] if number else [100.0] * C
        weights = sampling(samples)
        for (b, i, c), z, is_own in elements(samples):
            f = sigmoid(12 * (ratio[c] - 0.8))
            weight = 1 + 4 * (1 - f) if is_own else f
            assert weights[b, i, c].item() == pytest.approx(weight, rel=1e-6)
            (positive if is_own else negative)[c] += weight * abs(sigmoid(z) - is_own)


def test_efl(batches):
    """-α_t (γ_b + γ_v)/γ_b (1 - p_t)^(γ_b + γ_v) log p_t with γ_v = s (1 - g), g from gradients of earlier calls."""
    sampling = EFL(C).double()
    positive, negative = [0.0] * C, [0.0] * C
    for number, samples in enumerate(map(sigmoid_head, batches)):
        g = [min(1.0, p / n) for p, n in zip(positive, negative, strict=True)] if number else [1.0] * C
        loss = sampling(samples) * CrossEntropy("sigmoid")(samples.logits, samples.labels)

        def efl(z: float, is_own: bool, gamma: float) -> float:
            p_t = sigmoid(z) if is_own else 1 - sigmoid(z)
            return -(0.25 if is_own else 0.75) * gamma / 2 * (1 - p_t) ** gamma * math.log(p_t)

        for (b, i, c), z, is_own in elements(samples):
            gamma = 2 + 8 * (1 - g[c])
            assert loss[b, i, c].item() == pytest.approx(efl(z, is_own, gamma), rel=1e-6)
            slope = (efl(z + 1e-5, is_own, gamma) - efl(z - 1e-5, is_own, gamma)) / 2e-5
            (positive if is_own else negative)[c] += abs(slope)
    torch.testing.assert_close(sampling.positive, torch.tensor(positive, dtype=torch.float64), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(sampling.negative, torch.tensor(negative, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_efl_without_scale_is_focal_loss(batches):
    sampling = EFL(C, 1.5, 0.6, scale=0.0).double()
    for samples in map(sigmoid_head, batches):
        loss = sampling(samples) * CrossEntropy("sigmoid")(samples.logits, samples.labels)
        torch.testing.assert_close(loss, Focal(1.5, 0.6)(samples.logits, samples.labels))


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_class_balanced(batches, beta):
    """w_c = (1 - β)/(1 - β^n), normalised so that the weights of all classes sum to their number."""
    sampling, counts = ClassBalanced(C, beta), [0] * C
    for samples in batches:
        raw = [(1 - beta) / (1 - beta ** max(n, 1)) for n in counts]
        weights = sampling(samples)
        for b, row in enumerate(samples.labels.tolist()):
            for i, label in enumerate(row):
                expected = {IGNORE: 0.0, BACKGROUND: 1.0}.get(label, C * raw[label] / sum(raw))
                assert weights[b, i].item() == pytest.approx(expected)
        for label in samples.labels.flatten().tolist():
            if label >= 0:
                counts[label] += 1
    if beta == 0:
        assert torch.equal(sampling(batches[0]), All()(batches[0]))


def test_class_balanced_near_one_is_the_inverse_frequency():
    counts = torch.tensor([2.0, 30, 500], dtype=torch.float64)
    inverse = (1 / counts) / (1 / counts).mean()
    weights = ClassBalanced(3, 1 - 1e-9, [2, 30, 500]).class_weights
    torch.testing.assert_close(weights, inverse, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("p", "q"), [(0.8, 2.0), (0.0, 2.0), (0.8, 0.0), (1.0, 1.0)])
def test_seesaw(batches, p, q):
    """Softmax whose denominator has S_ij = M_ij C_ij before each other class; counts are accumulated first."""
    loss, counts = Seesaw(C, p, q, background_is_class=True), [0] * (C + 1)
    for samples in batches:
        logits = samples.logits.clone().requires_grad_()
        values = loss(logits, samples.labels)
        (gradient,) = torch.autograd.grad(values.sum(), logits)
        for label in samples.labels.flatten().tolist():
            if label != IGNORE:
                counts[label] += 1  # BACKGROUND is -1: the last
        n = [max(count, 1) for count in counts]
        for b, row in enumerate(samples.labels.tolist()):
            for i, label in enumerate(row):
                if label == IGNORE:
                    continue
                t, z = label % (C + 1), samples.logits[b, i].tolist()
                s, factors = softmax(z), []
                for j in range(C + 1):
                    m = (n[j] / n[t]) ** p if n[t] > n[j] else 1
                    c = (s[j] / max(s[t], 0.01)) ** q if s[j] > max(s[t], 0.01) else 1
                    factors.append(1 if j == t else m * c)
                share = [f * math.exp(x) for f, x in zip(factors, z, strict=True)]
                share = [x / sum(share) for x in share]
                assert values[b, i].item() == pytest.approx(-math.log(share[t]))
                held = [x - (j == t) for j, x in enumerate(share)]
                assert gradient[b, i].tolist() == pytest.approx(held)


def test_seesaw_without_its_factors_is_cross_entropy(batches):
    for samples in batches:
        plain = CrossEntropy("softmax")(samples.logits, samples.labels)
        torch.testing.assert_close(Seesaw(C, 0.0, 0.0)(samples.logits, samples.labels), plain)


@pytest.mark.parametrize(("positive_lambda", "negative_lambda"), [(1.0, 0.1 / math.log(3.5)), (0.2, 0.5)])
def test_dr(batches, positive_lambda, negative_lambda):
    """One pair of an image: the expectations of its positives and of its negatives under the worst distributions."""
    loss = DRLoss(0.5, 6.0, 4.0, positive_lambda, negative_lambda)
    for samples in map(sigmoid_head, batches):
        terms = []
        for b in range(2):
            scores: dict[bool, list[float]] = {True: [], False: []}
            for (image, _, _), z, is_own in elements(samples):
                if image == b:
                    scores[is_own].append(sigmoid(z))
            q_positive = softmax([-p / positive_lambda for p in scores[True]])
            q_negative = softmax([p / negative_lambda for p in scores[False]])
            mean_positive = sum(q * p for q, p in zip(q_positive, scores[True], strict=True)) if scores[True] else 1
            mean_negative = sum(q * p for q, p in zip(q_negative, scores[False], strict=True))
            terms.append(4 / 6 * math.log(1 + math.exp(6 * (mean_negative - mean_positive + 0.5))))
        logits = samples.logits.clone().requires_grad_()
        assert loss(logits, samples.labels).item() == pytest.approx(sum(terms) / 2)
        assert torch.autograd.gradcheck(lambda z, labels=samples.labels: loss(z, labels), (logits,))


def test_limits_of_dr():
    """λ to 0 is the hardest score, a large λ the mean of all; a large L is a hinge."""
    logits = torch.tensor([[[0.3], [-1.0], [2.0], [1.0], [-0.5]]], dtype=torch.float64)
    labels = torch.tensor([[0, 0, 0, BACKGROUND, BACKGROUND]])
    p = logits[0, :, 0].sigmoid()
    hardest, mean = p[3:].max() - p[:3].min(), p[3:].mean() - p[:3].mean()
    for temperature, gap in ((1e-4, hardest), (1e4, mean)):
        hinge = (gap + 0.5).clamp_min(0)
        loss = DRLoss(0.5, 1e5, 1.0, temperature, temperature)(logits, labels)
        torch.testing.assert_close(loss, hinge, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", ["pearson", "concordance"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_correlation(batches, kind, activation):
    """1 - ρ(score of the label, IoU) over the positives of the batch; nothing without two of them."""
    loss = Correlation(kind, 1.0, activation)
    for samples in batches:
        scores, ious = [], []
        for b, row in enumerate(samples.labels.tolist()):
            for i, label in enumerate(row):
                if label >= 0:
                    z = samples.logits[b, i].tolist()
                    scores.append(sigmoid(z[label]) if activation == "sigmoid" else softmax(z)[label])
                    ious.append(samples.predicted_iou[b, i].item())
        logits = samples.logits.clone().requires_grad_()
        ours = loss(logits, samples.labels, predicted_iou=samples.predicted_iou)
        expected = 1 - rho(kind, scores, ious) if len(scores) > 1 else 0
        assert ours.item() == pytest.approx(expected, abs=1e-12)
        assert torch.autograd.gradcheck(
            lambda z, s=samples: loss(z, s.labels, predicted_iou=s.predicted_iou), (logits,)
        )


def rho(kind: str, a: list[float], b: list[float]) -> float:
    if kind == "pearson":
        return statistics.correlation(a, b)
    mean_a, mean_b = statistics.fmean(a), statistics.fmean(b)
    covariance = statistics.fmean([(x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)])
    return 2 * covariance / (statistics.pvariance(a) + statistics.pvariance(b) + (mean_a - mean_b) ** 2)
