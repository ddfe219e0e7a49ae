"""A contract that nothing can break says nothing: for each property there is a method that breaks just this."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine import CrossEntropy, Sampling, SmoothL1
from hardmine.assign import Assigner
from hardmine.core.samples import BACKGROUND, Assignment
from hardmine.errors import ConfigError
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.testing import ContractError, check_assigner, check_loss, check_sampling
from hardmine.testing.contract import CAPTURED


class Easy(Sampling):
    """Keeps to everything."""

    needs = frozenset({"classification_loss"})

    def weigh(self, samples):
        return self.of(samples["classification_loss"], samples.assignment)

    def of(self, loss: Tensor, assignment: Assignment) -> Tensor:
        return (loss < 2).to(loss.dtype)


class Double(Easy):
    def of(self, loss, assignment):
        return torch.ones_like(loss, dtype=torch.float64)


class Negative(Easy):
    def of(self, loss, assignment):
        return loss - 0.5


class Leaking(Easy):
    """What is known of ignored samples decides for the others."""

    def of(self, loss, assignment):
        return (loss.sum(1, keepdim=True) > 0).to(loss.dtype).expand_as(loss).clone()


class Spendthrift(Easy):
    def __init__(self):
        super().__init__()
        self.budget = 2


class Miserly(Easy):
    def of(self, loss, assignment):
        return (loss > 0.9).to(loss.dtype)


class Mixing(Easy):
    def of(self, loss, assignment):
        counted = loss.masked_fill(~assignment.is_valid, 0)
        return torch.ones_like(loss) * (1 + counted.sum())


class Ordered(Easy):
    def of(self, loss, assignment):
        return torch.arange(1.0, loss.shape[1] + 1).to(loss).expand_as(loss).clone()


class Random(Easy):
    def of(self, loss, assignment):
        return torch.rand_like(loss) + 1


class Changing(Easy):
    """What it is shown is not what it was."""

    def of(self, loss, assignment):
        return loss.add_(1)


class Deaf(Easy):
    """Says nothing where its evidence is missing."""

    def forward(self, samples):
        return samples.assignment.is_valid.to(samples.assignment.iou.dtype)


class Unconnected(Easy):
    through_grad = True


class Waiting(Easy):
    def of(self, loss, assignment):
        kept = (loss < 2).to(loss.dtype)
        return kept if kept.sum().item() < 1e9 else kept * 0


class Overflowing(Easy):
    needs = frozenset({"logits"})

    def weigh(self, samples):
        return samples["logits"].exp().sum(-1)


class Cubed(Easy):
    """Its gradient is not that of its weights."""

    needs = frozenset({"logits"})
    through_grad = True

    def weigh(self, samples):
        logits = samples["logits"].masked_fill(~samples.assignment.is_valid.unsqueeze(-1), 0).clamp(-3, 3)
        return logits.detach().sigmoid().sum(-1) + logits.sigmoid().sum(-1)


SAMPLINGS = {
    Double: "weights have the shape and dtype of the evidence",
    Negative: "weights are finite, not negative, and zero where ignored",
    Leaking: "what is known of ignored samples changes nothing",
    Spendthrift: "no image keeps more than the budget",
    Miserly: "something is kept where there is anything",
    Mixing: "a batch equals its images one by one",
    Ordered: "permuting samples permutes weights",
    Random: "a call is pure",
    Changing: "a call is pure",
    Deaf: "missing evidence is named",
    Unconnected: "gradient flows through the weights only where declared",
    Waiting: CAPTURED,
    Overflowing: "saturated logits give finite weights and gradients",
    Cubed: "the gradient is that of the weights",
}


def test_one_that_keeps_to_it_passes():
    check_sampling(Easy())
    check_loss(CrossEntropy("sigmoid"))


@pytest.mark.parametrize("broken", SAMPLINGS, ids=lambda kind: kind.__name__)
def test_a_broken_sampling_is_told_what_it_breaks(broken):
    with pytest.raises(ContractError, match=f"^{broken.__name__} breaks '{SAMPLINGS[broken]}': "):
        check_sampling(broken())


def test_one_that_says_that_it_waits_need_not_be_captured():
    waiting = Waiting()
    waiting.on_device = False
    check_sampling(waiting)


def test_one_that_raises_is_told_where():
    class Raising(Easy):
        def of(self, loss, assignment):
            raise RuntimeError("no way")

    with pytest.raises(ContractError, match="breaks 'a call is pure': raised RuntimeError: no way"):
        check_sampling(Raising())


def test_what_a_method_remembers_and_the_randomness_around_stay_as_they_are():
    class Counting(Easy):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def of(self, loss, assignment):
            self.calls.add_(1)
            return torch.ones_like(loss)

    counting, before = Counting(), torch.get_rng_state()
    check_sampling(counting)
    assert counting.calls == 0
    assert torch.equal(torch.get_rng_state(), before)


class OfPositives(Easy):
    def of(self, loss, assignment):
        return assignment.is_positive.to(loss.dtype)


def test_one_for_boxes_may_leave_out_all_negatives():
    check_sampling(OfPositives(), of_positives=True)
    with pytest.raises(ContractError, match="something is kept"):
        check_sampling(OfPositives())


class EverythingPositive(Assigner):
    def match(self, pairing):
        matched = torch.zeros(pairing.boxes.shape[:2], dtype=torch.int64)
        return Assignment(matched, torch.zeros_like(pairing.boxes[..., 0]))


class EverythingBackground(Assigner):
    def match(self, pairing):
        matched = torch.full(pairing.boxes.shape[:2], BACKGROUND)
        return self.settle(pairing, matched, torch.zeros_like(pairing.boxes[..., 0]))


def test_assigners():
    check_assigner(EverythingBackground())
    with pytest.raises(ContractError, match="EverythingPositive breaks 'samples belong to objects that are there"):
        check_assigner(EverythingPositive())


class Plain(ClassificationLoss):
    """Cross entropy that looks at ignored samples, too."""

    def forward(self, logits, labels):
        target = F.one_hot(labels.clamp_min(0), logits.shape[-1]) * (labels >= 0).unsqueeze(-1)
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")


class Total(ClassificationLoss):
    """A sum is no mean, but breaks nothing; that it is negative does."""

    listwise = True

    def forward(self, logits, labels):
        kept = logits.masked_fill((labels == -2).unsqueeze(-1), 0)
        return kept.tanh().sum() - 1


class Far(RegressionLoss):
    space = "code"

    def forward(self, predicted, target):
        return (predicted - target).square()


@pytest.mark.parametrize(
    ("loss", "broken"),
    [
        (lambda: Plain("sigmoid"), "ignored samples have no loss and no gradient"),
        (lambda: Total("sigmoid"), "one number, in the dtype of the logits"),
        (Far, "odd boxes have finite losses and moderate gradients"),
    ],
    ids=["classification", "listwise", "regression"],
)
def test_losses(loss, broken):
    with pytest.raises(ContractError, match=broken):
        check_loss(loss())


def test_only_losses_are_taken_for_losses():
    check_loss(SmoothL1())
    with pytest.raises(ConfigError, match="check_loss takes a ClassificationLoss or a RegressionLoss, got Easy"):
        check_loss(Easy())
