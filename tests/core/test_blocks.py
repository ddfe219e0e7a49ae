"""Functions of each logit, block by block: the same values and slopes as in one go, and nothing else is kept."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core import blocks
from hardmine.core.blocks import by_blocks
from hardmine.core.samples import IGNORE
from hardmine.core.slopes import Sloped

SHAPES = [(1, 1, 1), (2, 7, 3), (3, 20, 5), (2, 0, 4), (2, 4, 0)]


def softened(logits: Tensor, labels: Tensor, quality: Tensor) -> Sloped:
    sign = torch.where(labels.unsqueeze(-1) == torch.arange(logits.shape[-1]), -1, 1)
    x, scale = logits * sign, 1 + quality.unsqueeze(-1)
    return F.softplus(x) ** 2 * scale, lambda: 2 * F.softplus(x) * x.sigmoid() * sign * scale


def evidence(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(shape), torch.randint(0, max(1, shape[-1]), shape[:2]), torch.rand(shape[:2])


@pytest.mark.parametrize("size", [1, 8, 1 << 18])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_slope_are_those_of_all_at_once(shape, size, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK, "cpu", size)
    logits, labels, quality = evidence(shape)
    ours, plain = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    outer = torch.randn(shape)
    value, expected = by_blocks(softened, ours, labels, quality), softened(plain, labels, quality)[0]
    (value * outer).sum().backward()
    (expected * outer).sum().backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(ours.grad, plain.grad)


def test_logits_may_lie_in_memory_in_any_order():
    logits, labels, quality = evidence((2, 7, 3))
    expected = by_blocks(softened, logits, labels, quality)
    for moved in (logits.mT.contiguous().mT, torch.cat([logits, logits], dim=-1)[..., :3]):
        ours = moved.detach().requires_grad_()
        value = by_blocks(softened, ours, labels, quality)
        value.sum().backward()
        torch.testing.assert_close(value, expected)
        assert ours.grad.abs().min() > 0


def test_what_is_ignored_has_neither_value_nor_slope_whatever_its_logits():
    logits, labels, quality = evidence((2, 7, 3))
    logits[0, 2], labels[0, 2] = torch.tensor([torch.inf, -torch.inf, torch.nan]), IGNORE
    logits.requires_grad_()
    value = by_blocks(softened, logits, labels, quality)
    value.sum().backward()
    assert value[0, 2].tolist() == logits.grad[0, 2].tolist() == [0, 0, 0]
    assert value.isfinite().all()
    assert logits.grad.isfinite().all()


def test_nothing_but_the_slope_is_kept_for_the_backward_pass():
    logits, labels, quality = evidence((2, 50, 8))
    logits.requires_grad_()
    kept = by_blocks(softened, logits, labels, quality).grad_fn
    assert [tensor.shape for tensor in kept.saved_tensors] == [logits.shape]
    assert [type(node).__name__ for node, _ in kept.next_functions if node] == ["AccumulateGrad"]


def test_without_gradient_no_slope_is_sought(monkeypatch):
    logits, labels, quality = evidence((2, 7, 3))

    def unsought(*rows: Tensor) -> Sloped:
        return softened(*rows)[0], lambda: pytest.fail("a slope was sought")

    for size in (8, 1 << 18):
        monkeypatch.setitem(blocks.BLOCK, "cpu", size)
        by_blocks(unsought, logits.detach(), labels, quality)
        with torch.no_grad():
            assert not by_blocks(unsought, logits.requires_grad_(), labels, quality).requires_grad


def test_a_second_derivative_is_refused():
    logits, labels, quality = evidence((1, 3, 2))
    logits.requires_grad_()
    weighted = by_blocks(softened, logits, labels, quality) * torch.ones(1, requires_grad=True)
    (slope,) = torch.autograd.grad(weighted.sum(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
