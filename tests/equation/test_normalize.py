"""Counts by hand, and over two ranks: summed once and divided by the world size once."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest
import torch

from hardmine.core.samples import Assignment
from hardmine.equation.normalize import PerPositive, PerSampled, PerValid, PerWeight
from hardmine.errors import ConfigError

MATCHED = torch.tensor([[0, 1, -1, -1, -2], [-1, -1, -2, -2, -2]])
WEIGHTS = torch.tensor([[1.0, 0.0, 0.5, 0.5, 0.0], [0.5, 0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("kind", "each"), [(PerPositive, [1, 0]), (PerSampled, [3, 1]), (PerValid, [4, 2]), (PerWeight, [2, 0.5])]
)
def test_counts_by_hand(kind, each):
    assignment = Assignment(MATCHED, torch.zeros(MATCHED.shape))
    images = 2 * torch.tensor(each).view(2, 1).clamp_min(1)
    torch.testing.assert_close(kind("image")(assignment, WEIGHTS), images.float())
    for over in ("batch", "ranks"):
        assert kind(over)(assignment, WEIGHTS).tolist() == [[sum(each)]]


def test_an_unknown_extent_is_named():
    with pytest.raises(ConfigError, match="got 'world'"):
        PerPositive("world")


RANKS = dedent(
    """
    import sys, torch, torch.distributed as dist
    from hardmine.equation.normalize import PerPositive
    from hardmine.core.samples import Assignment

    rank, meeting = int(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    weight = torch.ones((), requires_grad=True)  # of a model that both ranks have
    loss = weight * torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[rank]
    for matched in ([[0, 0, 0], [0, -1, -1]], [[-1, -1, -1], [-1, -1, -1]]):
        assignment = Assignment(torch.tensor(matched[rank])[None], torch.zeros(1, 3))
        weights = torch.ones(1, 3)
        z = {over: PerPositive(over)(assignment, weights) for over in ("ranks", "batch")}
        gradient, = torch.autograd.grad((loss / z["ranks"]).sum(), weight, retain_graph=True)
        dist.all_reduce(gradient)
        print(z["ranks"].item(), z["batch"].item(), gradient.item() / 2)  # averaged, as data-parallel training does
    dist.destroy_process_group()
    """
)


def test_two_ranks_give_the_gradient_of_one_process(tmp_path):
    """Three positives and one: each rank divides by their mean, 2; the averaged gradient is one process's, 21 / 4."""
    command = [sys.executable, "-W", "ignore", "-c", RANKS]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meeting")], stdout=subprocess.PIPE, env=environment)
        for rank in range(2)
    ]
    printed = [rank.communicate(timeout=120)[0].decode().splitlines() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    assert printed[0][0] == f"2.0 3.0 {21 / 4}"
    assert printed[1][0] == f"2.0 1.0 {21 / 4}"
    # without any positive Z is one sample in all, not one a rank
    assert printed[0][1] == printed[1][1] == f"0.5 1.0 {21.0}"
