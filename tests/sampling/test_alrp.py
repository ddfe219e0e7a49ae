"""Arguments, weights by hand, and that both sides of aLRP add up to it."""

import pytest
import torch

from hardmine import ALRP, BACKGROUND, IGNORE, ALRPWeight
from hardmine.core.samples import Assignment, Samples
from hardmine.equation.normalize import PerPositive
from hardmine.errors import ConfigError


def samples_of(labels: list[int], scores: list[float]) -> Samples:
    label = torch.tensor([labels])
    return Samples(
        Assignment(label, torch.zeros(label.shape)), labels=label, logits=torch.tensor(scores).view(1, -1, 1)
    )


@pytest.mark.parametrize(("delta", "tau"), [(-1.0, 0.5), (1.0, 1.0), (1.0, -0.1)])
def test_arguments_out_of_range_are_refused(delta, tau):
    with pytest.raises(ConfigError, match=rf"needs delta >= 0 and tau in \[0, 1\), got {delta}, {tau}"):
        ALRPWeight(delta, tau)


def test_a_box_counts_for_each_positive_at_or_below_its_score():
    """Order: +, -, +, so ranks 1 and 3. The first box counts for both positives, the second only for itself."""
    samples = samples_of([0, BACKGROUND, 0, IGNORE], [3.0, 2.0, 1.0, 9.0])
    torch.testing.assert_close(ALRPWeight(0)(samples), torch.tensor([[1 + 1 / 3, 0, 1 / 3, 0]]))
    torch.testing.assert_close(ALRPWeight(0, tau=0.75)(samples), 2 * ALRPWeight(0)(samples))


def test_equal_scores_count_alike():
    """Where the authors' code depends on which of them a sort puts first."""
    weights = ALRPWeight()(samples_of([0, 0, 0, BACKGROUND], [1.0, 1.0, 1.0, 1.0]))
    assert weights[0, :3].unique().numel() == 1


def test_other_classes_of_a_positive_are_above_it_too():
    labels = torch.tensor([[1]])
    samples = Samples(Assignment(labels, torch.zeros(1, 1)), labels=labels, logits=torch.tensor([[[5.0, 0.0, 5.0]]]))
    torch.testing.assert_close(ALRPWeight()(samples), torch.tensor([[1 / 3]]))


def test_both_sides_add_up_to_the_error_that_is_reported():
    """aLRP = mean over positives of (false positives above + box errors at or above) / rank, with a hard step."""
    labels, logits, box_loss = torch.randint(IGNORE, 2, (2, 20)), torch.randn(2, 20, 2), torch.rand(2, 20)
    assignment = Assignment(labels, torch.zeros(2, 20))
    weights = ALRPWeight(0)(Samples(assignment, labels=labels, logits=logits))
    box = (weights * box_loss).sum() / PerPositive("batch")(assignment, weights)
    scores = [
        (logits[b, i, c].item(), c == labels[b, i], box_loss[b, i].item())
        for b in range(2)
        for i in range(20)
        for c in range(2)
        if labels[b, i] != IGNORE
    ]
    errors = []
    for score, is_positive, _ in scores:
        if is_positive:
            above = [(positive, error) for other, positive, error in scores if other >= score]
            errors.append(sum(error if positive else 1 for positive, error in above) / len(above))
    total = ALRP(0)(logits, labels, regression_loss=box_loss) + box
    torch.testing.assert_close(total.squeeze(), torch.tensor(sum(errors) / len(errors)))
