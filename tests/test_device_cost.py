"""No method costs more on a device than it did: kernels, and bytes written, counted on the meta device."""

import json

import pytest
import torch

from benchmarks import device_cost

KEPT = json.loads(device_cost.RESULT.read_text())["costs"]
SLACK = 1.03
"""Another version of torch may split an operation otherwise."""


@pytest.fixture(scope="module")
def found():
    return device_cost.costs()


@pytest.mark.parametrize("name", KEPT)
def test_no_method_became_dearer(found, name):
    kept, now = KEPT[name], found[name]
    if kept is None:  # it waits for the host; that it no longer does is welcome
        return
    assert now is not None, "it waits for the host"
    for field in ("kernels", "dispatched", "written"):
        assert getattr(now, field) <= kept[field] * SLACK, f"{field}: {getattr(now, field)}, was {kept[field]}"


def test_every_method_is_counted(found):
    assert set(found) == set(KEPT)


def test_views_and_what_is_broadcast_are_counted_as_what_they_are():
    with torch.device("meta"):
        values, one = torch.empty(1000, 4), torch.empty(4)
    cost = device_cost.count(lambda: (values[:, :2] + 1, values + one.expand(1000, 4)))
    assert (cost.kernels, cost.dispatched) == (2, 4)
    assert (cost.read, cost.written) == (2000 * 4 + 4000 * 4 + 4 * 4, 2000 * 4 + 4000 * 4)


def test_what_waits_for_the_host_cannot_be_counted():
    with torch.device("meta"):
        values = torch.empty(10)
    with pytest.raises((RuntimeError, NotImplementedError)):
        device_cost.count(lambda: values.sum().item())
