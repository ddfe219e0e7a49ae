"""The pretended device computes as the CPU does, and refuses what a GPU refuses or waits for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.pretended_device import PretendedDevice, WaitsError

WAITS: dict[str, Callable[[Tensor], object]] = {
    "one value": lambda x: x.sum().item(),
    "a condition": lambda x: bool((x > 0).any()),
    "a mask as an index": lambda x: x[x > 0],
    "places": lambda x: x.nonzero(),
    "a copy to the host": lambda x: x.cpu(),
    "a copy from the host": lambda x: torch.ones(3).to(x.device),
    "a copy into it": lambda x: x.copy_(torch.ones(3)),
    "a constant": lambda x: x.new_tensor([1, 2]),
    "a constant by its device": lambda x: torch.tensor(2.0, device=x.device),
    "counting": lambda x: torch.bincount(x.long()),
}
DOES_NOT: dict[str, Callable[[Tensor], Tensor]] = {
    "a constant of one number": lambda x: torch.where(x > 1, x, 0) * 2 + torch.full((), 0.5, device=x.device),
    "a number of the CPU": lambda x: x + torch.ones(()),
    "places as an index": lambda x: x[torch.arange(2, device=x.device)],
    "a part that is written": lambda x: x.clone().index_fill_(0, torch.arange(1, device=x.device), 7.0),
}


@pytest.fixture
def pretended():
    with PretendedDevice() as device:
        yield device


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_is_told_and_otherwise_done(name, pretended):
    values = torch.tensor([1.0, 2.0, 3.0]).to(pretended.device)
    WAITS[name](values)
    with pytest.raises(WaitsError), pretended.waiting_is_an_error():
        WAITS[name](values)


@pytest.mark.parametrize("name", DOES_NOT)
def test_everything_else_is_done_as_on_the_cpu(name, pretended):
    values = torch.tensor([1.0, 2.0, 3.0])
    there = values.to(pretended.device)
    with pretended.waiting_is_an_error():
        found = DOES_NOT[name](there)
    assert found.device == pretended.device
    assert torch.equal(found.cpu(), DOES_NOT[name](values))


def test_tensors_of_two_devices_do_not_mix(pretended):
    there = torch.ones(3).to(pretended.device)
    for mixed in (lambda: there + torch.ones(3), lambda: there[torch.zeros(1, dtype=torch.int64)]):
        with pytest.raises(RuntimeError, match="two devices"):
            mixed()


def test_gradients_are_worked_out_there(pretended):
    leaf = torch.tensor([1.0, 2.0]).to(pretended.device).requires_grad_()
    with pretended.waiting_is_an_error():
        (gradient,) = torch.autograd.grad(leaf.square().sum(), leaf)
    assert gradient.cpu().tolist() == [2, 4]
