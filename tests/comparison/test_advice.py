import json
from dataclasses import replace
from itertools import product

import pytest

from hardmine.comparison.advice import BASELINE, MINING_BY_LOSS, RULES, advise
from hardmine.diagnosis.gradient_shares import GradientShares, SamplesOfObjects
from hardmine.diagnosis.held_back import ClassTail, Diagnosis, ErrorShares, ObjectSizes, SuspectShares
from hardmine.errors import ConfigError
from hardmine.recipes import RECIPES

OF_ALL_HEADS = ("random", "ce", "balanced_ce", "class_balanced", "focal", "hnm", "ohem_mmdet", "rfcn_ohem", "s_ohem",
                "ghm", "isr", "carl", "pisa", "correlation")  # fmt: skip
TAKES = {
    "retinanet": [name for name in RECIPES if name != "seesaw"],
    "fasterrcnn": [*OF_ALL_HEADS, "ohem", "libra", "seesaw"],
    "detr": [*OF_ALL_HEADS, "seesaw"],
}

FINE = Diagnosis(
    detector="retinanet",
    recipe="random",
    head="dense",
    gradient=GradientShares(64, 10_000, 0.5, 0.5, 0.1, 0.1, 0.1, 0.2),
    samples=SamplesOfObjects(500, 10.0, 0.0, 0.3),
    errors=ErrorShares(0.4, 0.8, 0.8, 100, 0.15, 0.15, 0.05, 0.05, 0.2, 0.4),
    score_iou_correlation=0.6,
    classes=ClassTail((500, 400, 300), 500 / 300, 0.5, 0.55),
    suspects=SuspectShares(200, 2000, 0.01, 0.01, 0.01, 0.0, 0.02, -0.1),
    sizes=ObjectSizes(0.1, 0.5, 0.4),
)
"""A run of which there is nothing to say."""


def changed(part: str, /, **numbers) -> Diagnosis:
    return replace(FINE, **{part: replace(getattr(FINE, part), **numbers)})


TAIL = {"num_objects": (5000, 400, 40), "ratio": 125.0}
ON_ROI = replace(FINE, head="roi")
CASES = {
    "missing labels": (changed("suspects", missing=0.5), changed("suspects", missing=0.05)),
    "labelling given up early": (changed("suspects", missing_by_image=-0.7), changed("suspects", missing_by_image=0.7)),
    "suspect labels": (changed("suspects", wrong_class=0.2), changed("suspects", wrong_class=0.02)),
    "long tail": (changed("classes", **TAIL, ap_rarest=0.1), changed("classes", **TAIL, ap_rarest=0.54)),
    "easy negatives": (changed("gradient", easy_negatives=0.93, negatives=0.95, positives=0.05), FINE),
    "background errors of a RoI head": (replace(changed("errors", background=0.6), head="roi"), ON_ROI),
    "background errors": (changed("errors", background=0.6), changed("errors", background=0.1)),
    "badly located": (changed("errors", badly_located=0.6), changed("errors", badly_located=0.1)),
    "score says little of IoU": (replace(FINE, score_iou_correlation=0.1), replace(FINE, score_iou_correlation=0.9)),
    "objects without samples": (changed("samples", without=0.3), changed("samples", without=0.01)),
    "few samples an object": (changed("samples", mean=1.2), changed("samples", mean=30.0)),
    "small objects": (changed("sizes", small=0.8, medium=0.1, large=0.1), FINE),
    "unequal objects": (changed("samples", of_richest_quarter=0.8), changed("samples", of_richest_quarter=0.25)),
    "hardest negatives": (changed("gradient", hardest_negatives=0.7, negatives=0.8, positives=0.2), FINE),
}
"""Of each rule a diagnosis on which it speaks, and one on which it does not."""
DOUBTED = ("missing labels", "labelling given up early", "suspect labels")


def fired(diagnosis: Diagnosis) -> list[str]:
    return [rule.name for rule in RULES if rule.fires(diagnosis)]


def test_every_rule_has_a_case_and_a_name_of_its_own():
    assert [rule.name for rule in RULES] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_on_its_number_only(name):
    ill, well = CASES[name]
    assert fired(ill) == [name]
    assert fired(well) == []
    assert fired(FINE) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_offers_recipes_there_are_by_one_limit(rule):
    assert {*rule.prefer, *rule.avoid} <= set(RECIPES)
    assert (rule.above is None) != (rule.below is None)
    assert not set(rule.prefer) & set(rule.avoid)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_first_advice_is_what_the_rule_prefers_and_says_its_number(rule):
    diagnosis = CASES[rule.name][0]
    takes = TAKES["fasterrcnn" if diagnosis.head == "roi" else "retinanet"]
    first = advise(diagnosis, takes)[0]
    assert (first.recipe, first.rule) == (next(name for name in rule.prefer if name in takes), rule.name)
    number = rule.number(diagnosis)
    assert f"{100 * number:.0f} %" in first.reason or f"{number:.2g}".replace("0.", ".") in first.reason
    assert "{" not in first.reason


@pytest.mark.parametrize(("takes", "name"), list(product(TAKES, ["", *CASES])))
def test_there_are_always_three_and_of_different_kinds(takes, name):
    diagnosis = CASES[name][0] if name else FINE
    advice = advise(diagnosis, TAKES[takes])
    assert len({of.recipe for of in advice}) == 3
    is_narrow = takes == "detr" and name in DOUBTED  # without mining there are hardly any other kinds
    assert len({of.kind for of in advice}) == (2 if is_narrow else 3)
    assert {of.recipe for of in advice} <= set(TAKES[takes]) - {BASELINE}
    assert all(of.reason for of in advice)
    assert advice == advise(diagnosis, TAKES[takes])


@pytest.mark.parametrize("name", DOUBTED)
def test_doubted_labels_are_not_mined_whatever_else_speaks_for_it(name):
    doubted = replace(CASES[name][0], errors=CASES["background errors"][0].errors)
    for head, takes in (("dense", "retinanet"), ("roi", "fasterrcnn")):
        assert advise(replace(CASES["background errors"][0], head=head), TAKES[takes])[0].recipe in MINING_BY_LOSS
        assert not {of.recipe for of in advise(replace(doubted, head=head), TAKES[takes])} & set(MINING_BY_LOSS)


@pytest.mark.parametrize("name", DOUBTED)
def test_a_model_that_is_mostly_wrong_itself_doubts_no_labels(name):
    doubted = CASES[name][0]
    assert fired(replace(doubted, errors=replace(doubted.errors, precision=0.1))) == []


def test_even_what_is_not_advised_fills_up_where_there_is_nothing_else():
    advice = advise(CASES["suspect labels"][0], [BASELINE, "hnm", "ohem", "isr"])
    assert [of.recipe for of in advice] == ["isr", "hnm", "ohem"]


def test_of_several_rules_each_is_heard():
    many = replace(FINE, classes=CASES["long tail"][0].classes, score_iou_correlation=0.1)
    many = replace(many, errors=CASES["badly located"][0].errors)
    advice = advise(many, TAKES["retinanet"])
    assert [of.rule for of in advice] == ["long tail", "badly located", "score says little of IoU"]


def test_without_a_rule_what_gained_most_is_tried_and_it_is_said_so():
    first = advise(FINE, TAKES["retinanet"])[0]
    assert (first.recipe, first.rule) == ("dr_loss", "")
    assert "no number of the diagnosis" in first.reason
    assert RECIPES["dr_loss"]().gain in first.reason


def test_unknown_numbers_say_nothing():
    unknown = replace(FINE, score_iou_correlation=None)
    assert fired(replace(unknown, classes=ClassTail((500,), 1.0, None, None))) == []
    assert fired(changed("classes", **TAIL, ap_rarest=None)) == fired(changed("suspects", missing_by_image=None)) == []


def test_the_recipe_that_the_run_had_is_not_advised():
    assert "dr_loss" not in {of.recipe for of in advise(replace(FINE, recipe="dr_loss"), TAKES["retinanet"])}


def test_no_more_than_the_detector_takes():
    assert [of.recipe for of in advise(FINE, [BASELINE, "atss"])] == ["atss"]
    assert advise(FINE, []) == []
    with pytest.raises(ConfigError, match="unknown recipe 'focl'; did you mean focal"):
        advise(FINE, ["focl"])


def test_advice_is_json_able():
    advice = advise(FINE, TAKES["detr"])[0]
    assert json.loads(json.dumps(advice.to_dict()))["recipe"] == advice.recipe
