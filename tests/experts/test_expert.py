"""The expert: a head and a gate."""

import pytest
import torch
import torch.nn.functional as F

from hardmine.errors import ConfigError
from hardmine.experts import Expert


def test_it_starts_as_the_base_with_two_hundredths_of_its_own():
    expert, features, base = Expert(6, 3), torch.randn(8, 6), torch.randn(8, 3)
    share = expert.share(features, base)
    torch.testing.assert_close(share, torch.full((8,), 0.018), atol=1e-3, rtol=0)
    own = expert.says(features, base).softmax(-1)
    mixture = (1 - share[:, None]) * base.softmax(-1) + share[:, None] * own
    torch.testing.assert_close(expert(features, base).softmax(-1), mixture)


def test_the_loss_of_the_mixture_reaches_head_and_gate_and_the_base_through_the_mixture_alone():
    expert, features = Expert(6, 3), torch.randn(8, 6)
    base = torch.randn(8, 3, requires_grad=True)
    F.cross_entropy(expert(features, base), torch.randint(3, (8,))).backward()
    assert base.grad is not None
    assert all(parameter.grad is not None for parameter in expert.parameters())
    assert expert.says(features, base.detach()).grad_fn is not None
    assert torch.autograd.grad(expert.says(features, base).sum(), base, allow_unused=True) == (None,)


def test_it_sees_scaled_features_and_no_log_probability_below_its_least():
    expert = Expert(2, 2)
    expert.mean.copy_(torch.tensor([1.0, 2]))
    expert.deviation.copy_(torch.tensor([2.0, 4]))
    seen = expert.seen(torch.tensor([[3.0, 10]]), torch.tensor([[100.0, -100]]))
    torch.testing.assert_close(seen, torch.tensor([[1.0, 2, 0, -10]]))


def test_no_hidden_unit_is_refused():
    with pytest.raises(ConfigError, match="hidden must be at least 1, got 0"):
        Expert(4, 2, hidden=0)
