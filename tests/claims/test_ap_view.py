import numpy as np
import pytest
import torch

from hardmine.claims import ap_view
from hardmine.claims.ap_view import (
    ALL,
    accuracy,
    precision_and_recall,
    score_against_place,
    score_iou_correlation,
)
from hardmine.claims.claim import cell
from hardmine.claims.runs import Training
from hardmine.core.samples import BACKGROUND, IGNORE, Assignment, Samples
from hardmine.data import open_scenes
from hardmine.evaluation import match_predictions, resamples
from tests.claims.made import MadeRuns, found_of

SCENES = open_scenes("val", num_images=30)
TRUTH = SCENES.coco_ground_truth()
TRAINING = Training(cell("fasterrcnn", "random"), 0)


class OfSamples:
    """A detector whose head says just this, in every training."""

    def __init__(self, *batches: Samples):
        self.batches = list(batches)

    def trained(self, of, on_measured):
        return self

    def samples(self, needs):
        return [batch.only(needs) for batch in self.batches]


def samples(scores, labels, predicted_iou=None) -> Samples:
    """scores: of each sample, its classes and the background."""
    labels = torch.tensor([labels])
    assignment = Assignment(labels.clone(), torch.zeros(labels.shape))
    iou = torch.tensor([predicted_iou or [0.0] * labels.shape[1]])
    return Samples(assignment, labels=labels, logits=torch.tensor([scores]).log(), predicted_iou=iou)


def test_accuracy_counts_backgrounds_and_leaves_out_what_is_ignored():
    batch = samples([[0.7, 0.1, 0.2], [0.2, 0.1, 0.7], [0.1, 0.6, 0.3], [0.9, 0.05, 0.05]], [0, BACKGROUND, 0, IGNORE])
    assert accuracy(OfSamples(batch, batch), TRAINING) == pytest.approx(2 / 3)


def test_the_views_are_compared_over_positives():
    batch = samples([[0.5, 0.5], [0.7, 0.3], [0.9, 0.1], [0.99, 0.01]], [0, 0, 0, BACKGROUND], [0.6, 0.7, 0.8, 0.0])
    assert score_against_place(OfSamples(batch), TRAINING) == pytest.approx(1)


def predictions(score_by_shift, background: int = 0):
    """Each object found once, shifted by up to a fifth of its width; and as many sure boxes on nothing."""
    rng, found = np.random.default_rng(0), []
    for of in TRUTH["annotations"]:
        left, top, width, height = of["bbox"]
        shift = float(rng.uniform(0, 0.2))
        box = [left + shift * width, top, width, height]
        found.append(
            {"image_id": of["image_id"], "category_id": of["category_id"], "bbox": box, "score": score_by_shift(shift)}
        )
    nowhere = {
        "image_id": found[0]["image_id"],
        "category_id": found[0]["category_id"],
        "bbox": [0, 0, 1, 1],
        "score": 1.0,
    }
    return found + [nowhere] * background


@pytest.mark.parametrize(("score", "expected"), [(lambda shift: 1 - shift, 1), (lambda shift: shift, -1)])
def test_scores_that_follow_the_place_correlate_with_iou(score, expected):
    assert score_iou_correlation(match_predictions(TRUTH, predictions(score))) == pytest.approx(expected, abs=1e-6)


def test_nothing_found_has_no_correlation_and_no_precision():
    nothing = match_predictions(TRUTH, [])
    assert score_iou_correlation(nothing) == 0
    assert precision_and_recall(nothing) == (0, 0)


def test_precision_is_at_half_the_recall_and_recall_at_half_the_precision():
    num = len(TRUTH["annotations"])
    surer_wrong = match_predictions(TRUTH, predictions(lambda shift: 0.5, background=5))
    assert precision_and_recall(surer_wrong) == pytest.approx((num / (num + 5), 1))
    mostly_wrong = match_predictions(TRUTH, predictions(lambda shift: 0.5, background=3 * num)[num // 2 :])
    assert precision_and_recall(mostly_wrong)[1] == 0


class WithPredictions(MadeRuns):
    """The same predictions under each seed, but for a little noise of the scores."""

    def __init__(self, found):
        super().__init__({})
        self.found = found
        self.kept |= {"dataset": SCENES, "ground truth": TRUTH, "draws": resamples(len(SCENES), num_resamples=100)}

    def predictions(self, training):
        rng = np.random.default_rng(training.seed)
        return [of | {"score": of["score"] * float(rng.uniform(0.99, 1))} for of in self.found]

    def measure(self, cell, name="ap"):
        found = [self.judged(of).measures(self.draws, [name])[name] for of in self.trainings([cell])]
        return np.stack(found, axis=1)


def shifted_and_exact(shifted: float, exact: float):
    """Two boxes of each object, with these scores."""
    far, near = predictions(lambda shift: shifted), predictions(lambda shift: exact)
    return far + [of | {"bbox": label["bbox"]} for of, label in zip(near, TRUTH["annotations"], strict=True)]


def test_where_the_surest_box_is_the_most_accurate_the_others_do_not_matter():
    alone, swapped, rest = found_of("one-accurate-box-suffices", WithPredictions(shifted_and_exact(0.5, 0.9)))
    assert (alone.verdict, rest.verdict) == ("holds", "holds")
    assert swapped.value == pytest.approx(0, abs=1e-6)


def test_where_it_is_not_they_do():
    alone, swapped, rest = found_of("one-accurate-box-suffices", WithPredictions(shifted_and_exact(0.9, 0.5)))
    assert (alone.verdict, swapped.verdict, rest.verdict) == ("does not hold", "holds", "does not hold")
    assert swapped.value > 0.1


def made_accuracies(monkeypatch, order):
    """Accuracies that rank the recipes in this order, in all seeds; AP does so from the first to the last."""
    of_cell = {of: place / 100 for place, of in zip(order, ALL, strict=True)}
    monkeypatch.setattr(ap_view, "accuracy", lambda runs, of: of_cell[of.cell])
    return MadeRuns({of.label: [place / 50 + noise for noise in (0, 0.001, 0.002)] for place, of in enumerate(ALL)})


def test_accuracy_that_ranks_as_ap_does_is_related(monkeypatch):
    (found,) = found_of("accuracy-is-not-ap", made_accuracies(monkeypatch, range(len(ALL))))
    assert found.value == pytest.approx(0.2)
    assert found.verdict == "does not hold"


def test_accuracy_that_ranks_otherwise_is_not(monkeypatch):
    (found,) = found_of("accuracy-is-not-ap", made_accuracies(monkeypatch, range(len(ALL))[::-1]))
    assert found.value == pytest.approx(-1.8)
    assert found.verdict == "holds"


def test_coupling_and_pisa_are_compared_to_random_sampling():
    runs = WithPredictions(predictions(lambda shift: 1 - shift))
    for name in ("coupling-ties-score-to-iou", "pisa-raises-precision-and-recall"):
        assert {of.verdict for of in found_of(name, runs)} == {"undecided"}, "the same predictions whatever the recipe"
