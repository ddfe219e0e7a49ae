"""Every sampling keeps to the contract, and the contract looks at what it says it looks at."""

import pytest

from hardmine import CARL, GHMR, OHEM, ALRPWeight, QualityWeight
from hardmine.testing.contract import check
from hardmine.testing.samplings import OF_POSITIVES, SAMPLING_CONTRACT
from hardmine.testing.situations import ORDINARY, make_samples

OF_THE_BOX = (ALRPWeight, CARL, GHMR, QualityWeight)  # they weigh box losses, which only positives have


@pytest.mark.parametrize("name", SAMPLING_CONTRACT)
def test_a_sampling(sampling, name):
    contract = OF_POSITIVES if isinstance(sampling, OF_THE_BOX) else SAMPLING_CONTRACT
    check(sampling, {name: contract[name]})


def test_near_copies_are_set_aside_in_these_situations():
    """Or else no property here would look at the NMS of OHEM."""
    samples = make_samples(ORDINARY)
    assert (OHEM(14)(samples).sum(dim=1) < samples.assignment.is_valid.sum(dim=1)).all()


def test_evidence_that_is_not_declared_is_not_seen(sampling, monkeypatch):
    seen = []
    method = sampling.weigh
    monkeypatch.setattr(sampling, "weigh", lambda evidence: (seen.append(evidence), method(evidence))[1])
    sampling(make_samples(ORDINARY))
    assert set(seen[0].available) == sampling.needs
