"""Arguments, who sees what, and where the places go."""

import pytest
import torch

from hardmine import (
    All,
    Assignment,
    Chain,
    Combined,
    FocalFactor,
    HardPool,
    InstanceBalanced,
    IoUBalanced,
    Random,
    Samples,
    ScoreHLR,
)
from hardmine.errors import ConfigError
from hardmine.sampling import QuotaSampling


class Watched(QuotaSampling):
    """Takes the first samples, and notes what it was shown."""

    def __init__(self, *needs: str):
        super().__init__()
        self.needs = frozenset(needs)

    def choose(self, samples, candidates, quota, most):
        self.seen = samples.available, candidates.tolist(), quota.tolist()
        return (candidates & (candidates.cumsum(1) <= quota)).float()


@pytest.mark.parametrize(
    "options",
    [{"num": 0}, {"positive_fraction": 1.1}, {"positive_fraction": -0.1}, {"negatives_per_positive": -1}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="Combined needs"):
        Combined(Random(), Random(), **options)


def test_parts_must_read_the_same_scores():
    with pytest.raises(ConfigError, match="Combined got parts for sigmoid scores and parts for softmax scores"):
        Combined(ScoreHLR(), ScoreHLR(activation="sigmoid"))
    with pytest.raises(ConfigError, match="Chain got parts"):
        Chain(ScoreHLR(), FocalFactor(activation="sigmoid"))


def test_it_declares_what_its_parts_declare():
    combined = Combined(HardPool(), ScoreHLR(activation="sigmoid"), 9)
    assert combined.needs == HardPool.needs | ScoreHLR.needs
    assert (combined.activation, combined.budget) == ("sigmoid", 9)
    assert (combined.pools_batch, combined.through_grad) == (False, False)
    assert Combined(InstanceBalanced(), IoUBalanced()).needs == {"noise"}
    assert Combined(InstanceBalanced(), IoUBalanced()).activation is None
    assert Chain(All(), ScoreHLR()).activation == "softmax"


def test_each_part_sees_its_kind_and_its_evidence_only():
    first, second = Watched(), Watched("noise")
    matched = torch.tensor([[0, -1, 1, -1, -2], [-1, -1, -1, -1, -1]])
    noise = torch.rand(2, 5)
    weights = Combined(first, second, 3, 0.5)(Samples(Assignment(matched, noise), noise=noise))
    assert first.seen == ((), (matched >= 0).tolist(), [[1], [1]])
    assert second.seen == (("noise",), (matched == -1).tolist(), [[2], [3]])
    assert weights.tolist() == [[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("ratio", "negatives"), [(None, [7, 8]), (0, [0, 0]), (1, [1, 1]), (3, [3, 3]), (2.5, [2, 2]), (100, [7, 8])]
)
def test_negatives_may_be_bounded_by_the_positives_kept(ratio, negatives):
    """One where there is none; not by those that there are, of which only two are kept."""
    matched = torch.tensor([[0, *[-1] * 11], [-1] * 12, [0, 0, 0, 1, *[-1] * 8]])
    samples = Samples(Assignment(matched, torch.zeros(3, 12)))
    kept = Combined(Watched(), Watched(), 8, 0.25, ratio)(samples) > 0
    assert (kept & (matched >= 0)).sum(dim=1).tolist() == [1, 0, 2]
    of_two = 6 if ratio is None else min(6, int(2 * ratio))
    assert (kept & (matched < 0)).sum(dim=1).tolist() == [*negatives, of_two]
