import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from hardmine.claims.claim import cell
from hardmine.claims.dense_heads import LARGEST_LOSS, easy_share, easy_share_of_loss, measure_grid, measure_prior
from hardmine.claims.runs import Training
from hardmine.recipes import RECIPES
from tests.claims.made import MadeRuns, above, found_of

CE, FOCAL, RANDOM = [0.2, 0.22, 0.21], "retinanet-focal", "fasterrcnn-random"


def runs(**values):
    return MadeRuns({name.replace("_minus_", "-"): of for name, of in values.items()})


@pytest.mark.parametrize(("one_stage", "two_stage", "verdict"), [(0.1, 0.0, "holds"), (0.05, 0.1, "does not hold")])
def test_focal_loss_must_gain_more_one_stage_than_two_stage(one_stage, two_stage, verdict):
    values = {"retinanet-ce": CE, "retinanet-balanced_ce": CE, FOCAL: above(CE, one_stage)}
    values |= {RANDOM: CE, "fasterrcnn-focal": above(CE[::-1], two_stage)[::-1]}
    *gains, more = found_of("focal-helps-one-stage-more", MadeRuns(values))
    assert [of.verdict for of in gains] == ["holds", "holds"]
    assert more.value == pytest.approx(one_stage - two_stage, abs=1e-9)
    assert more.verdict == verdict


def test_alpha_must_be_worth_less_with_gamma():
    values = {"retinanet-balanced_ce": above(CE, 0.1), "retinanet-balanced_ce-alpha=0.25": CE}
    values |= {FOCAL: CE, "retinanet-focal-alpha=0.75": above(CE, -0.05)}
    (contrast,) = measure_grid(MadeRuns(values)).contrasts
    assert contrast.values[0] == pytest.approx([-0.15] * 3)
    (found,) = found_of("gamma-and-alpha-oppose", MadeRuns(values))
    assert found.verdict == "holds"


class WithFirstLosses(MadeRuns):
    """Of cross entropy, the first epoch's loss with and without the prior; the first of these diverged at once."""

    def rows(self, training):
        if "prior" not in training.cell.label:
            return [{"classification": 2.0}, {"classification": 1.0}]
        return [] if training.seed == 0 else [{"classification": 2.0 * math.e}]

    def is_diverged(self, training):
        return not self.rows(training)


def test_a_loss_that_is_no_number_is_a_very_large_one():
    measurement = measure_prior(WithFirstLosses({"retinanet-ce": CE, "retinanet-ce-prior=0.5": [0.0, 0.1, 0.1]}))
    assert measurement.contrasts[0].values == pytest.approx([math.log(LARGEST_LOSS / 2), 1, 1])
    assert list(measurement.numbers["diverged with prior .5"]) == [1, 0, 0]


@pytest.mark.parametrize("name", ["divide-by-positives", "ap-loss-beats-focal", "easy-negatives-hurt"])
def test_a_gain_that_is_none_is_undecided(name):
    assert {of.verdict for of in found_of(name, MadeRuns({}))} == {"undecided"}


def test_ap_loss_is_compared_to_focal_loss():
    (found,) = found_of("ap-loss-beats-focal", MadeRuns({FOCAL: CE, "retinanet-ap_loss": above(CE, 0.05)}))
    assert (found.value, found.verdict) == (pytest.approx(0.05, abs=1e-3), "holds")


class OfOneRun:
    """Every training is this finished run."""

    def __init__(self, trained):
        self.trained = lambda of: trained


def test_shares_are_of_the_whole(dense):
    of = Training(cell("retinanet", "ce"), 0)
    shares = [easy_share(OfOneRun(dense), of), easy_share_of_loss(OfOneRun(dense), of)]
    assert all(0 < share < 1 for share in shares)
    by_hand = {True: 0.0, False: 0.0}
    for batch in dense.samples(frozenset({"labels", "logits"})):
        target = torch.nn.functional.one_hot(batch["labels"].clamp_min(0), batch["logits"].shape[-1])
        target = target * (batch["labels"] >= 0).unsqueeze(-1)
        loss = bce(batch["logits"], target.float(), reduction="none").sum(-1)
        easy = batch.assignment.is_negative & (batch["logits"].sigmoid().amax(-1) < 0.1)
        by_hand[True] += float(loss[easy].sum())
        by_hand[False] += float(loss[batch.assignment.is_valid & ~easy].sum())
    assert shares[1] == pytest.approx(by_hand[True] / sum(by_hand.values()), rel=1e-4)
    pulls = dense.pulls(RECIPES["ce"]())
    easy = ~pulls.is_positive & (pulls.score < 0.1)
    assert shares[0] == pytest.approx(float(pulls.size[easy].sum() / pulls.size.sum()), rel=1e-4)
