import pytest
import torch

from hardmine.claims.claim import cell
from hardmine.claims.proposals import hardness_of_overlap, overlaps, share_above
from hardmine.claims.runs import Training
from hardmine.claims.scales import SCALES
from hardmine.core.samples import BACKGROUND, Assignment, Samples
from hardmine.sampling import All
from tests.claims.made import MadeRuns, above, found_of

RANDOM = [0.3, 0.31, 0.32]


def batch(iou, loss, matched) -> Samples:
    assignment = Assignment(torch.tensor([matched]), torch.tensor([iou]))
    return Samples(assignment, classification_loss=torch.tensor([loss]))


def test_overlap_and_loss_are_those_of_the_negatives():
    negatives = batch([0.0, 0.1, 0.2, 0.9], [0.1, 0.2, 0.3, 0.0], [BACKGROUND] * 3 + [0])
    assert hardness_of_overlap([negatives, negatives]) == pytest.approx(1)
    assert share_above([negatives], All()) == pytest.approx(2 / 3)


def test_samplings_are_of_the_same_proposals(two_stage):
    class OfOneRun:
        scale = SCALES["small"]

        def trained(self, of):
            return two_stage

    correlation, shares = overlaps(OfOneRun(), Training(cell("fasterrcnn", "random"), 0))
    assert -1 <= correlation <= 1
    assert shares["IoU-balanced"] > shares["random"]


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("ohem-improves", ["ohem", "ohem-nms_iou=None", "hnm"]),
        ("balanced-sampling-gains", ["iou_balanced", "instance_balanced", "iou_balanced-balanced_positives=True"]),
    ],
)
def test_each_must_be_above_random_sampling(name, better):
    values = {"fasterrcnn-random": RANDOM} | {f"fasterrcnn-{of}": above(RANDOM, 0.05) for of in better}
    assert [of.verdict for of in found_of(name, MadeRuns(values))] == ["holds"] * 3
    values[f"fasterrcnn-{better[1]}"] = above(RANDOM, -0.05)
    assert [of.verdict for of in found_of(name, MadeRuns(values))] == ["holds", "does not hold", "holds"]


def test_suppression_is_compared_to_none():
    (found,) = found_of(
        "suppression-helps-ohem",
        MadeRuns({"fasterrcnn-ohem": RANDOM, "fasterrcnn-ohem-nms_iou=None": above(RANDOM, 0.03)}),
    )
    assert found.verdict == "does not hold"


def test_prime_samples_are_compared_to_as_many_hard_ones():
    values = {"fasterrcnn-random": RANDOM, "fasterrcnn-isr": above(RANDOM, 0.04), "fasterrcnn-ohem-budget=32": RANDOM}
    assert [of.verdict for of in found_of("prime-beats-hard", MadeRuns(values))] == ["holds"] * 2
