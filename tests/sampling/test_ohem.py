"""Arguments and evidence; the selection is compared with loops in oracle/ and with the authors' code in golden/."""

import pytest
import torch

from hardmine import OHEM, Assignment, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [
        {"budget": 0},
        {"candidates": 0},
        {"nms_iou": 1.5},
        {"positive_fraction": -0.1},
        {"rank_by": "loss"},
        {"over": "ranks"},
        {"over": "batch", "positive_fraction": 0.25},
        {"positive_fraction": 0.25, "negatives_per_positive": -1},
        {"negatives_per_positive": 3},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="OHEM"):
        OHEM(**options)


def test_needs_only_what_its_options_read():
    assert OHEM(rank_by="classification", nms_iou=None).needs == {"classification_loss"}
    assert OHEM(nms_iou=None).needs == {"classification_loss", "regression_loss"}
    assert OHEM().needs == {"classification_loss", "regression_loss", "boxes", "labels"}


def test_over_the_batch_there_is_no_bound_an_image():
    assert OHEM(4).budget == 4
    assert OHEM(4, over="batch").budget is None


def samples(boxes: list[list[float]], labels: list[int], loss: list[float]) -> Samples:
    matched = torch.tensor([labels])
    return Samples(
        Assignment(matched, torch.zeros(matched.shape)),
        labels=matched,
        boxes=torch.tensor([boxes]),
        classification_loss=torch.tensor([loss]),
        regression_loss=torch.zeros(1, len(loss)),
    )


def test_the_easier_of_two_copies_is_set_aside_unless_its_label_differs():
    box = [0.0, 0.0, 10.0, 10.0]
    assert OHEM(2)(samples([box, box, box], [0, 0, 1], [3.0, 2.0, 1.0])).tolist() == [[1, 0, 1]]


def test_far_boxes_of_many_labels_are_told_apart():
    """At the far end of a large image, with many labels: a tenth of a pixel decides here."""
    far = [1e4, 1e4, 1e4 + 1.0, 1e4 + 1.0]
    near = [1e4 + 0.2, 1e4, 1e4 + 1.2, 1e4 + 1.0]  # IoU .667
    many = samples([far, near, far], [1000, 1000, 1000], [3.0, 2.0, 1.0])
    assert OHEM(3)(many).tolist() == [[1, 1, 0]]


def test_only_candidates_enter_the_nms():
    box = [0.0, 0.0, 10.0, 10.0]
    few = OHEM(3, candidates=2)(samples([box, [50.0, 0, 60, 10], [90.0, 0, 99, 10]], [0, 0, 0], [3.0, 2.0, 1.0]))
    assert few.tolist() == [[1, 1, 0]]


def test_of_equal_losses_the_first_are_kept():
    """torch.topk leaves open which of equal losses it takes, and devices differ in it."""
    apart = [[20.0 * n, 0.0, 20.0 * n + 10, 10.0] for n in range(200)]
    for options in ({}, {"candidates": 50}, {"nms_iou": None}):
        assert OHEM(8, **options)(samples(apart, [0] * 200, [1.0] * 200))[0].nonzero().flatten().tolist() == [*range(8)]
    copies = samples([[0.0, 0.0, 10.0, 10.0]] * 30, [0] * 30, [1.0] * 30)
    assert OHEM(8)(copies)[0].nonzero().flatten().tolist() == [0]
