"""What every loss that compares the samples of a batch with each other must keep to."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hardmine.core.samples import IGNORE

Call = tuple[Tensor, dict[str, Tensor]]  # logits, and by name what else the loss needs


@pytest.fixture
def make_call(make_logits, make_samples) -> Callable[..., Call]:
    def call(loss: nn.Module, labels: Tensor, dtype: torch.dtype = torch.float32) -> Call:
        samples = make_samples(labels, dtype)
        return make_logits(loss, labels, dtype), {name: samples[name] for name in loss.needs}

    return call


def value_and_gradient(loss: Callable, logits: Tensor, labels: Tensor, evidence: dict[str, Tensor]) -> Call:
    logits = logits.clone().requires_grad_()
    value = loss(logits, labels, **evidence)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_one_number_in_the_dtype_of_the_logits(listwise_loss, make_call, labels, dtype):
    logits, evidence = make_call(listwise_loss, labels, dtype)
    value, gradient = value_and_gradient(listwise_loss, logits, labels, evidence)
    assert value.shape == ()
    assert (value.dtype, gradient.dtype) == (dtype, dtype)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()
    assert value >= 0


def test_says_that_it_is_listwise(listwise_loss):
    assert listwise_loss.listwise


def test_where_nothing_counts_the_loss_is_zero_and_still_connected(listwise_loss, make_call, labels):
    ignored = torch.full_like(labels, IGNORE)
    logits, evidence = make_call(listwise_loss, ignored)
    value, gradient = value_and_gradient(listwise_loss, logits, ignored, evidence)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_ignored_samples_change_nothing_and_have_no_gradient(listwise_loss, make_call, labels, poison):
    ignored = labels == IGNORE
    logits, evidence = make_call(listwise_loss, labels)
    clean = value_and_gradient(listwise_loss, logits, labels, evidence)
    evidence = {
        name: value
        if name == "labels"
        else value.masked_fill(ignored.view(*ignored.shape, *[1] * (value.ndim - 2)), poison)
        for name, value in evidence.items()
    }
    poisoned = logits.masked_fill(ignored.unsqueeze(-1), poison)
    value, gradient = value_and_gradient(listwise_loss, poisoned, labels, evidence)
    assert torch.equal(value, clean[0])
    assert torch.equal(gradient, clean[1])
    assert (gradient[ignored] == 0).all()


@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_saturated_logits_give_finite_losses_and_gradients(listwise_loss, make_call, labels, size, dtype):
    logits, evidence = make_call(listwise_loss, labels, dtype)
    value, gradient = value_and_gradient(listwise_loss, logits.sign() * size, labels, evidence)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_equal_logits_give_finite_losses_and_gradients(listwise_loss, make_call, labels):
    """As at the start of training."""
    logits, evidence = make_call(listwise_loss, labels)
    value, gradient = value_and_gradient(listwise_loss, torch.full_like(logits, -4.6), labels, evidence)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_the_order_of_samples_and_images_does_not_matter(listwise_loss, make_call, labels):
    logits, evidence = make_call(listwise_loss, labels, torch.float64)
    value, gradient = value_and_gradient(listwise_loss, logits, labels, evidence)
    order, images = torch.randperm(labels.shape[1]), torch.arange(len(labels)).flip(0)

    def permute(tensor: Tensor) -> Tensor:
        return tensor[images][:, order]

    evidence = {name: permute(tensor) for name, tensor in evidence.items()}
    permuted = value_and_gradient(listwise_loss, permute(logits), permute(labels), evidence)
    torch.testing.assert_close(permuted, (value, permute(gradient)))


def test_evidence_gets_no_gradient(listwise_loss, make_call, labels):
    logits, evidence = make_call(listwise_loss, labels)
    watched = {name: value.requires_grad_() for name, value in evidence.items() if value.is_floating_point()}
    value = listwise_loss(logits.requires_grad_(), labels, **{**evidence, **watched})
    gradients = torch.autograd.grad(value, list(watched.values()), allow_unused=True) if watched else ()
    assert all(gradient is None or (gradient == 0).all() for gradient in gradients)


def test_is_captured_as_one_graph_once(listwise_loss, make_call, capture):
    compiled = capture(listwise_loss)
    for _ in range(2):
        labels = torch.randint(IGNORE, 3, (2, 9))
        logits, evidence = make_call(listwise_loss, labels)
        expected = value_and_gradient(listwise_loss, logits, labels, evidence)
        torch.testing.assert_close(value_and_gradient(compiled, logits, labels, evidence), expected)
