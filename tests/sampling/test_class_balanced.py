"""Arguments, what is counted and when."""

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, Assignment, ClassBalanced, Samples
from hardmine.errors import ConfigError
from hardmine.sampling.class_balanced import count_labels

LABELS = torch.tensor([[0, 0, 1, BACKGROUND], [0, IGNORE, BACKGROUND, IGNORE]])
SAMPLES = Samples(Assignment(LABELS, torch.zeros(LABELS.shape)), labels=LABELS)


@pytest.mark.parametrize(
    "arguments", [(0,), (2, -0.1), (2, 1.0), (2, float("nan")), (2, 0.9, [1]), (2, 0.9, [1, -1])], ids=str
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match=r"ClassBalanced needs .*, got"):
        ClassBalanced(*arguments)


def test_labels_are_counted_and_nothing_else():
    assert count_labels(LABELS, 3).tolist() == [3, 1, 0]
    assert count_labels(LABELS[:, :0], 3).tolist() == [0, 0, 0]


def test_given_counts_stay():
    sampling = ClassBalanced(2, counts=[5, 1])
    sampling(SAMPLES)
    assert sampling.counts.tolist() == [5, 1]


def test_positives_are_counted_in_training_over_all_ranks(monkeypatch):
    sampling = ClassBalanced(3)
    sampling(SAMPLES)
    assert sampling.counts.tolist() == [3, 1, 0]
    sampling.eval()(SAMPLES)
    assert sampling.counts.tolist() == [3, 1, 0]
    monkeypatch.setattr("hardmine.core.counting.sum_over_ranks", lambda total: 2 * total)
    sampling.train()(SAMPLES)
    assert sampling.counts.tolist() == [9, 3, 0]


def test_the_first_call_weighs_all_alike_and_the_second_the_rare_more():
    sampling = ClassBalanced(3)
    first, second = sampling(SAMPLES), sampling(SAMPLES)
    assert torch.equal(first, (LABELS != IGNORE).float())
    assert second[0, 2] > second[0, 0]
    assert (second[LABELS == BACKGROUND] == 1).all()


def test_an_unseen_class_counts_as_one_sample():
    torch.testing.assert_close(ClassBalanced(2, counts=[0, 9]).class_weights,
                               ClassBalanced(2, counts=[1, 9]).class_weights)  # fmt: skip


def test_large_counts_lose_no_digit():
    """One sample more is 1e-8 of them, less than float32 can tell apart."""
    weights = ClassBalanced(2, 1 - 1e-9, [10**8, 10**8 + 1]).class_weights
    assert weights[0] > weights[1]
