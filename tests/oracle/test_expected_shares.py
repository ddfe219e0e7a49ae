"""How many samples of each bin or object are kept on average, against the papers' procedure.

One draw says nothing of chances, and the samples of one draw depend on each other. So many images are drawn, each with
its own noise; they are independent, and how far their mean may be from the expectation follows from their number.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from hardmine import Combined, InstanceBalanced, IoUBalanced, Random, Samples
from hardmine.core.samples import BACKGROUND, Assignment

DRAWS = 1000
DEVIATIONS = 5  # of the mean: chance exceeds them once in two million times
SHARES = [  # how many candidates each group has, how many places there are
    pytest.param((1500, 300, 50), 384, id="a small group is short"),
    pytest.param((50, 300, 1500), 384, id="the other way round"),
    pytest.param((400, 20, 3), 63, id="two groups are short"),
    pytest.param((30, 22, 2), 33, id="most of what is left over is taken"),
    pytest.param((12, 11, 11), 32, id="one place for any"),
    pytest.param((40, 9, 0), 15, id="an empty group"),
    pytest.param((100, 20, 12), 30, id="nothing left over"),
    pytest.param((90, 10, 1), 2, id="fewer places than groups"),
    pytest.param((500, 30, 8, 4, 2, 1, 1), 3, id="far fewer places than groups"),
    pytest.param((9,), 4, id="one group"),
]


def in_places(sizes: tuple[int, ...], share: int, num: int) -> tuple[Tensor, Tensor]:
    """Expectation and variance of how many of each group are kept, (G,) each.

    A group's own places are certain, what tops them up is drawn from an urn without putting back: hypergeometric. Where
    there are more groups than places, the urn holds one sample of each group.
    """
    available = torch.tensor(sizes, dtype=torch.float64)
    first = available.clamp_max(share)
    urn, certain = (available - first, first) if first.sum() <= num else (first, 0 * first)
    places, total = num - certain.sum(), urn.sum().clamp_min(1)
    chance = urn / total
    left_in = (total - places) / (total - 1).clamp_min(1)
    return certain + places * chance, places * chance * (1 - chance) * left_in


def simulated(sizes: tuple[int, ...], share: int, num: int, generator: np.random.Generator) -> np.ndarray:
    """The paper's procedure once, group by group, with a draw for each step: how many of each group, (G,)."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    first = [generator.permutation(np.flatnonzero(group == g))[:share] for g in range(len(sizes))]
    kept = generator.permutation(np.concatenate(first))[:num]
    others = generator.permutation(np.setdiff1d(np.arange(len(group)), kept))
    return np.bincount(group[[*kept, *others[: num - len(kept)]]], minlength=len(sizes))


def assert_expected(counts: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Of the images' counts (DRAWS, G): their mean, and their variance, are what chance allows."""
    number, counts = len(counts), counts.double()
    error = (variance / number).sqrt() * DEVIATIONS + 1e-9
    assert ((counts.mean(dim=0) - mean).abs() <= error).all(), (counts.mean(dim=0), mean, error)
    squares = (counts - mean).square()
    error = squares.std(dim=0) / number**0.5 * DEVIATIONS + 1e-9
    assert ((squares.mean(dim=0) - variance).abs() <= error).all(), (squares.mean(dim=0), variance, error)


def per_group(kept: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """How many samples of each group each image keeps, (DRAWS, G)."""
    return torch.stack([((kept > 0) & (group == g)).sum(dim=1) for g in range(num_groups)], dim=1)


@pytest.fixture
def noise_of():
    """Noise (DRAWS, N), always the same."""
    return lambda group: torch.rand(DRAWS, len(group), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("sizes", "num"), SHARES)
def test_the_closed_form_is_what_the_procedure_gives(sizes, num):
    generator, share = np.random.default_rng(0), max(1, num // len(sizes))
    counts = np.stack([simulated(sizes, share, num, generator) for _ in range(DRAWS)])
    assert_expected(torch.from_numpy(counts), *in_places(sizes, share, num))


@pytest.mark.parametrize(("sizes", "num"), SHARES)
def test_iou_balanced_negatives(sizes, num, noise_of):
    bins = len(sizes)
    group = torch.repeat_interleave(torch.arange(bins), torch.tensor(sizes))
    iou = ((group + 0.5) / bins * 0.5).expand(DRAWS, -1)
    samples = Samples(Assignment(torch.full(iou.shape, BACKGROUND), iou), noise=noise_of(group))
    kept = Combined(Random(), IoUBalanced(bins=bins), num, 0)(samples)
    assert_expected(per_group(kept, group, bins), *in_places(sizes, max(1, num // bins), num))


@pytest.mark.parametrize(("sizes", "num"), SHARES)
def test_instance_balanced_positives(sizes, num, noise_of):
    """An object without samples gets no share."""
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    matched = group.expand(DRAWS, -1)
    samples = Samples(Assignment(matched, torch.zeros(matched.shape)), noise=noise_of(group))
    kept = Combined(InstanceBalanced(), Random(), num, 1)(samples)
    share = max(1, num // sum(size > 0 for size in sizes))
    assert_expected(per_group(kept, group, len(sizes)), *in_places(sizes, share, num))


def test_what_the_floor_leaves_open_goes_to_all_that_is_left_over(noise_of):
    """Of 40 places half are for the bins: 6 each and 2 for any; there are 5 others, so 15 more are for any."""
    sizes = (300, 30, 7)
    far, group = 5, torch.repeat_interleave(torch.arange(-1, 3), torch.tensor([5, *sizes]))
    iou = torch.where(group < 0, 0.05, 0.1 + (group + 0.5) / 3 * 0.4).expand(DRAWS, -1)
    samples = Samples(Assignment(torch.full(iou.shape, BACKGROUND), iou), noise=noise_of(group))
    kept = Combined(Random(), IoUBalanced(floor_iou=0.1, floor_fraction=0.5), 40, 0)(samples)
    assert (kept[:, group < 0] == 1).all()
    assert_expected(per_group(kept, group, 3), *in_places(sizes, 6, 40 - far))


@pytest.mark.parametrize("num", [2, 24])
def test_every_sample_of_a_group_has_the_same_chance(num, noise_of):
    group = torch.repeat_interleave(torch.arange(3), torch.tensor([40, 20, 2]))
    matched = group.expand(DRAWS, -1)
    samples = Samples(Assignment(matched, torch.zeros(matched.shape)), noise=noise_of(group))
    drawn = Combined(InstanceBalanced(), Random(), num, 1)(samples).double().mean(dim=0)
    chance = torch.stack([drawn[group == g].mean() for g in range(3)])[group]
    assert ((drawn - chance).abs() <= DEVIATIONS * (chance * (1 - chance) / DRAWS).sqrt() + 1e-9).all()
