"""Missed objects of targets get more positives in every head of a detector, and nothing else changes."""

from collections import defaultdict

import pytest
import torch

from hardmine import recipes, wrap
from hardmine.assign import WithClosest
from hardmine.detectors import build, reassign_missed
from hardmine.equation.head import Head
from hardmine.errors import ConfigError
from tests.stand_in import with_stand_in

DETECTORS = ["fasterrcnn", "retinanet", "ssd"]


def targets_of(detector, missed):
    torch.manual_seed(1)
    images = [torch.rand(3, 64, 64), torch.rand(3, 64, 64)]
    boxes = torch.tensor([[4.0, 6, 20, 30], [30, 32, 60, 58]])
    label = torch.tensor([0, 1]) + detector.label_offset
    target = {"boxes": boxes, "labels": label, "iscrowd": torch.tensor([False, False])}
    marks = {} if missed is None else {"missed": torch.tensor(missed)}
    return images, [target | marks, target]


def learn(detector, missed):
    """The losses, and the objects of what each head learns from as positives."""
    found = defaultdict(list)
    hooks = [
        head.register_forward_hook(lambda _, given, __, name=name: found[name].append(given[2].matched_gt))
        for name, head in detector.named_modules()
        if isinstance(head, Head)
    ]
    images, targets = targets_of(detector, missed)
    torch.manual_seed(0)
    with torch.no_grad():
        losses = detector.train()(images, targets)
    for hook in hooks:
        hook.remove()
    return losses, {name: torch.stack(of) for name, of in found.items()}


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("missed", [None, [False, False]])
def test_without_missed_objects_every_loss_is_as_before(name, missed, make_model):
    detector = wrap(make_model(name), recipes.random())
    before, _ = learn(detector, None)
    reassign_missed(detector, 3)
    after, _ = learn(detector, missed)
    assert all(torch.equal(before[loss], after[loss]) for loss in before)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_missed_object_has_more_positives_and_the_others_as_many(name, make_model):
    detector = wrap(make_model(name), recipes.random())
    _, before = learn(detector, None)
    reassign_missed(detector, 3)
    _, after = learn(detector, [False, True])
    more = 0
    for head, matched in before.items():
        added = [(after[head][0] == g).sum(-1) - (matched[0] == g).sum(-1) for g in (0, 1)]
        if name != "fasterrcnn" or head == "rpn_head":  # RoIs are drawn before the head is called
            assert added[0][0] == 0
            assert torch.equal(after[head][0, 1], matched[0, 1])
            more += int(added[1][0])
    assert 0 < more <= 3


def test_every_head_is_told(make_model):
    detector = wrap(make_model("fasterrcnn"), recipes.random())
    reassign_missed(detector, 2, 0.3)
    assigners = [head.assigner for head in detector.modules() if isinstance(head, Head)]
    assert [(of.k, of.min_iou) for of in assigners if isinstance(of, WithClosest)] == [(2, 0.3)] * 2


def test_points_and_other_assigners_are_refused_and_left_alone(make_model):
    fcos = wrap(make_model("fcos"), recipes.random())
    with pytest.raises(ConfigError, match="got FCOSPoints"):
        reassign_missed(fcos, 3)
    retinanet = wrap(make_model("retinanet"), recipes.simota())
    before = retinanet.head.assigner
    with pytest.raises(ConfigError, match="got SimOTA"):
        reassign_missed(retinanet, 3)
    assert retinanet.head.assigner is before


def test_a_framework_that_assigns_by_itself_is_refused():
    with with_stand_in():
        detector = wrap(build("standin:dense", 3), recipes.random())
    with pytest.raises(ConfigError, match="its framework assigns by itself"):
        reassign_missed(detector, 3)
