"""Losses of quality and of boxes against the papers' equations, number by number, and their limits."""

import math

import pytest
import torch

from hardmine import BACKGROUND, DFL, IABCE, MAL, QFL, VFL, BalancedL1, CIoU, CrossEntropy, DIoU, Focal, IoU

LABELS = torch.tensor([[0, 2, BACKGROUND, 1, BACKGROUND, 2]])
QUALITY = torch.tensor([[0.3, 0.95, 0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(1, 6, 3, dtype=torch.float64) * 3


def of_each_class(logits: torch.Tensor) -> list[tuple[float, float, bool]]:
    """(score, its target, whether the sample is a positive of this class), row by row."""
    return [
        (1 / (1 + math.exp(-z)), quality if c == label else 0.0, c == label)
        for row, label, quality in zip(logits[0].tolist(), LABELS[0].tolist(), QUALITY[0].tolist(), strict=True)
        for c, z in enumerate(row)
    ]


def cross_entropy(p: float, target: float) -> float:
    return -(target * math.log(p) + (1 - target) * math.log(1 - p))


@pytest.mark.parametrize("beta", [2.0, 0.0, 0.5, 1.0, 2.5])
def test_qfl(logits, beta):
    """-|y - σ|^β ((1 - y) log(1 - σ) + y log σ), y the IoU of a positive at its class, otherwise 0."""
    loss = QFL(beta)(logits, LABELS, quality=QUALITY)
    expected = [abs(y - p) ** beta * cross_entropy(p, y) for p, y, _ in of_each_class(logits)]
    assert loss.flatten().tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.75, 2.0), (0.5, 0.5), (1.0, 0.0)])
def test_vfl(logits, alpha, gamma):
    """-q (q log p + (1 - q) log(1 - p)) for q > 0, -α p^γ log(1 - p) for q = 0."""
    loss = VFL(alpha, gamma)(logits, LABELS, quality=QUALITY)
    expected = [
        q * cross_entropy(p, q) if q > 0 else -alpha * p**gamma * math.log(1 - p) for p, q, _ in of_each_class(logits)
    ]
    assert loss.flatten().tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gamma", [1.5, 1.0, 2.0])
def test_mal(logits, gamma):
    """-(q^γ log p + (1 - q^γ) log(1 - p)) for positives, -p^γ log(1 - p) for negatives, p^γ without gradient."""
    logits.requires_grad_()
    loss = MAL(gamma)(logits, LABELS, quality=QUALITY)
    classes = of_each_class(logits.detach())
    expected = [cross_entropy(p, q**gamma) if own else -(p**gamma) * math.log(1 - p) for p, q, own in classes]
    assert loss.flatten().tolist() == pytest.approx(expected, rel=1e-9)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)  # of a cross entropy: its factor times p - target
    expected = [p - q**gamma if own else p**gamma * p for p, q, own in classes]
    assert gradient.flatten().tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.0, 1.0), (1.0, 2.0), (0.5, 0.5)])
def test_ia_bce(logits, alpha, gamma):
    """-(t log p + (1 - t) log(1 - p)) for positives, t = max(p^α q^(1-α), .01) without gradient; -p^γ log(1 - p)."""
    logits.requires_grad_()
    loss = IABCE(alpha, gamma)(logits, LABELS, quality=QUALITY)
    expected, slopes = [], []
    for p, q, own in of_each_class(logits.detach()):
        t = max(p**alpha * q ** (1 - alpha), 0.01)
        expected.append(cross_entropy(p, t) if own else -(p**gamma) * math.log(1 - p))
        slopes.append(p - t if own else p**gamma * (p - gamma * (1 - p) * math.log(1 - p)))
    assert loss.flatten().tolist() == pytest.approx(expected, rel=1e-9)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.flatten().tolist() == pytest.approx(slopes, rel=1e-9)


@pytest.mark.parametrize("beta", [2.0, 0.5, 0.0])
def test_qfl_of_perfect_and_useless_boxes_is_focal_loss_without_alpha(logits, beta):
    """y = 1 is a positive of focal loss, y = 0 a negative, with the same gradients."""
    logits.requires_grad_()
    for quality, labels in ((1.0, LABELS), (0.0, torch.full_like(LABELS, BACKGROUND))):
        ours = QFL(beta)(logits, LABELS, quality=torch.full_like(QUALITY, quality))
        focal = Focal(beta, None)(logits, labels)
        torch.testing.assert_close(ours, focal)
        gradients = [torch.autograd.grad(loss.sum(), logits)[0] for loss in (ours, focal)]
        torch.testing.assert_close(*gradients)


def test_limits_of_vfl_mal_and_ia_bce(logits):
    """At q = 1 and γ = 0 nothing is left but the balance."""
    perfect = torch.ones_like(QUALITY)
    plain = CrossEntropy("sigmoid")(logits, LABELS)
    torch.testing.assert_close(VFL(1.0, 0.0)(logits, LABELS, quality=perfect), plain)
    torch.testing.assert_close(MAL(0.0)(logits, LABELS, quality=QUALITY), plain)
    torch.testing.assert_close(IABCE(0.0, 0.0)(logits, LABELS, quality=perfect), plain)


@pytest.mark.parametrize("loss", [QFL(), QFL(0.5), QFL(1.0), VFL(), MAL(1.0)], ids=["2", ".5", "1", "VFL", "MAL"])
@pytest.mark.parametrize("quality", [0.2, 0.5, 0.83])
def test_the_loss_of_a_positive_is_least_where_its_score_is_its_quality(loss, quality):
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    logits = (p / (1 - p)).log()[None, :, None]
    labels = torch.zeros(1, 99, dtype=torch.int64)
    losses = loss(logits, labels, quality=torch.full((1, 99), quality, dtype=torch.float64))
    assert p[losses.flatten().argmin()].item() == pytest.approx(quality)


def test_the_target_of_mal_is_the_power_of_the_quality():
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    logits, labels = (p / (1 - p)).log()[None, :, None], torch.zeros(1, 99, dtype=torch.int64)
    losses = MAL(2.0)(logits, labels, quality=torch.full((1, 99), 0.5, dtype=torch.float64))
    assert p[losses.flatten().argmin()].item() == pytest.approx(0.25)


def test_the_gradient_of_qfl_differentiates_the_factor():
    """d/dz |y - p|^β CE = β |y - p|^(β-1) sign(p - y) p (1 - p) CE + |y - p|^β (p - y)."""
    logit = torch.tensor([[[0.3]]], dtype=torch.float64, requires_grad=True)
    y, beta, p = 0.8, 1.5, 1 / (1 + math.exp(-0.3))
    loss = QFL(beta)(logit, torch.tensor([[0]]), quality=torch.tensor([[y]], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(loss.sum(), logit)
    away = abs(y - p)
    expected = -beta * away ** (beta - 1) * p * (1 - p) * cross_entropy(p, y) + away**beta * (p - y)
    assert gradient.item() == pytest.approx(expected)


@pytest.mark.parametrize("bins", [1, 3, 16])
def test_dfl(bins):
    """-((y_{i+1} - y) log S_i + (y - y_i) log S_{i+1}), i the bin at or below y."""
    logits = torch.randn(1, 6, 4, bins + 1, dtype=torch.float64)
    target = torch.rand(1, 6, 4, dtype=torch.float64) * bins
    target[0, 0], target[0, 1] = 0, bins
    loss = DFL(bins)(logits, target).flatten().tolist()
    for ours, row, y in zip(loss, logits.view(24, -1).tolist(), target.flatten().tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        i = min(int(y), bins - 1)
        expected = -(
            (i + 1 - y) * math.log(math.exp(row[i]) / total) + (y - i) * math.log(math.exp(row[i + 1]) / total)
        )
        assert ours == pytest.approx(expected)


@pytest.mark.parametrize(("alpha", "gamma", "beta"), [(0.5, 1.5, 1.0), (0.2, 1.0, 1.0), (0.5, 1.5, 2.0), (1, 2, 0.5)])
def test_the_gradient_of_balanced_l1_is_what_its_paper_starts_from(alpha, gamma, beta):
    """α ln(b|x| + 1) for inliers and γ for outliers, with α ln(b + 1) = γ; x in units of beta. The loss is its sum."""
    x = torch.linspace(-3, 3, 16, dtype=torch.float64).view(1, 4, 4).requires_grad_()
    loss = BalancedL1(alpha, gamma, beta)(x, torch.zeros_like(x))
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    b = math.exp(gamma / alpha) - 1

    def slope(d: float) -> float:
        return alpha * math.log(b * d / beta + 1) if d < beta else gamma

    steps = 20_000
    for d, value, slant in zip(*(t.flatten().tolist() for t in (x, loss, gradient)), strict=True):
        assert slant == pytest.approx(math.copysign(slope(abs(d)), d))
        width = abs(d) / steps
        assert value == pytest.approx(sum(slope((k + 0.5) * width) * width for k in range(steps)), rel=1e-5)


def test_balanced_l1_numbers_of_the_paper():
    """α = .5 and γ = 1.5 give b = 19.0855; beyond 1 the loss is γ|x| + C with C = γ/b - α."""
    assert BalancedL1().b == pytest.approx(19.0855, rel=1e-5)
    loss = BalancedL1()(torch.full((1, 1, 4), 2.0, dtype=torch.float64), torch.zeros(1, 1, 4, dtype=torch.float64))
    assert loss[0, 0, 0].item() == pytest.approx(1.5 * 2 + 1.5 / 19.085536923 - 0.5)


@pytest.fixture(params=range(3))
def pairs(request) -> torch.Tensor:
    """Two boxes each of 30 pairs, (2, 1, 30, 4)."""
    generator = torch.Generator().manual_seed(request.param)
    corner = torch.rand(2, 1, 30, 2, generator=generator, dtype=torch.float64) * 20
    return torch.cat([corner, corner + 1 + torch.rand(2, 1, 30, 2, generator=generator, dtype=torch.float64) * 20], -1)


def test_iou(pairs, overlap):
    """1 - IoU, or -ln IoU as far down as a millionth."""
    expected = [overlap(*pair) for pair in zip(*pairs[:, 0].tolist(), strict=True)]
    assert IoU()(*pairs)[0].tolist() == pytest.approx([1 - iou for iou in expected])
    assert IoU("log")(*pairs)[0].tolist() == pytest.approx([-math.log(max(iou, 1e-6)) for iou in expected])


def test_diou_and_ciou(pairs, overlap):
    """L = 1 - IoU + ρ²/c² + α v, v = 4/π² (atan w'/h' - atan w/h)², α = v / (1 - IoU + v) without gradient."""
    first = pairs[0].clone().requires_grad_()
    distance, complete = DIoU()(first, pairs[1])[0], CIoU()(first, pairs[1])[0]
    for i, (a, b) in enumerate(zip(*pairs[:, 0].tolist(), strict=True)):
        apart = math.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2)
        diagonal = math.hypot(max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1]))
        iou = overlap(a, b)
        turn = math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))
        v = 4 / math.pi**2 * turn**2
        balance = v / (1 - iou + v)
        assert distance[i].item() == pytest.approx(1 - iou + apart**2 / diagonal**2)
        assert complete[i].item() == pytest.approx(distance[i].item() + balance * v)
        (shape,) = torch.autograd.grad(complete[i] - distance[i], first, retain_graph=True)
        width, height = a[2] - a[0], a[3] - a[1]
        slope = -balance * 8 / math.pi**2 * turn * height / (width**2 + height**2)  # dv/dw of the paper, eq. 12
        assert shape[0, i, 2].item() == pytest.approx(slope, abs=1e-12)
