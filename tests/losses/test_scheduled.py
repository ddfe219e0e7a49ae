"""A loss that gives way to another."""

import pytest
import torch

from hardmine import APLoss, CrossEntropy, Focal, ScheduledLoss
from hardmine.errors import ConfigError

LOGITS, LABELS = torch.tensor([[[2.0, -1], [0.5, 0.1], [3, 3]]]), torch.tensor([[0, -1, -2]])


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_losses_are_mixed_by_how_far_training_is(progress):
    first, then = CrossEntropy("sigmoid"), Focal()
    loss = ScheduledLoss(first, then, 0, 1)(LOGITS, LABELS, progress=torch.full(LABELS.shape, progress))
    torch.testing.assert_close(loss, (1 - progress) * first(LOGITS, LABELS) + progress * then(LOGITS, LABELS))


@pytest.mark.parametrize("then", [lambda: CrossEntropy("softmax"), APLoss], ids=["softmax", "listwise"])
def test_losses_that_cannot_be_mixed_are_refused(then):
    with pytest.raises(ConfigError, match="needs two losses of each score, for the same kind of scores"):
        ScheduledLoss(CrossEntropy("sigmoid"), then(), 0.5)


def test_times_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="ScheduledLoss needs 0 <= start <= end <= 1"):
        ScheduledLoss(Focal(), Focal(), 0.5, 0.1)
