"""What EQL v2 and EFL remember of the gradients they have seen."""

from copy import deepcopy

import pytest
import torch

from hardmine import BACKGROUND, EFL, IGNORE, Assignment, EQLv2, Samples
from hardmine.errors import ConfigError, ShapeError
from hardmine.sampling import gradient_balanced

METHODS = pytest.mark.parametrize("method", [EQLv2, EFL])


def batch(labels: list[int], num_classes: int = 2) -> Samples:
    label = torch.tensor([labels], dtype=torch.int64)
    logits = torch.randn(1, len(labels), num_classes)
    return Samples(Assignment(label, torch.zeros(label.shape)), labels=label, logits=logits)


@METHODS
def test_no_classes_are_refused(method):
    with pytest.raises(ConfigError, match=f"{method.__name__} needs num_classes >= 1, got 0"):
        method(0)


@METHODS
def test_another_number_of_classes_is_refused(method):
    with pytest.raises(ShapeError, match=r"made for 3 classes, got logits \(1, 1, 2\)"):
        method(3)(batch([0]))


@METHODS
def test_a_batch_without_samples_leaves_no_trace(method):
    """peers.md: mmdetection's EQL v2 is NaN there, and takes every class for a rare one afterwards."""
    sampling = method(2)
    fresh, samples = deepcopy(sampling), batch([0, 1, BACKGROUND])
    sampling(batch([]))
    sampling(batch([IGNORE, IGNORE]))
    assert torch.equal(sampling.ratio, torch.tensor([100.0, 100.0]))
    assert torch.equal(sampling(samples), fresh(samples))


@METHODS
def test_a_call_uses_what_earlier_calls_left(method):
    sampling, samples = method(2), batch([0, BACKGROUND, BACKGROUND])
    first, second = sampling(samples), sampling(samples)
    assert not torch.equal(first, second)


@METHODS
def test_outside_of_training_nothing_is_remembered(method):
    sampling, samples = method(2).eval(), batch([0, BACKGROUND])
    sampling(samples)
    assert (sampling.positive == 0).all()
    assert (sampling.negative == 0).all()


@METHODS
def test_ignored_samples_send_no_gradient(method):
    alone, beside = method(2), method(2)
    samples = batch([0, BACKGROUND, IGNORE])
    samples.logits[0, 2] = torch.nan
    beside(samples)
    alone(Samples(samples.assignment.gather(torch.tensor([[0, 1]])), labels=samples.labels[:, :2],
                  logits=samples.logits[:, :2]))  # fmt: skip
    assert torch.equal(alone.positive, beside.positive)
    assert torch.equal(alone.negative, beside.negative)


@METHODS
def test_many_half_precision_samples_do_not_overflow_the_sums(method):
    sampling, samples = method(2), batch([BACKGROUND] * 200_000)
    sampling(Samples(samples.assignment, labels=samples.labels, logits=samples.logits.abs().half()))
    assert torch.isfinite(sampling.negative).all()
    assert (sampling.negative > torch.finfo(torch.float16).max).all()


@METHODS
def test_sums_are_of_all_ranks(method, monkeypatch):
    one, two = method(2), method(2)
    samples = batch([0, 1, BACKGROUND])
    one(samples)
    monkeypatch.setattr(gradient_balanced, "sum_over_ranks", lambda total: 2 * total)
    two(samples)
    assert torch.equal(two.positive, 2 * one.positive)
    assert torch.equal(two.negative, 2 * one.negative)


@METHODS
def test_what_is_remembered_is_part_of_the_state(method):
    sampling, samples = method(2), batch([0, 1, BACKGROUND])
    sampling(samples)
    restored = method(2)
    restored.load_state_dict(sampling.state_dict())
    assert torch.equal(restored(samples), sampling(samples))


@METHODS
def test_the_graph_of_a_call_does_not_hold_what_the_next_call_changes(method):
    sampling, samples = method(2), batch([0, 1, BACKGROUND])
    logits = samples.logits.requires_grad_()
    losses = [(sampling(samples) * logits**2).sum() for _ in range(2)]
    assert torch.isfinite(torch.autograd.grad(sum(losses), logits)[0]).all()


@METHODS
def test_a_diverged_score_does_not_spoil_the_sums(method):
    """Mixed precision overflows now and then, and skips that step; what the method remembers must outlive it."""
    sampling, samples = method(2), batch([0, 1, BACKGROUND])
    samples.logits[0, 1] = torch.nan
    sampling(samples)
    assert torch.isfinite(sampling.positive).all()
    assert torch.isfinite(sampling.negative).all()
    assert (sampling.negative > 0).all()
