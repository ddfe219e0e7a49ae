"""The mixture of two class distributions, in logits."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from hardmine.errors import ConfigError
from hardmine.experts import Expert, mixed_logits


@given(st.integers(0, 10_000), st.floats(-60, 60), st.floats(0.1, 40))
@settings(max_examples=50, deadline=None)
def test_it_is_the_mixture_that_its_formula_says(seed, gate, scale):
    generator = torch.Generator().manual_seed(seed)
    base, second = (torch.randn(7, 4, generator=generator, dtype=torch.float64) * scale for _ in range(2))
    share = torch.tensor(gate, dtype=torch.float64).sigmoid()
    found = mixed_logits(base, second, torch.full((7,), gate, dtype=torch.float64)).softmax(-1)
    torch.testing.assert_close(found, (1 - share) * base.softmax(-1) + share * second.softmax(-1))
    torch.testing.assert_close(found.sum(-1), torch.ones(7, dtype=torch.float64))


def test_a_closed_gate_leaves_the_base_bit_for_bit_and_an_open_one_the_second():
    base, second = torch.randn(9, 4) * 5, torch.randn(9, 4) * 5
    assert torch.equal(mixed_logits(base, second, torch.full((9,), -torch.inf)), base)
    opened = mixed_logits(base, second, torch.full((9,), torch.inf))
    torch.testing.assert_close(opened.softmax(-1), second.softmax(-1))


def test_the_mixture_of_a_model_with_itself_is_the_model():
    base, gate = torch.randn(9, 4), torch.randn(9)
    torch.testing.assert_close(mixed_logits(base, base + 3, gate), base)


def test_gradients_reach_all_three_and_are_those_of_finite_differences():
    given = [torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64), torch.randn(3).double()]
    assert torch.autograd.gradcheck(mixed_logits, [of.requires_grad_() for of in given])


@pytest.mark.parametrize("size", [1e4, 1e8])
def test_saturated_logits_and_gates_give_finite_values_and_gradients(size):
    base, second = torch.tensor([[size, -size, 0.0]]).requires_grad_(), torch.tensor([[-size, size, 0.0]])
    for value in (-size, 0.0, size):
        gate = torch.tensor([value], requires_grad=True)
        mixed = mixed_logits(base, second, gate)
        gradients = torch.autograd.grad(mixed.log_softmax(-1)[0, 2], [base, gate])
        assert mixed.isfinite().all()
        assert all(of.isfinite().all() for of in gradients)


@pytest.mark.parametrize("numbers", [(0, 3), (4, 1)])
def test_no_feature_and_one_class_are_refused(numbers):
    with pytest.raises(ConfigError, match="at least one feature and two classes"):
        Expert(*numbers)
