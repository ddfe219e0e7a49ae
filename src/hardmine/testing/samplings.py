"""What every sampling keeps to, whatever its idea."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from hardmine.core.samples import Evidence, Samples
from hardmine.errors import EvidenceError
from hardmine.sampling import Sampling
from hardmine.testing.contract import (
    CAPTURED,
    Contract,
    ContractError,
    captured,
    check,
    require,
    require_close,
    require_equal,
)
from hardmine.testing.situations import (
    DTYPES,
    LOW_DTYPES,
    MATCHED,
    ORDINARY,
    change,
    image_of,
    make_samples,
    poisoned,
    sampled,
    without,
)

__all__ = ["OF_POSITIVES", "SAMPLING_CONTRACT", "check_sampling"]

EVIDENCE = frozenset(get_args(Evidence))


def check_sampling(sampling: Sampling, *, of_positives: bool = False) -> None:
    """Holds a sampling to the contract of all samplings; what it remembers stays as it is.

    A method whose ``on_device`` is False need not be captured by `torch.compile`. One that keeps a state for each class
    is to be made for three classes.

    Args: of_positives: whether it weighs box losses, which only positives have, and may keep no negative.
    Raises: ContractError: what is broken, and in which situation.
    """
    check(sampling, OF_POSITIVES if of_positives else SAMPLING_CONTRACT)


def _weigh(sampling: Sampling, samples: Samples) -> Tensor:
    """The weights that a fresh copy gives, so that nothing a method remembers comes from an earlier call."""
    return deepcopy(sampling)(samples)


def _is_like_its_evidence(sampling: Sampling) -> None:
    for dtype in DTYPES:
        weights = _weigh(sampling, make_samples(ORDINARY, dtype))
        require(weights.shape[:2] == ORDINARY.shape, f"weights have shape {tuple(weights.shape)}, of samples (2, 14)")
        require(weights.dtype == dtype, f"weights are {weights.dtype}, the evidence is {dtype}")


def _is_finite_and_zero_where_ignored(sampling: Sampling) -> None:
    for case, samples in sampled():
        weights = _weigh(sampling, samples)
        require(weights.isfinite(), f"{case}: a weight is not finite")
        require(weights >= 0, f"{case}: a weight is below 0")
        require(weights[~samples.assignment.is_valid] == 0, f"{case}: an ignored sample has a weight")


def _sees_nothing_of_ignored_samples(sampling: Sampling) -> None:
    for case, samples in sampled():
        for poison in (torch.nan, torch.inf):
            ignored = ~samples.assignment.is_valid
            known = {name: poisoned(samples[name], ignored, poison) for name in EVIDENCE - {"labels", "quality"}}
            found, expected = _weigh(sampling, replace(samples, **known)), _weigh(sampling, samples)
            require_equal(found, expected, f"{case}: with {poison} in ignored samples the weights are others")


def _keeps_its_budget(sampling: Sampling) -> None:
    for case, samples in sampled():
        kept = _kept(_weigh(sampling, samples))
        budget = sampling.budget
        require(budget is None or bool((kept <= budget).all()), f"{case}: keeps {kept.tolist()}, budget {budget}")


def _kept(weights: Tensor) -> Tensor:
    """How many samples of each image weigh more than 0, (B,)."""
    is_kept = weights > 0
    return (is_kept if weights.ndim == 2 else is_kept.any(-1)).sum(1)


def _keeps_something(sampling: Sampling, *, of_positives: bool = False) -> None:
    for case, samples in sampled():
        there = samples.assignment.is_positive if of_positives else samples.assignment.is_valid
        require(bool((_weigh(sampling, samples) > 0).any() or not there.any()), f"{case}: nothing is kept")


def _treats_images_alone(sampling: Sampling) -> None:
    if sampling.pools_batch:
        return
    for case, samples in sampled():
        alone = [_weigh(sampling, image_of(samples, b)) for b in range(len(samples.assignment.iou))]
        require_close(_weigh(sampling, samples), torch.cat(alone), f"{case}: a batch is not its images one by one")


def _does_not_care_for_order(sampling: Sampling) -> None:
    for case, matched_gt in MATCHED.items():
        samples, order = make_samples(matched_gt), torch.randperm(matched_gt.shape[1])
        permuted = change(samples, lambda tensor, order=order: tensor[:, order])
        expected = _weigh(sampling, samples)[:, order]
        require_close(_weigh(sampling, permuted), expected, f"{case}: the order of samples matters")


def _is_pure(sampling: Sampling) -> None:
    for case, samples in sampled():
        copy = change(samples, torch.clone)
        first = _weigh(sampling, samples)
        require_equal(first, _weigh(sampling, change(copy, torch.clone)), f"{case}: a second call differs")
        for name in EVIDENCE:
            require_equal(samples[name], copy[name], f"{case}: {name} was changed")


def _sees_what_it_declares(sampling: Sampling) -> None:
    samples = make_samples(ORDINARY)
    bare = without(samples, EVIDENCE - sampling.needs)
    require_equal(_weigh(sampling, bare), _weigh(sampling, samples), "undeclared evidence changes the weights")


def _names_what_is_missing(sampling: Sampling) -> None:
    for name in sampling.needs:
        try:
            _weigh(sampling, without(make_samples(ORDINARY), {name}))
        except EvidenceError as error:
            require(f"no {name};" in str(error), f"without {name} the error does not name it: {error}")
        else:
            raise ContractError(f"it needs {name}, and says nothing where there is none")


def _has_gradient_where_declared(sampling: Sampling) -> None:
    samples = change(make_samples(ORDINARY), lambda t: t.requires_grad_() if t.is_floating_point() else t)
    has = _weigh(sampling, samples).requires_grad
    require(has == sampling.through_grad, f"through_grad is {sampling.through_grad}, requires_grad of weights is {has}")


def _is_captured(sampling: Sampling) -> None:
    with captured(sampling) as compiled:
        for _ in range(2):
            samples = make_samples(ORDINARY[:, torch.randperm(14)])
            expected = _weigh(sampling, samples)  # before the captured call, which may change what is remembered
            require_close(compiled(change(samples, torch.clone)), expected, "the captured call gives other weights")


def _weighted(method: Sampling, samples: Samples, logits: Tensor, scale: Tensor) -> Tensor:
    return (method(replace(samples, logits=logits)) * scale).square().sum()


def _is_differentiated_by_what_it_knew(sampling: Sampling) -> None:
    """A captured call's gradient is worked out after the call, which changes what is remembered."""
    if not sampling.on_device:
        return
    eager = deepcopy(sampling)
    with captured(partial(_weighted, sampling)) as compiled:
        for _ in range(3):
            samples = make_samples(ORDINARY[:, torch.randperm(14)])
            logits, scale = samples["logits"].requires_grad_(), torch.rand(1, requires_grad=True)
            _require_same_memory(sampling, eager)
            expected, value = _weighted(eager, samples, logits, scale), compiled(samples, logits, scale)
            of = (logits, scale) if sampling.through_grad else (scale,)
            found = torch.autograd.grad(value, of)
            require_close(found, torch.autograd.grad(expected, of), "the captured call has another gradient")


def _require_same_memory(sampling: Sampling, eager: Sampling) -> None:
    for (name, after), (_, before) in zip(sampling.named_buffers(), eager.named_buffers(), strict=True):
        require_close(after, before, f"captured, it remembers another {name}")


def _has_the_gradient_of_its_weights(sampling: Sampling) -> None:
    if not sampling.through_grad:
        return
    for ties in (False, True):
        samples = make_samples(ORDINARY[:, :5], torch.float64, ties=ties)
        logits = samples["logits"].clone().requires_grad_()
        weigh = partial(_weights_at, sampling, samples)
        require(torch.autograd.gradcheck(weigh, (logits,)), "the gradient is not that of the weights")


def _weights_at(sampling: Sampling, samples: Samples, logits: Tensor) -> Tensor:
    return _weigh(sampling, replace(samples, logits=logits))


def _gives_ignored_samples_no_gradient(sampling: Sampling) -> None:
    if not sampling.through_grad:
        return
    for case, samples in sampled():
        for poison in (torch.nan, torch.inf):
            ignored = ~samples.assignment.is_valid
            logits = poisoned(samples["logits"], ignored, poison).requires_grad_()
            (gradient,) = torch.autograd.grad(_weights_at(sampling, samples, logits).sum(), logits)
            require(gradient.isfinite(), f"{case}: with {poison} in ignored logits a gradient is not finite")
            require(gradient[ignored] == 0, f"{case}: an ignored sample has a gradient")


def _survives_saturated_logits(sampling: Sampling) -> None:
    for (case, matched_gt), dtype in ((of, dtype) for of in MATCHED.items() for dtype in LOW_DTYPES):
        for size in (50.0, 1e4):
            samples = make_samples(matched_gt, dtype)
            logits = (samples["logits"].sign() * size).requires_grad_()
            weights = _weights_at(sampling, samples, logits)
            require(weights.isfinite(), f"{case}, {dtype}, logits of {size:g}: a weight is not finite")
            if sampling.through_grad:
                (gradient,) = torch.autograd.grad(weights.float().sum(), logits)
                require(gradient.isfinite(), f"{case}, {dtype}, logits of {size:g}: a gradient is not finite")


SOMETHING_KEPT = "something is kept where there is anything"
SAMPLING_CONTRACT: Contract = {
    "a call is pure": _is_pure,
    "weights have the shape and dtype of the evidence": _is_like_its_evidence,
    "weights are finite, not negative, and zero where ignored": _is_finite_and_zero_where_ignored,
    "what is known of ignored samples changes nothing": _sees_nothing_of_ignored_samples,
    "no image keeps more than the budget": _keeps_its_budget,
    SOMETHING_KEPT: _keeps_something,
    "a batch equals its images one by one": _treats_images_alone,
    "permuting samples permutes weights": _does_not_care_for_order,
    "declared evidence is enough": _sees_what_it_declares,
    "missing evidence is named": _names_what_is_missing,
    "gradient flows through the weights only where declared": _has_gradient_where_declared,
    "the gradient is that of the weights": _has_the_gradient_of_its_weights,
    "weights give ignored samples no gradient": _gives_ignored_samples_no_gradient,
    "saturated logits give finite weights and gradients": _survives_saturated_logits,
    CAPTURED: _is_captured,
    "a captured call has the gradient of what was remembered before it": _is_differentiated_by_what_it_knew,
}
OF_POSITIVES: Contract = {**SAMPLING_CONTRACT, SOMETHING_KEPT: partial(_keeps_something, of_positives=True)}
"""Of samplings that weigh box losses, which only positives have."""
