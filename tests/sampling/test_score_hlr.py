"""Arguments, clusters, and images that have nothing to rank."""

import pytest
import torch

from hardmine import Assignment, Combined, Random, Samples, ScoreHLR
from hardmine.errors import ConfigError
from hardmine.sampling import score_hlr

NEAR, FAR = [0.0, 0, 10, 10], [50.0, 50, 60, 60]


@pytest.mark.parametrize(
    "options",
    [
        {"num": 0},
        {"k": -1},
        {"k": float("nan")},
        {"bias": 1.1},
        {"min_score": 1.0},
        {"min_score": -0.1},
        {"cluster_iou": 0.0},
        {"candidates": 0},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="ScoreHLR needs"):
        ScoreHLR(**options)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="unknown activation 'relu'"):
        ScoreHLR(activation="relu")


def samples_of(score: list[float], boxes: list[list[float]], loss: list[float] | None = None) -> Samples:
    """Of one class, as a sigmoid head says it."""
    shape = (1, len(score))
    return Samples(
        Assignment(torch.full(shape, -1), torch.zeros(shape)),
        logits=torch.tensor([score], dtype=torch.float64).logit().unsqueeze(-1),
        predicted_boxes=torch.tensor([boxes], dtype=torch.float64),
        classification_loss=torch.ones(shape, dtype=torch.float64) if loss is None else torch.tensor([loss]).double(),
        noise=torch.rand(shape, dtype=torch.float64),
    )


def order_of(weights: torch.Tensor) -> list[int]:
    kept = weights[0].nonzero().flatten().tolist()
    return sorted(kept, key=lambda i: -weights[0, i])


def test_the_best_of_each_cluster_comes_before_the_second_of_any():
    samples = samples_of([0.9, 0.8, 0.7, 0.3], [NEAR, NEAR, NEAR, FAR])
    assert order_of(ScoreHLR(3, activation="sigmoid")(samples)) == [0, 3, 1]


def test_a_box_belongs_to_the_best_that_suppresses_it_not_to_the_nearest():
    """The third overlaps both, the second more; but the first came first. mmcv suppresses at the threshold."""
    first, second, third = [0.0, 0, 10, 10], [9.0, 0, 19, 10], [5.0, 0, 15, 10]
    third_of_first = samples_of([0.9, 0.8, 0.7, 0.6], [first, second, third, second])
    assert order_of(ScoreHLR(4, cluster_iou=1 / 3, activation="sigmoid")(third_of_first)) == [0, 1, 2, 3]
    halves = [[0.0, 0, 10, height] for height in (10, 5, 2.6, 1.4)]  # the second is suppressed, at exactly .5
    samples = samples_of([0.9, 0.8, 0.7, 0.6, 0.1], [*halves, FAR])
    assert order_of(ScoreHLR(5, activation="sigmoid")(samples)) == [0, 2, 4, 1, 3]


def test_low_scores_fill_the_places_left_with_the_smallest_weight():
    samples = samples_of([0.9, 0.8, 0.01, 0.02, 0.03], [NEAR, FAR, FAR, NEAR, FAR])
    weights = ScoreHLR(4, k=1, activation="sigmoid")(samples)
    assert (weights > 0).sum() == 4
    torch.testing.assert_close(weights / weights.max(), torch.where(weights > 0, 0.75, 0.0).double().index_fill(
        1, torch.tensor([0]), 1.0))  # fmt: skip


def test_clusters_do_not_depend_on_how_many_leaders_are_compared_at_once(monkeypatch):
    corner = torch.rand(1, 60, 2, dtype=torch.float64) * 40
    samples = samples_of(torch.rand(60).tolist(), torch.cat([corner, corner + 20], -1)[0].tolist())
    at_once = ScoreHLR(60, activation="sigmoid")(samples)
    monkeypatch.setattr(score_hlr, "CHUNK", 7)
    assert torch.equal(ScoreHLR(60, activation="sigmoid")(samples), at_once)


def test_an_empty_box_is_a_cluster_of_its_own():
    samples = samples_of([0.9, 0.8, 0.7], [[5.0, 5, 5, 5], [5.0, 5, 5, 5], FAR])
    assert order_of(ScoreHLR(3, activation="sigmoid")(samples)) == [0, 1, 2]


def test_scores_of_a_softmax_head_leave_the_background_out():
    samples = samples_of([0.9, 0.8, 0.7], [NEAR, FAR, [90.0, 90, 99, 99]])
    logits = torch.tensor([[[0.0, 9.0], [1.0, 0.0], [2.0, 0.0]]], dtype=torch.float64)
    samples = Samples(samples.assignment, logits=logits, predicted_boxes=samples.predicted_boxes,
                      classification_loss=samples.classification_loss, noise=samples.noise)  # fmt: skip
    assert order_of(ScoreHLR(2)(samples)) == [2, 1]


def test_without_loss_the_weights_stay_as_they_are():
    """0 / 0 in others' code."""
    samples = samples_of([0.9, 0.8], [NEAR, FAR], loss=[0.0, 0.0])
    assert ScoreHLR(2, k=1, activation="sigmoid")(samples).tolist() == [[1, 0.5]]


def test_an_image_without_negatives_leaves_the_others_alone():
    """mmdetection drops the weights of all images if it is the first, and crashes otherwise."""
    matched = torch.tensor([[0, 0, 0], [-1, -1, 0]])
    evidence = {
        "logits": torch.randn(2, 3, 4),
        "predicted_boxes": torch.rand(2, 3, 4).cumsum(-1),
        "classification_loss": torch.rand(2, 3),
        "noise": torch.rand(2, 3),
    }
    sampling = Combined(Random(), ScoreHLR(), 3, 0.34)
    both = sampling(Samples(Assignment(matched, torch.zeros(2, 3)), **evidence))
    alone = sampling(
        Samples(Assignment(matched[1:], torch.zeros(1, 3)), **{name: value[1:] for name, value in evidence.items()})
    )
    torch.testing.assert_close(both[1:], alone)
    assert len(set(alone[0, :2].tolist())) == 2
    assert both[0].tolist().count(1) == 1
