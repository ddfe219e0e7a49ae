"""Arguments, and the faults of other implementations; values are compared in oracle/ and golden/."""

import pytest
import torch
from torch import Tensor

from hardmine import ISR, Assignment, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [{"k": -1}, {"k": float("nan")}, {"bias": 1.5}, {"bias": -0.1}, {"over": "ranks"}, {"relative_to": "none"}],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=r"ISR needs .* got|unknown (over|relative_to)"):
        ISR(**options)


def test_pools_the_batch_unless_told_otherwise():
    assert ISR().pools_batch
    assert not ISR(over="image").pools_batch


def samples(matched: list[list[int]], iou: list[list[float]], loss: Tensor | None = None) -> Samples:
    """Objects of one class."""
    matched_gt, predicted_iou = torch.tensor(matched), torch.tensor(iou)
    loss = torch.ones_like(predicted_iou) if loss is None else loss
    return Samples(
        Assignment(matched_gt, predicted_iou),
        labels=matched_gt.clamp_max(0),
        predicted_iou=predicted_iou,
        classification_loss=loss,
    )


def test_objects_of_three_images_stay_apart():
    """All are object 0 of their image. If two of them were one group, the best box of one would rank fourth."""
    weights = ISR(k=1)(samples([[0, 0], [0, 0], [0, 0]], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]))
    torch.testing.assert_close(weights, torch.tensor([[6.0, 1], [5, 2], [4, 3]]) / 3.5)


def test_where_all_losses_underflow_weights_are_those_of_the_ranks():
    weights = ISR(k=1)(samples([[0, 0, -1]], [[0.9, 0.1, 0.0]], torch.zeros(1, 3)))
    assert weights.tolist() == [[1.0, 0.5, 1.0]]


def test_relative_to_its_own_class_the_best_of_each_counts_alike():
    evidence = samples([[0, 0, 0, 1]], [[0.9, 0.5, 0.1, 0.3]])
    two_classes = Samples(
        evidence.assignment,
        labels=torch.tensor([[0, 0, 0, 1]]),
        predicted_iou=evidence.predicted_iou,
        classification_loss=evidence.classification_loss,
    )
    first = ISR(k=1, relative_to="own")(two_classes)[0]
    assert first[0] == first[3]
    torch.testing.assert_close(ISR(k=1)(two_classes)[0] * 3 / 4, torch.tensor([3.0, 2, 1, 3]) / 3)


def test_without_preference_all_count_once():
    evidence = samples([[0, 1, -1, 0]], [[0.9, 0.5, 0.0, 0.2]], torch.rand(1, 4))
    for sampling in (ISR(k=0), ISR(bias=1)):
        torch.testing.assert_close(sampling(evidence), torch.ones(1, 4))
