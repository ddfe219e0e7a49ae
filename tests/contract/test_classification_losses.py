"""What every classification loss must keep to."""

import pytest
import torch

from hardmine.samples import IGNORE


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_one_loss_a_class_or_a_sample_in_the_dtype_of_the_logits(classification_loss, make_logits, labels, dtype):
    logits = make_logits(classification_loss, labels, dtype)
    loss = classification_loss(logits, labels)
    assert loss.shape == (labels.shape if classification_loss.activation == "softmax" else logits.shape)
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_ignored_samples_have_no_loss_and_no_gradient_at_any_logits(classification_loss, make_logits, labels, poison):
    ignored = labels == IGNORE
    clean = make_logits(classification_loss, labels)
    logits = clean.masked_fill(ignored.unsqueeze(-1), poison).requires_grad_()
    loss = classification_loss(logits, labels)
    assert torch.equal(loss, classification_loss(clean, labels))
    assert (loss[ignored] == 0).all()
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[ignored] == 0).all()


@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_saturated_logits_give_finite_losses_and_gradients(classification_loss, make_logits, labels, size, dtype):
    logits = (make_logits(classification_loss, labels).sign() * size).to(dtype).requires_grad_()
    loss = classification_loss(logits, labels)
    (gradient,) = torch.autograd.grad(loss.float().sum(), logits)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient).all()


def test_a_batch_equals_its_images_one_by_one(classification_loss, make_logits, labels):
    logits = make_logits(classification_loss, labels)
    alone = [classification_loss(logits[b : b + 1], labels[b : b + 1]) for b in range(len(labels))]
    torch.testing.assert_close(classification_loss(logits, labels), torch.cat(alone))


def test_permuting_samples_permutes_losses(classification_loss, make_logits, labels):
    logits, order = make_logits(classification_loss, labels), torch.randperm(labels.shape[1])
    permuted = classification_loss(logits[:, order], labels[:, order])
    torch.testing.assert_close(permuted, classification_loss(logits, labels)[:, order])


def test_a_better_score_of_the_label_has_a_smaller_loss(classification_loss, make_logits):
    labels = torch.zeros(1, 1, dtype=torch.int64)
    worse, better = make_logits(classification_loss, labels), make_logits(classification_loss, labels)
    worse[..., 0], better[..., 0] = -1, 1
    better[..., 1:] = worse[..., 1:]
    assert classification_loss(better, labels).sum() < classification_loss(worse, labels).sum()


def test_gradcheck(classification_loss, make_logits, labels):
    if labels.numel() == 0:
        pytest.skip("there is nothing to differentiate")
    logits = make_logits(classification_loss, labels, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: classification_loss(z, labels), (logits,))


def test_is_captured_as_one_graph_once(classification_loss, make_logits, capture):
    compiled = capture(classification_loss)
    for _ in range(2):
        labels = torch.randint(-2, 3, (2, 9))
        logits = make_logits(classification_loss, labels)
        captured, eager = logits.clone().requires_grad_(), logits.clone().requires_grad_()
        loss = classification_loss(eager, labels)
        torch.testing.assert_close(compiled(captured, labels), loss)
        (expected,) = torch.autograd.grad(loss.sum(), eager)
        (gradient,) = torch.autograd.grad(compiled(captured, labels).sum(), captured)
        torch.testing.assert_close(gradient, expected)
