"""What every classification loss must keep to."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from hardmine.core.samples import IGNORE

Evidence = dict[str, Tensor]


def lose(loss: nn.Module, logits: Tensor, labels: Tensor, evidence: Evidence) -> Tensor:
    """The losses that a fresh copy gives, so that nothing a method remembers comes from an earlier call."""
    return deepcopy(loss)(logits, labels, **evidence)


@pytest.fixture
def make_evidence(make_samples) -> Callable[..., Evidence]:
    """What the loss needs to know beside the logits, for the labels."""

    def evidence(loss: nn.Module, labels: Tensor, dtype: torch.dtype = torch.float32) -> Evidence:
        samples = make_samples(labels, dtype)
        return {name: samples[name] for name in loss.needs}

    return evidence


def each(evidence: Evidence, function: Callable[[Tensor], Tensor]) -> Evidence:
    return {name: function(value) for name, value in evidence.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_one_loss_a_class_or_a_sample_in_the_dtype_of_the_logits(
    classification_loss, make_logits, make_evidence, labels, dtype
):
    logits = make_logits(classification_loss, labels, dtype)
    loss = lose(classification_loss, logits, labels, make_evidence(classification_loss, labels, dtype))
    assert loss.shape == (labels.shape if classification_loss.activation == "softmax" else logits.shape)
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_ignored_samples_have_no_loss_and_no_gradient_whatever_is_known_of_them(
    classification_loss, make_logits, make_evidence, labels, poison
):
    ignored = labels == IGNORE
    clean, evidence = make_logits(classification_loss, labels), make_evidence(classification_loss, labels)
    logits = clean.masked_fill(ignored.unsqueeze(-1), poison).requires_grad_()
    poisoned = each(evidence, lambda value: value.masked_fill(ignored.view(*ignored.shape, *[1] * (value.ndim - 2)),
                                                              poison))  # fmt: skip
    loss = lose(classification_loss, logits, labels, poisoned)
    assert torch.equal(loss, lose(classification_loss, clean, labels, evidence))
    assert (loss[ignored] == 0).all()
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[ignored] == 0).all()


@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_saturated_logits_give_finite_losses_and_gradients(
    classification_loss, make_logits, make_evidence, labels, size, dtype
):
    logits = (make_logits(classification_loss, labels).sign() * size).to(dtype).requires_grad_()
    loss = lose(classification_loss, logits, labels, make_evidence(classification_loss, labels, dtype))
    (gradient,) = torch.autograd.grad(loss.float().sum(), logits)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()


def test_a_batch_equals_its_images_one_by_one(classification_loss, make_logits, make_evidence, labels):
    classification_loss.eval()  # what one counts in training, it counts of the whole batch
    logits, evidence = make_logits(classification_loss, labels), make_evidence(classification_loss, labels)
    images = [{name: value[b : b + 1] for name, value in evidence.items()} for b in range(len(labels))]
    alone = [lose(classification_loss, logits[b : b + 1], labels[b : b + 1], own) for b, own in enumerate(images)]
    torch.testing.assert_close(lose(classification_loss, logits, labels, evidence), torch.cat(alone))


def test_permuting_samples_permutes_losses(classification_loss, make_logits, make_evidence, labels):
    logits, evidence = make_logits(classification_loss, labels), make_evidence(classification_loss, labels)
    order = torch.randperm(labels.shape[1])
    moved = each(evidence, lambda value: value[:, order])
    permuted = lose(classification_loss, logits[:, order], labels[:, order], moved)
    torch.testing.assert_close(permuted, lose(classification_loss, logits, labels, evidence)[:, order])


def test_a_better_score_of_the_label_has_a_smaller_loss(classification_loss, make_logits, make_evidence):
    """Up to the quality of its box, where the loss asks for that."""
    labels = torch.zeros(1, 1, dtype=torch.int64)
    evidence = each(make_evidence(classification_loss, labels), torch.ones_like)
    worse, better = make_logits(classification_loss, labels), make_logits(classification_loss, labels)
    worse[..., 0], better[..., 0] = -1, 1
    better[..., 1:] = worse[..., 1:]
    losses = [lose(classification_loss, logits, labels, evidence).sum() for logits in (better, worse)]
    assert losses[0] < losses[1]


def test_gradcheck(differentiable_classification_loss, make_logits, make_evidence, some_labels):
    """Of those whose gradient is that of the whole loss; where a factor is held fixed, oracle/ compares it."""
    loss, labels = differentiable_classification_loss, some_labels
    logits = make_logits(loss, labels, torch.float64).requires_grad_()
    evidence = make_evidence(loss, labels, torch.float64)
    assert torch.autograd.gradcheck(lambda z: lose(loss, z, labels, evidence), (logits,))


def test_evidence_gets_no_gradient(classification_loss, make_logits, make_evidence, labels):
    evidence = each(make_evidence(classification_loss, labels), torch.Tensor.requires_grad_)
    logits = make_logits(classification_loss, labels).requires_grad_()
    loss = lose(classification_loss, logits, labels, evidence)
    gradients = torch.autograd.grad(loss.sum(), [logits, *evidence.values()], allow_unused=True)
    assert all(gradient is None for gradient in gradients[1:])


def test_is_captured_as_one_graph_once(classification_loss, make_logits, make_evidence, capture):
    compiled = capture(deepcopy(classification_loss))  # whatever it remembers, the comparison has not seen
    for _ in range(2):
        labels = torch.randint(-2, 3, (2, 9))
        logits, evidence = make_logits(classification_loss, labels), make_evidence(classification_loss, labels)
        captured, eager = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        expected, loss = classification_loss(eager, labels, **evidence), compiled(captured, labels, **evidence)
        torch.testing.assert_close(loss, expected)
        (expected,) = torch.autograd.grad(expected.sum(), eager)
        (gradient,) = torch.autograd.grad(loss.sum(), captured)
        torch.testing.assert_close(gradient, expected)
