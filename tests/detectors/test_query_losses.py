"""Unreduced losses of queries: what each is for one positive and one negative, and that all are finite."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from hardmine import BACKGROUND
from hardmine.detectors.query_losses import QueryLoss, background_weighted, focal, ia_bce, mal, vfl

LOSSES: dict[str, QueryLoss] = {
    "vfl": partial(vfl, alpha=0.75, gamma=2.0),
    "mal": partial(mal, alpha=None, gamma=1.5),
    "ia_bce": partial(ia_bce, alpha=0.25),
    "focal": partial(focal, alpha=0.25),
    "background_weighted": partial(background_weighted, background=0.1),
}


def bce(score: float, target: float) -> float:
    return -(target * math.log(score) + (1 - target) * math.log(1 - score))


def of_one(name: str, score: float, iou: float, label: int) -> Tensor:
    logits = torch.tensor([[[score, 0.5]]]).double().logit()
    return LOSSES[name](logits, torch.tensor([[label]]), torch.tensor([[iou]]).double())[0, 0]


@pytest.mark.parametrize("score", [0.1, 0.6])
@pytest.mark.parametrize("iou", [0.3, 0.9])
def test_a_positive_and_a_negative_lose_what_the_formulas_say(score, iou):
    quality = max(score**0.25 * iou**0.75, 0.01)
    positive = {
        "vfl": iou * bce(score, iou),
        "mal": bce(score, iou**1.5),
        "ia_bce": bce(score, quality),
        "focal": 0.25 * (1 - score) ** 2 * bce(score, 1),
    }
    negative = {
        "vfl": 0.75 * score**2 * bce(score, 0),
        "mal": score**1.5 * bce(score, 0),
        "ia_bce": score**2 * bce(score, 0),
        "focal": 0.75 * score**2 * bce(score, 0),
    }
    for name, expected in positive.items():
        assert float(of_one(name, score, iou, 0)[0]) == pytest.approx(expected, rel=1e-5)
    for name, expected in negative.items():
        assert float(of_one(name, score, 0, BACKGROUND)[0]) == pytest.approx(expected, rel=1e-5)


def test_the_background_counts_by_its_weight():
    logits = torch.randn(1, 2, 4)
    loss = LOSSES["background_weighted"](logits, torch.tensor([[2, BACKGROUND]]), torch.zeros(1, 2))
    log_p = logits.log_softmax(-1)[0]
    torch.testing.assert_close(loss[0], torch.stack([-log_p[0, 2], -0.1 * log_p[1, 3]]))


@pytest.mark.parametrize("name", LOSSES)
def test_no_score_is_too_sure(name):
    logits = torch.tensor([[[50.0, -50.0, 0.0]] * 3]).requires_grad_()
    loss = LOSSES[name](logits, torch.tensor([[0, 1, BACKGROUND]]), torch.tensor([[0.0, 1.0, 0.0]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()
