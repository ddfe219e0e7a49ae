"""Samplings that change with training time."""

import pytest
import torch

from hardmine import All, Assignment, FocalFactor, HardNegative, RandomBalanced, Samples, Scheduled, SelfPaced
from hardmine.errors import ConfigError
from hardmine.sampling.scheduled import ramp

LOSS = torch.tensor([[0.1, 0.9, 0.5, 0.3, 0.7, 0.2]])
MATCHED = torch.tensor([[0, 0, -1, -1, -1, -2]])


def samples(progress: float, **evidence: torch.Tensor) -> Samples:
    clock = torch.full_like(LOSS, progress)
    return Samples(Assignment(MATCHED, torch.zeros_like(LOSS)), classification_loss=LOSS, progress=clock, **evidence)


@pytest.mark.parametrize(("progress", "share"), [(0, 0), (0.2, 0), (0.3, 0.5), (0.4, 1), (1, 1)])
def test_a_ramp_is_linear_between_its_ends(progress, share):
    assert ramp(torch.tensor(progress), 0.2, 0.4).item() == pytest.approx(share)


def test_without_a_length_it_is_a_step_at_its_start():
    assert ramp(torch.tensor([0.29, 0.3, 0.31]), 0.3, 0.3).tolist() == [0, 1, 1]


def test_weights_go_from_those_of_the_first_to_those_of_the_second():
    kept = HardNegative(0.5)(samples(0))
    sampling = Scheduled(None, HardNegative(0.5), 0, 1)
    everything = torch.tensor([[1.0, 1, 1, 1, 1, 0]])
    for progress in (0.0, 0.25, 1.0):
        expected = (1 - progress) * everything + progress * kept
        torch.testing.assert_close(sampling(samples(progress)), expected)


def test_one_weight_a_sample_gives_way_to_one_a_class():
    known = {"logits": torch.zeros(1, 6, 3), "labels": torch.where(MATCHED >= 0, 1, MATCHED)}
    own = FocalFactor()(samples(0.5, **known))
    found = Scheduled(All(), FocalFactor(), 0, 1)(samples(0.5, **known))
    torch.testing.assert_close(found, (0.5 + 0.5 * own) * (MATCHED != -2).unsqueeze(-1))


def test_a_budget_holds_where_both_have_one_and_one_gives_way_at_once():
    first, then = RandomBalanced(8, 0.5), RandomBalanced(4, 0.5)
    assert Scheduled(first, then, 0.1).budget == 8
    assert Scheduled(first, then, 0, 1).budget is None  # for a while both keep theirs
    assert Scheduled(All(), then, 0.1).budget is None


def test_easy_samples_come_first_and_of_positives_and_negatives_alike():
    paced = SelfPaced(first_share=1 / 3, full_at=0.5)
    assert paced(samples(0)).tolist() == [[1, 0, 0, 1, 0, 0]]
    assert paced(samples(0.25)).tolist() == [[1, 1, 1, 1, 0, 0]]  # two thirds: of two the second as well, rounded up
    assert paced(samples(0.5)).tolist() == [[1, 1, 1, 1, 1, 0]]


@pytest.mark.parametrize("times", [(-0.1, 1), (0.5, 0.4), (0, 1.5), (float("nan"), 1)])
def test_times_out_of_range_are_refused(times):
    with pytest.raises(ConfigError, match="Scheduled needs 0 <= start <= end <= 1"):
        Scheduled(All(), All(), *times)


@pytest.mark.parametrize("arguments", [(0, 0.5), (0.5, 0), (1.5, 0.5), (0.5, 2)])
def test_shares_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match="SelfPaced needs"):
        SelfPaced(*arguments)


def test_parts_for_different_scores_are_refused():
    with pytest.raises(ConfigError, match="a head has one kind"):
        Scheduled(FocalFactor(), FocalFactor(activation="softmax"), 0.5)
