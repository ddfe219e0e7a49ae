"""Arguments, edges of the bins, and what is remembered; values are compared in oracle/ and golden/."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hardmine import GHMC, GHMR, Assignment, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize("kind", [GHMC, GHMR])
@pytest.mark.parametrize(
    "options",
    [
        {"bins": 0},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"density": "exact"},
        {"density": "exact", "momentum": 0, "over": "non-empty"},
        {"density": "about", "momentum": 0},
        {"over": "some"},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(kind, options):
    with pytest.raises(ConfigError, match=r"got|unknown (over|density)"):
        kind(**options)


def test_arguments_of_one_of_them_are_refused():
    with pytest.raises(ConfigError, match="unknown activation 'tanh'"):
        GHMC(activation="tanh")
    with pytest.raises(ConfigError, match="GHMR needs mu > 0, got 0"):
        GHMR(mu=0)


def negatives(*norms: float, dtype: torch.dtype = torch.float32) -> Samples:
    """A batch of one image and one class with these gradient norms."""
    matched = torch.full((1, len(norms)), -1)
    logits = torch.tensor(norms, dtype=torch.float64).logit().to(dtype)[None, :, None]
    return Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits)


def positives(*errors: float, dtype: torch.dtype = torch.float32) -> Samples:
    """A batch of one image whose boxes are off by as much in all four numbers of their code."""
    matched = torch.zeros(1, len(errors), dtype=torch.int64)
    error = torch.tensor(errors, dtype=dtype)[None, :, None].expand(-1, -1, 4)
    return Samples(Assignment(matched, torch.zeros(matched.shape)), code_error=error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("density", ["regions", "exact"])
def test_the_last_bin_includes_the_hardest_sample(dtype, density):
    """Where edges are kept in half precision, 1 + 1e-6 is 1, and g = 1 falls out of all bins."""
    weights = GHMC(10, 0, density=density)(negatives(0.05, 1 - 1e-9, 1 - 1e-9, dtype=dtype)).flatten()
    assert weights[1] == weights[2]
    expected = [0.3, 0.15, 0.15] if density == "regions" else [0.3, 0.075, 0.075]  # half of its interval lies beyond 1
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=dtype), rtol=0.01, atol=0)


def test_the_same_batch_again_has_the_same_weights():
    """An average that starts at 0 uncorrected gives 4 times, 2.3 times, 1.7 times as much, ..."""
    ghm, batch = GHMC(), negatives(0.1, 0.12, 0.5, 0.9)
    first = ghm(batch)
    torch.testing.assert_close(first, GHMC(momentum=0)(batch))
    for _ in range(5):
        torch.testing.assert_close(ghm(batch), first)


def test_outside_training_a_batch_is_blended_in_but_not_remembered():
    ghm = GHMC(2, 0.5)
    ghm(negatives(0.1, 0.1, 0.9, 0.9))
    before = {name: value.clone() for name, value in ghm.state_dict().items()}
    batch = negatives(0.1, 0.9, 0.9, 0.9)
    outside = ghm.eval()(batch)
    assert all(torch.equal(value, before[name]) for name, value in ghm.state_dict().items())
    assert torch.equal(ghm.train()(batch), outside)
    torch.testing.assert_close(ghm.histogram / ghm.seen, torch.tensor([4 / 3, 8 / 3]))


@pytest.mark.parametrize("kind", [GHMC, GHMR])
def test_a_batch_where_nothing_counts_is_passed_over(kind):
    ghm = kind(bins=2)
    batch = negatives(0.1, 0.9) if kind is GHMC else positives(0.001, 1.0)
    first = ghm(batch)
    nothing = Samples(
        batch.assignment.only(torch.zeros(1, 2, dtype=torch.bool)),
        labels=torch.full((1, 2), -2),
        logits=torch.full((1, 2, 1), torch.nan),
        code_error=torch.full((1, 2, 4), torch.nan),
    )
    assert (ghm(nothing) == 0).all()
    torch.testing.assert_close(ghm(batch), first)


def test_nothing_at_first_is_nothing_remembered():
    ghm = GHMR()
    batch = negatives(0.5)
    assert (ghm(Samples(batch.assignment, code_error=torch.zeros(1, 1, 4))) == 0).all()
    assert (ghm.seen == 0).all()
    assert torch.isfinite(ghm(positives(0.1))).all()


def test_without_momentum_nothing_is_remembered():
    ghm = GHMC(momentum=0)
    ghm(negatives(0.1, 0.9))
    assert (ghm.histogram == 0).all()


def test_counts_are_of_all_ranks(monkeypatch):
    """Another process that saw only easy samples makes ours rarer."""
    batch, others = negatives(0.1, 0.9), torch.tensor([2, 0])
    alone = GHMC(2)(batch)
    monkeypatch.setattr("hardmine.core.counting.sum_over_ranks", lambda total: total + others)
    ghm = GHMC(2)
    together = ghm(batch).flatten()
    torch.testing.assert_close(alone.flatten(), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(together, torch.tensor([4 / 6, 4 / 2]))
    torch.testing.assert_close(ghm.histogram / ghm.seen, torch.tensor([3.0, 1.0]))


def test_a_weight_beyond_half_precision_is_its_largest_number():
    logits = torch.full((1, 140_000, 1), -9.0, dtype=torch.float16)
    logits[0, 0] = 9
    matched = torch.full((1, 140_000), -1)
    samples = Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits)
    assert GHMC(2, 0)(samples)[0, 0, 0] == torch.finfo(torch.float16).max  # 70,000 otherwise


def test_softmax_heads_have_one_gradient_norm_a_sample():
    """Three samples sure of their label, one of another: g = 1 - p of the label, the background's included."""
    logits = torch.tensor([[[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0], [9.0, 0, 0]]])
    labels = torch.tensor([[0, 1, -1, -1]])
    samples = Samples(Assignment(labels, torch.zeros(1, 4)), labels=labels, logits=logits)
    weights = GHMC(2, 0, activation="softmax")(samples)
    torch.testing.assert_close(weights, torch.tensor([[2 / 3, 2 / 3, 2 / 3, 2.0]]))


@pytest.mark.parametrize(("huge", "dtype"), [(1e30, torch.float32), (6e4, torch.float16)], ids=str)
def test_huge_box_errors_are_the_hardest(huge: float, dtype: torch.dtype):
    """Their square overflows."""
    weights: Tensor = GHMR(bins=2, momentum=0)(positives(0.0, 0.0, 0.0, huge, dtype=dtype))[0, :, 0]
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2 / 3, 2 / 3, 2.0], dtype=dtype))


def test_weights_of_boxes_are_those_of_positives_only():
    matched = torch.tensor([[0, -1, -2]])
    samples = Samples(Assignment(matched, torch.zeros(1, 3)), code_error=torch.zeros(1, 3, 4))
    assert (GHMR(bins=1)(samples) == torch.tensor([[[1.0], [0.0], [0.0]]])).all()


@pytest.mark.parametrize("kind", [GHMC, GHMR])
def test_a_diverged_prediction_leaves_the_loss_to_say_so(kind):
    """NaN has no bin: as an index it is an error on a CPU, and on a GPU one that ends the process."""
    batch = negatives(0.1, 0.5, 0.9) if kind is GHMC else positives(0.001, 0.02, 1.0)
    name = "logits" if kind is GHMC else "code_error"
    diverged = batch[name].clone()
    diverged[0, 1] = torch.nan
    weights = kind()(replace(batch, **{name: diverged}))
    assert (weights > 0).all()  # so that the loss there is not hidden
