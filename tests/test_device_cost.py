"""No method costs more on a device than it did: kernels, and bytes written, counted on the meta device."""

import json

import pytest
import torch

import hardmine as hm
from benchmarks import device_cost, head_cost
from benchmarks.scaling import methods
from hardmine.errors import EvidenceError

KEPT = json.loads(device_cost.RESULT.read_text())["costs"]
HEADS = json.loads(head_cost.RESULT.read_text())["heads"]
OF_HEADS = [(detector, recipe) for detector, costs in HEADS.items() for recipe in costs]
METHODS = dict(methods())
SLACK = 1.03
"""Another version of torch may split an operation otherwise."""


def check_no_dearer(kept, now):
    if kept is None:  # it waits for the host; that it no longer does is welcome
        return
    assert now is not None, "it waits for the host"
    for field in ("kernels", "dispatched", "written", "waits"):
        assert getattr(now, field) <= kept[field] * SLACK, f"{field}: {getattr(now, field)}, was {kept[field]}"


@pytest.mark.parametrize("name", KEPT)
def test_no_method_became_dearer(name):
    check_no_dearer(KEPT[name], device_cost.cost_of(METHODS[name]))


@pytest.mark.parametrize(("detector", "recipe"), OF_HEADS, ids=["-".join(each) for each in OF_HEADS])
def test_no_recipe_became_dearer(detector, recipe):
    check_no_dearer(HEADS[detector][recipe], head_cost.cost_of_recipe(detector, recipe))


def test_every_method_is_counted():
    assert set(METHODS) == set(KEPT)


def test_every_recipe_is_counted_on_each_detector_that_takes_it():
    for detector, costs in HEADS.items():
        for recipe in set(hm.RECIPES) - set(costs):
            with pytest.raises(EvidenceError):
                head_cost.cost_of_recipe(detector, recipe)


@pytest.mark.parametrize("name", KEPT)
def test_what_waits_for_the_host_says_so(name):
    cost, says_so = device_cost.cost_of(METHODS[name]), not getattr(METHODS[name], "on_device", True)
    assert (cost is None or cost.waits > 0) == says_so


def test_views_and_what_is_broadcast_are_counted_as_what_they_are():
    with torch.device("meta"):
        values, one = torch.empty(1000, 4), torch.empty(4)
    cost = device_cost.count(lambda: (values[:, :2] + 1, values + one.expand(1000, 4)))
    assert (cost.kernels, cost.dispatched) == (2, 4)
    assert (cost.read, cost.written) == (2000 * 4 + 4000 * 4 + 4 * 4, 2000 * 4 + 4000 * 4)


def test_a_search_for_what_is_true_is_a_wait_and_finds_as_many_as_there_are_positives():
    with torch.device("meta"):
        mask = torch.empty(10, dtype=torch.bool)
    cost = device_cost.count(lambda: mask.nonzero() + 1)
    assert (cost.kernels, cost.waits, cost.written) == (2, 1, 2 * device_cost.SIZE.positives * 8)


@pytest.mark.parametrize("name", ["APLoss", "ALRP", "ALRPWeight", "RankSort"])
def test_rankings_wait_once_and_write_no_more_than_a_few_numbers_for_each_score(name):
    cost = device_cost.cost_of(METHODS[name])
    assert cost is not None
    assert cost.waits == 1
    assert cost.written <= 40 * 4 * device_cost.SIZE.samples


def test_what_waits_for_the_host_cannot_be_counted():
    with torch.device("meta"):
        values = torch.empty(10)
    with pytest.raises((RuntimeError, NotImplementedError)):
        device_cost.count(lambda: values.sum().item())
