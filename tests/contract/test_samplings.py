"""What every sampling must keep to, whatever its idea."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

from hardmine import CARL, GHMR, OHEM, ALRPWeight, QualityWeight, Sampling
from hardmine.core.samples import Evidence, Samples
from hardmine.errors import EvidenceError

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
ORDINARY = torch.randint(-2, 3, (2, 14), generator=torch.Generator().manual_seed(5))
EVIDENCE = get_args(Evidence)
POISONED = set(EVIDENCE) - {"labels", "quality"}
OF_THE_BOX = (ALRPWeight, CARL, GHMR, QualityWeight)  # they weigh box losses, which only positives have


def weigh(sampling: Sampling, samples: Samples) -> Tensor:
    """The weights that a fresh copy gives, so that nothing a method remembers comes from an earlier call."""
    return deepcopy(sampling)(samples)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_have_the_shape_dtype_and_device_of_the_evidence(sampling, make_samples, dtype):
    weights = sampling(make_samples(ORDINARY, dtype))
    assert weights.shape[:2] == ORDINARY.shape
    assert (weights.dtype, weights.device) == (dtype, ORDINARY.device)


@pytest.mark.parametrize("ties", [False, True], ids=["apart", "ties"])
def test_weights_are_finite_and_not_negative_and_zero_where_ignored(sampling, make_samples, matched_gt, ties):
    samples = make_samples(matched_gt, ties=ties)
    weights = sampling(samples)
    assert weights.shape[:2] == matched_gt.shape
    assert torch.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights[~samples.assignment.is_valid] == 0).all()


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_what_is_known_of_ignored_samples_changes_nothing(sampling, make_samples, matched_gt, poison):
    samples = make_samples(matched_gt)
    ignored = ~samples.assignment.is_valid
    poisoned = {
        name: samples[name].masked_fill(ignored.view(*ignored.shape, *[1] * (samples[name].ndim - 2)), poison)
        for name in POISONED
    }
    weights = weigh(sampling, replace(samples, **poisoned))
    assert torch.equal(weights, weigh(sampling, samples))
    assert (weights[ignored] == 0).all()


@pytest.mark.parametrize("ties", [False, True], ids=["apart", "ties"])
def test_no_image_keeps_more_than_the_budget(sampling, make_samples, matched_gt, ties):
    kept = (sampling(make_samples(matched_gt, ties=ties)) > 0).sum(dim=1)
    if sampling.budget is not None:
        assert (kept <= sampling.budget).all()


def test_near_copies_are_set_aside_in_these_tests(make_samples):
    """Or else no test here would look at the NMS of OHEM."""
    samples = make_samples(ORDINARY)
    assert (OHEM(14)(samples).sum(dim=1) < samples.assignment.is_valid.sum(dim=1)).all()


def test_something_is_kept_where_there_is_anything(sampling, make_samples, matched_gt):
    samples = make_samples(matched_gt)
    assignment = samples.assignment
    if (assignment.is_positive if isinstance(sampling, OF_THE_BOX) else assignment.is_valid).any():
        assert (sampling(samples) > 0).any()


@pytest.mark.parametrize("ties", [False, True], ids=["apart", "ties"])
def test_a_batch_equals_its_images_one_by_one(imagewise_sampling, make_samples, matched_gt, image_of, ties):
    sampling = imagewise_sampling
    samples = make_samples(matched_gt, ties=ties)
    alone = [weigh(sampling, image_of(samples, b)) for b in range(len(matched_gt))]
    torch.testing.assert_close(weigh(sampling, samples), torch.cat(alone))


def test_permuting_samples_permutes_weights(sampling, make_samples, matched_gt, change):
    samples = make_samples(matched_gt)
    order = torch.randperm(matched_gt.shape[1])
    permuted = change(samples, lambda tensor: tensor[:, order])
    torch.testing.assert_close(weigh(sampling, permuted), weigh(sampling, samples)[:, order])


def test_a_call_is_pure(sampling, make_samples, matched_gt, change):
    samples = make_samples(matched_gt)
    copy = change(samples, torch.clone)
    first = weigh(sampling, samples)
    assert torch.equal(first, weigh(sampling, copy))
    for name in EVIDENCE:
        assert torch.equal(samples[name], copy[name])


def test_evidence_that_is_not_declared_is_not_seen(sampling, make_samples, monkeypatch):
    samples = make_samples(ORDINARY)
    seen: list[Samples] = []
    method = sampling.weigh
    monkeypatch.setattr(sampling, "weigh", lambda evidence: (seen.append(evidence), method(evidence))[1])
    sampling(samples)
    assert set(seen[0].available) == sampling.needs


def test_declared_evidence_is_enough(sampling, make_samples, without):
    samples = make_samples(ORDINARY)
    bare = without(samples, set(EVIDENCE) - sampling.needs)
    assert torch.equal(weigh(sampling, bare), weigh(sampling, samples))


def test_missing_evidence_is_named(sampling, make_samples, without):
    for name in sampling.needs:
        samples = without(make_samples(ORDINARY), [name])
        with pytest.raises(EvidenceError, match=rf"{type(sampling).__name__} needs .*, but .* no {name};"):
            sampling(samples)


def test_gradient_flows_through_the_weights_only_where_declared(sampling, make_samples, change):
    samples = change(make_samples(ORDINARY), lambda t: t.requires_grad_() if t.is_floating_point() else t)
    assert sampling(samples).requires_grad == sampling.through_grad


@pytest.mark.filterwarnings("ignore:`create_unbacked_symint`:FutureWarning")  # torchvision's nms, in tracing
def test_is_captured_as_one_graph_once(sampling, make_samples, capture, change):
    compiled = capture(sampling)
    for _ in range(2):
        samples = make_samples(ORDINARY[:, torch.randperm(14)])
        expected = weigh(sampling, samples)  # before the captured call, which may change what the method remembers
        torch.testing.assert_close(compiled(change(samples, torch.clone)), expected)


@pytest.mark.filterwarnings("ignore:`create_unbacked_symint`:FutureWarning")  # torchvision's nms, in tracing
def test_a_captured_call_has_the_gradient_of_what_was_remembered_before_it(sampling, make_samples, capture):
    """It is worked out after the call, which changes that."""

    def weighted(method: Sampling, samples: Samples, logits: Tensor, scale: Tensor) -> Tensor:
        return (method(replace(samples, logits=logits)) * scale).square().sum()

    eager, compiled = deepcopy(sampling), capture(partial(weighted, sampling))
    for _ in range(3):
        samples = make_samples(ORDINARY[:, torch.randperm(14)])
        logits, scale = samples.logits.requires_grad_(), torch.rand(1, requires_grad=True)
        for (_, before), (_, after) in zip(eager.named_buffers(), sampling.named_buffers(), strict=True):
            torch.testing.assert_close(after, before)
        expected, value = weighted(eager, samples, logits, scale), compiled(samples, logits, scale)
        of = (logits, scale) if sampling.through_grad else (scale,)
        torch.testing.assert_close(torch.autograd.grad(value, of), torch.autograd.grad(expected, of))


@pytest.mark.parametrize("ties", [False, True], ids=["apart", "ties"])
def test_gradcheck_of_weights_that_carry_gradient(differentiable_sampling, make_samples, ties):
    sampling = differentiable_sampling
    samples = make_samples(ORDINARY[:, :5], torch.float64, ties=ties)
    logits = samples.logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: weigh(sampling, replace(samples, logits=z)), (logits,))


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_weights_give_ignored_samples_no_gradient(differentiable_sampling, make_samples, matched_gt, poison):
    sampling = differentiable_sampling
    samples = make_samples(matched_gt)
    ignored = ~samples.assignment.is_valid
    logits = samples.logits.masked_fill(ignored.unsqueeze(-1), poison).requires_grad_()
    (gradient,) = torch.autograd.grad(weigh(sampling, replace(samples, logits=logits)).sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[ignored] == 0).all()


@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_saturated_logits_give_finite_weights_and_gradients(sampling, make_samples, matched_gt, size, dtype):
    samples = make_samples(matched_gt, dtype)
    logits = (samples.logits.sign() * size).requires_grad_()
    weights = weigh(sampling, replace(samples, logits=logits))
    assert torch.isfinite(weights).all()
    if sampling.through_grad:
        (gradient,) = torch.autograd.grad(weights.float().sum(), logits)
        assert torch.isfinite(gradient).all()
