"""Every method does on a device what it does on the CPU, and no call waits for the device but those that say so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardmine.core.samples import Assignment, Samples
from hardmine.testing.losses import make_predicted
from hardmine.testing.situations import MATCHED, make_boxes, make_logits, make_samples
from tests.contract.conftest import ASSIGNERS, SAMPLINGS
from tests.contract.test_normalizers import weights_for

WAITING = {name: make for name, make in (ASSIGNERS | SAMPLINGS).items() if not make().on_device}


def assign(assigner: nn.Module, anchors: Tensor, ground_truth: Any, levels: Any, predictions: Any) -> list[Tensor]:
    assignment = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    found = assignment.matched_gt, assignment.iou, assignment.quality
    return [values for values in found if values is not None]


def weigh(sampling: nn.Module, samples: Samples) -> list[Tensor]:
    logits = samples.logits.detach().requires_grad_()
    weights = sampling(replace(samples, logits=logits))
    return with_gradient(weights, logits) if sampling.through_grad else [weights]


def classify(loss: nn.Module, logits: Tensor, labels: Tensor, evidence: dict[str, Tensor]) -> list[Tensor]:
    logits = logits.detach().requires_grad_()
    return with_gradient(loss(logits, labels, **evidence), logits)


def regress(loss: nn.Module, predicted: Tensor, target: Tensor) -> list[Tensor]:
    predicted = predicted.detach().requires_grad_()
    return with_gradient(loss(predicted, target), predicted)


def average(normalizer: nn.Module, assignment: Assignment, weights: Tensor) -> list[Tensor]:
    return [normalizer(assignment, weights)]


def with_gradient(values: Tensor, leaf: Tensor) -> list[Tensor]:
    return [values.detach(), *torch.autograd.grad(values.sum(), leaf)]


def test_an_assigner(assigner, anchors, ground_truth, levels, predictions, check_call):
    check_call(assign, assigner, anchors, ground_truth, levels, predictions, on_device=assigner.on_device)


def test_a_sampling(sampling, matched_gt, check_call):
    for ties in (False, True):
        check_call(weigh, sampling, make_samples(matched_gt, ties=ties), on_device=sampling.on_device)


def test_a_classification_loss(classification_loss, labels, check_call):
    check_loss(check_call, classification_loss, labels)


def test_a_listwise_loss(listwise_loss, labels, check_call):
    check_loss(check_call, listwise_loss, labels)


def check_loss(check_call: Callable, loss: nn.Module, labels: Tensor) -> None:
    samples, logits = make_samples(labels), make_logits(loss.activation, labels)
    evidence = {name: samples[name] for name in loss.needs}
    for scores in (logits, logits.round()):  # apart, and with ties
        check_call(classify, loss, scores, labels, evidence, on_device=loss.on_device)


@pytest.mark.parametrize("shape", [(2, 5), (2, 0)], ids=str)
def test_a_regression_loss(regression_loss, shape, check_call):
    check_call(regress, regression_loss, make_predicted(regression_loss, *shape), make_boxes(*shape))


def test_a_regression_loss_where_corners_tie(regression_loss, check_call):
    predicted, target = make_predicted(regression_loss, 2, 50).round(), make_boxes(2, 50).round()
    check_call(regress, regression_loss, predicted, target)


def test_a_normalizer(normalizer, matched_gt, check_call):
    check_call(average, normalizer, *weights_for(matched_gt))


@pytest.mark.parametrize("name", WAITING)
def test_what_says_that_it_waits_does(name, anchors, levels, predictions, ground_truth, moved, place):
    samples = make_samples(MATCHED["ordinary"])
    method, call, inputs = WAITING[name](), weigh, [samples]
    if name in ASSIGNERS:
        call, inputs = assign, [anchors, ground_truth, levels, predictions]
    method, inputs = moved(method, place.device), moved(inputs, place.device)
    with place.waiting_is_an_error(), pytest.raises(RuntimeError):
        call(method, *inputs)
