import pytest
import torch
from torch import nn

from hardmine.training import TrainingConfig
from hardmine.training.optimise import averaged_weights, learning_rate, optimizer_for, set_learning_rate


def rates(num_steps, **options):
    return [learning_rate(TrainingConfig(lr=1.0, **options), step, num_steps) for step in range(num_steps)]


def test_the_rate_climbs_to_its_peak_and_falls_to_almost_nothing():
    rate = rates(1000, warmup_fraction=0.1)
    assert rate[:100] == sorted(rate[:100])
    assert rate[100:] == sorted(rate[100:], reverse=True)
    assert max(rate) == rate[100] == 1.0
    assert 0 < rate[0] < 0.02
    assert 0 < rate[-1] < 1e-4


@pytest.mark.parametrize("warmup_fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_every_step_has_a_rate_within_bounds(num_steps, warmup_fraction):
    assert all(0 < rate <= 1 for rate in rates(num_steps, warmup_fraction=warmup_fraction))


def test_only_matrices_decay_and_frozen_weights_are_left_out():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].requires_grad_(False)
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer_for(model, TrainingConfig(weight_decay=0.5)).param_groups
        for parameter in group["params"]
    }
    assert decay == {
        id(model[0].weight): 0.5,
        id(model[0].bias): 0.0,
        id(model[1].weight): 0.0,
        id(model[1].bias): 0.0,
    }


def test_the_rate_is_set_in_every_group():
    optimizer = optimizer_for(nn.Linear(3, 2), TrainingConfig())
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_averaged_weights_forget_the_initial_ones_and_then_follow_slowly():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 100.0)
    average = averaged_weights(model, decay=0.999)
    nn.init.constant_(model.weight, 1.0)
    average.update_parameters(model)
    assert average.module.weight.item() == 1.0
    nn.init.constant_(model.weight, 0.0)
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(2 / 11)  # (1 + n) / (10 + n) after n = 1 updates
    for _ in range(20_000):
        average.update_parameters(model)
    value = average.module.weight.item()
    nn.init.constant_(model.weight, 1.0)
    average.update_parameters(model)
    assert average.module.weight.item() - value == pytest.approx(0.001, rel=1e-3)
    assert torch.is_tensor(average.n_averaged)
