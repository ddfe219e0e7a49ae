"""A function under the contract of a sampling, and errors that bear its name."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

import hardmine
from hardmine import OHEM, Assignment, Chain, Samples, Sampling, from_function
from hardmine.errors import ConfigError, EvidenceError, ShapeError


def confident(samples: Samples) -> torch.Tensor:
    """Soft, one weight a class."""
    return samples["logits"].sigmoid()


def easy(samples: Samples) -> torch.Tensor:
    loss = samples["classification_loss"]
    return (loss < 1).to(loss.dtype)


@pytest.fixture
def samples() -> Samples:
    matched = torch.tensor([[0, -1, -2]])
    return Samples(
        Assignment(matched, torch.zeros(1, 3)),
        logits=torch.zeros(1, 3, 2, requires_grad=True),
        classification_loss=torch.tensor([[0.5, 1.5, 0.1]]),
    )


def test_in_one_line(samples):
    sampling = from_function(easy, {"classification_loss"})
    assert isinstance(sampling, Sampling)
    assert sampling(samples).tolist() == [[1, 0, 0]]
    assert hardmine.sampling.from_function is from_function


def test_weights_of_each_class_and_their_gradient(samples):
    held = from_function(confident, ["logits"])(samples)
    assert held.tolist() == [[[0.5, 0.5], [0.5, 0.5], [0, 0]]]
    assert not held.requires_grad
    assert from_function(confident, ["logits"], through_grad=True)(samples).requires_grad


def test_it_declares_what_it_is_told():
    sampling = from_function(
        easy, {"classification_loss"}, budget=3, through_grad=True, pools_batch=True, activation="sigmoid"
    )
    assert sampling.needs == {"classification_loss"}
    assert (sampling.budget, sampling.through_grad, sampling.pools_batch) == (3, True, True)
    assert sampling.activation == "sigmoid"
    plain = from_function(easy)
    assert (plain.budget, plain.through_grad, plain.pools_batch, plain.activation) == (None, False, False, None)
    assert plain.needs == frozenset()


def test_needs_may_be_read_once_only():
    assert from_function(easy, iter(["classification_loss"])).needs == {"classification_loss"}


def test_it_is_captured_copied_and_chained(samples):
    sampling = from_function(easy, {"classification_loss"})
    assert torch.equal(torch.compile(sampling, fullgraph=True, backend="aot_eager")(samples), sampling(samples))
    assert torch.equal(deepcopy(sampling)(samples), sampling(samples))
    chain = Chain(sampling, OHEM(1, nms_iou=None, rank_by="classification"))
    assert chain(samples).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((3,), {}, "needs a function of Samples, got 3"),
        ((OHEM,), {}, "needs a function of Samples"),
        ((easy, {"los"}), {}, "unknown evidence 'los'"),
        ((easy,), {"budget": 0}, "needs budget >= 1 or None, got 0"),
        ((easy,), {"budget": 2.5}, "needs budget >= 1 or None, got 2.5"),
    ],
    ids=["number", "class", "evidence", "budget", "half"],
)
def test_arguments_out_of_range_are_refused(arguments, options, message):
    with pytest.raises(ConfigError, match=message):
        from_function(*arguments, **options)


def test_missing_evidence_is_an_error_in_its_name(samples):
    with pytest.raises(EvidenceError, match="easy needs noise, but the samples have no noise"):
        from_function(easy, {"noise"})(samples)
    with pytest.raises(EvidenceError, match="the samples have no classification_loss"):
        from_function(easy)(samples)
    with pytest.raises(EvidenceError, match="the samples have no los; they have noise"):
        from_function(lambda given: given["los"], {"noise"})(replace(samples, noise=torch.zeros(1, 3)))


@pytest.mark.parametrize(
    ("weights", "got"),
    [
        (torch.ones(1, 2), r"torch.float32 \(1, 2\)"),
        (torch.ones(3), r"torch.float32 \(3,\)"),
        (torch.ones(1, 3, 2, 1), r"torch.float32 \(1, 3, 2, 1\)"),
        (torch.ones(1, 3, dtype=torch.bool), r"torch.bool \(1, 3\)"),
        ([[1.0, 1.0, 1.0]], "list"),
        (None, "NoneType"),
    ],
    ids=str,
)
def test_what_are_no_weights_is_an_error_in_its_name(samples, weights, got):
    def careless(_: Samples):
        return weights

    with pytest.raises(ShapeError, match=rf"careless must return floating weights \(1, 3\), .*; got {got}"):
        from_function(careless)(samples)


def test_one_piece_of_evidence_needs_no_set():
    assert from_function(easy, "noise").needs == {"noise"}
