"""What a recipe puts into a slot is held against what the head has, and the message names both."""

import pytest

from hardmine import ISR, APLoss, Focal, HardNegative, Slot
from hardmine.core.samples import Evidence
from hardmine.equation.place import Place, is_listwise
from hardmine.equation.recipe import HeadTraits
from hardmine.errors import ConfigError, EvidenceError


def place(*evidence: Evidence, slot: str = "classify", activation: str = "sigmoid") -> Place:
    has = frozenset(evidence)
    return Place("mine", HeadTraits("retinanet", "dense", activation, 3, has), slot, has)


def test_a_sampling_that_needs_what_is_absent_is_named():
    with pytest.raises(
        EvidenceError, match=r"recipe 'mine' in slot 'select' of retinanet's dense head: HardNegative needs class"
    ):
        place("noise", slot="select").sampling(Slot(HardNegative()))


def test_a_sampling_that_has_what_it_needs_stays():
    sampling = ISR()
    assert place(*sampling.needs).sampling(Slot(sampling)) is sampling


def test_a_loss_for_other_scores_is_named():
    with pytest.raises(EvidenceError, match="Focal needs sigmoid scores, but this head's are softmax"):
        place("logits", activation="softmax").losses(Slot(loss=Focal()))


def test_a_listwise_loss_takes_no_weights():
    assert is_listwise(APLoss())
    assert not is_listwise(Focal())
    with pytest.raises(ConfigError, match="APLoss compares all samples with each other and takes no weights"):
        place("classification_loss").losses(Slot(HardNegative(), APLoss()))
