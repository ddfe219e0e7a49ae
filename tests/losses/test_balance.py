"""How much the box loss counts beside the classification loss."""

import pytest
import torch

from hardmine.errors import ConfigError
from hardmine.losses import EqualTasks, SelfBalance


@pytest.mark.parametrize(
    ("classification", "regression", "factor"), [(6.0, 2.0, 3.0), (6.0, 0.0, 0.0), (0.0, 2.0, 0.0)]
)
def test_both_tasks_become_equally_large(classification, regression, factor):
    losses = torch.tensor(classification, requires_grad=True), torch.tensor(regression, requires_grad=True)
    result = EqualTasks()(*losses)
    assert result == factor
    assert not result.requires_grad


def factors(balance: SelfBalance, losses: list[tuple[float, float]]) -> list[float]:
    return [balance(*torch.tensor(pair, requires_grad=True).unbind()).item() for pair in losses]


@pytest.mark.parametrize(("period", "start"), [(0, 50.0), (5, 0.0), (5, -1.0)])
def test_a_period_without_steps_and_a_start_at_nothing_are_refused(period, start):
    with pytest.raises(ConfigError, match=f"SelfBalance needs period >= 1 and start > 0, got {period}, {start}"):
        SelfBalance(period, start)


def test_every_period_sets_the_factor_of_the_next():
    """Both losses over the box loss: (4 + 2) / 2 after the first two steps, (2 + 4) / 4 after two more."""
    losses = [(3.0, 1.0), (1.0, 1.0), (1.0, 2.0), (1.0, 2.0), (9.0, 9.0)]
    assert factors(SelfBalance(2, 50.0), losses) == [50.0, 3.0, 3.0, 1.5, 1.5]


def test_outside_training_nothing_is_remembered():
    balance = SelfBalance(1).eval()
    assert factors(balance, [(3.0, 1.0)]) == [50.0]
    assert factors(balance.train(), [(3.0, 1.0)]) == [4.0]


def test_a_period_without_any_box_loss_keeps_the_factor():
    assert factors(SelfBalance(2, 7.0), [(3.0, 0.0), (1.0, 0.0), (3.0, 1.0), (0.0, 1.0)]) == [7.0, 7.0, 7.0, 2.5]


def test_the_losses_are_those_of_all_ranks(monkeypatch):
    monkeypatch.setattr("hardmine.losses.balance.sum_over_ranks", lambda total: total + torch.tensor([4.0, 0.0]))
    assert factors(SelfBalance(1), [(2.0, 2.0)]) == [4.0]


def test_what_is_remembered_is_saved_and_has_no_gradient():
    balance = SelfBalance(2)
    balance(torch.tensor(3.0), torch.tensor(1.0, requires_grad=True))
    resumed = SelfBalance(2)
    resumed.load_state_dict(balance.state_dict())
    factor = resumed(torch.tensor(1.0), torch.tensor(1.0, requires_grad=True))
    assert factor == 3
    assert not factor.requires_grad


def test_a_factor_once_given_does_not_change():
    balance = SelfBalance(1, 50.0).eval()
    given = balance(torch.tensor(1.0), torch.tensor(1.0))
    balance.train()(torch.tensor(1.0), torch.tensor(1.0))
    assert given == 50
