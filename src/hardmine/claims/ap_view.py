"""Claims on what average precision looks at, which is not what a classification loss looks at.

A loss is a mean over all samples; AP asks for one sure and accurate box of each object. So a better classifier need not
be a better detector, only the surest box of an object matters, and scores do well to follow how a box lies.
"""

from collections.abc import Callable

import numpy as np

from hardmine.claims.claim import Claim, Contrast, Measurement, cell
from hardmine.claims.correlation import rank_correlation
from hardmine.claims.gains import average_precisions, named
from hardmine.claims.regrouped import only_surest, surest_is_most_accurate, without_surest
from hardmine.claims.runs import Runs, Training
from hardmine.core.samples import BACKGROUND, Evidence, Samples
from hardmine.evaluation import Matches, judge, match_predictions

__all__ = ["CLAIMS"]

DETECTOR = "fasterrcnn"
RANDOM, CARL, CORRELATION, PISA = (cell(DETECTOR, name) for name in ("random", "carl", "correlation", "pisa"))
OTHERS = (
    *(cell(DETECTOR, name) for name in ("ohem", "hnm", "focal", "iou_balanced", "instance_balanced", "isr")),
    cell(DETECTOR, "ohem", nms_iou=None),
)
ALL = (RANDOM, CARL, CORRELATION, PISA, *OTHERS)
CLOSE = 0.8
"""A rank correlation from which two orders are called nearly the same."""
SLIGHT = 0.01
"""A difference in AP that is next to none."""
HALF = 0.5
FEWEST_TRUE = 10
"""With fewer true predictions of a class, no correlation is asked of it."""


def accuracy(runs: Runs, of: Training) -> float:
    """Share of the head's samples, on measured images, whose surest class is their label or the background's."""
    right = total = 0
    for samples in runs.trained(of, on_measured=True).samples(frozenset({"logits", "labels"})):
        num_right, num = _rightly_classified(samples)
        right, total = right + num_right, total + num
    return right / max(1, total)


def _rightly_classified(samples: Samples) -> tuple[int, int]:
    """Of a softmax head, whose last column is the background."""
    logits, labels, is_valid = samples["logits"], samples["labels"], samples.assignment.is_valid
    label = labels.masked_fill(labels == BACKGROUND, logits.shape[-1] - 1)
    return int(((logits.argmax(-1) == label) & is_valid).sum()), int(is_valid.sum())


def measure_accuracy(runs: Runs) -> Measurement:
    """Over recipes, the order by accuracy of the classifier is not nearly that by AP."""
    accuracies = np.array([runs.over_seeds(of, lambda training: accuracy(runs, training)) for of in ALL])
    precisions = np.array([runs.measure(of)[0] for of in ALL])
    by_seed = [rank_correlation(*of_seed) for of_seed in zip(accuracies.T, precisions.T, strict=True)]
    numbers = {f"accuracy of {named(of)}": values for of, values in zip(ALL, accuracies, strict=True)}
    numbers |= average_precisions(runs, ALL)
    text = f"rank correlation of accuracy and AP over {len(ALL)} recipes - {CLOSE}"
    return Measurement([Contrast(text, np.array(by_seed) - CLOSE, "below")], numbers)


def measure_two_views(runs: Runs) -> Measurement:
    """Of a detector's positives, the order by score is not nearly that by IoU of the predicted box."""
    by_seed = runs.over_seeds(RANDOM, lambda of: score_against_place(runs, of))
    text = f"rank correlation of score and IoU of positives - {CLOSE}"
    return Measurement([Contrast(text, by_seed - CLOSE, "below")], {"rank correlation": by_seed})


def score_against_place(runs: Runs, of: Training) -> float:
    """Spearman's correlation of the score of its label and the IoU of its predicted box, over positives."""
    needs: frozenset[Evidence] = frozenset({"logits", "labels", "predicted_iou"})
    scores, overlaps = [], []
    for samples in runs.trained(of, on_measured=True).samples(needs):
        positive = samples.assignment.is_positive
        label = samples["labels"].clamp_min(0).unsqueeze(-1)
        scores.append(samples["logits"].softmax(-1).gather(-1, label).squeeze(-1)[positive].numpy())
        overlaps.append(samples["predicted_iou"][positive].detach().numpy())
    return rank_correlation(np.concatenate(scores), np.concatenate(overlaps))


def measure_one_box(runs: Runs) -> Measurement:
    """Predictions changed on purpose: what AP makes of it when the boxes of an object are taken away or reordered."""

    def changed(change: Callable[[dict, list[dict]], list[dict]]) -> np.ndarray:
        of_runs = [
            judge(runs.ground_truth, change(runs.ground_truth, runs.predictions(of))).measures(runs.draws, ["ap"])["ap"]
            for of in runs.trainings([RANDOM])
        ]
        return np.stack(of_runs, axis=1)

    plain, alone = runs.measure(RANDOM), changed(only_surest)
    swapped, rest = changed(surest_is_most_accurate), changed(without_surest)
    contrasts = [
        Contrast(f"AP of the surest box of each object alone - (AP of all - {SLIGHT})", alone - plain + SLIGHT),
        Contrast("AP with the most accurate box made the surest - AP", swapped - plain),
        Contrast("AP without the surest box of each object - AP", rest - plain, "below"),
    ]
    numbers = {"AP": plain[0], "surest alone": alone[0], "most accurate surest": swapped[0], "without surest": rest[0]}
    return Measurement(contrasts, numbers)


def measure_coupling(runs: Runs) -> Measurement:
    """Losses that couple both branches make scores follow the IoU."""
    found = {of: runs.over_seeds(of, lambda t: score_iou_correlation(_matches(runs, t))) for of in COUPLED}
    contrasts = [
        Contrast(f"rank correlation of score and IoU: {of.recipe} - random", found[of] - found[RANDOM])
        for of in COUPLED[1:]
    ]
    numbers = {f"rank correlation, {of.recipe}": by_seed for of, by_seed in found.items()}
    return Measurement(contrasts, numbers | average_precisions(runs, COUPLED))


COUPLED = (RANDOM, CARL, CORRELATION, PISA)


def _matches(runs: Runs, of: Training) -> Matches:
    return runs.keep((of, "matches"), lambda: match_predictions(runs.ground_truth, runs.predictions(of)))


def score_iou_correlation(matches: Matches) -> float:
    """Spearman's correlation over true predictions at IoU .5, class by class, weighted by their number; 0 of none."""
    found = [(of.scores[of.is_true[0]], of.iou[0][of.is_true[0]]) for of in matches.classes]
    known = [(rank_correlation(*of), len(of[0])) for of in found if len(of[0]) >= FEWEST_TRUE]
    if not known:
        return 0.0
    by_class, numbers = zip(*known, strict=True)
    return float(np.average(by_class, weights=numbers))


def precision_and_recall(matches: Matches) -> tuple[float, float]:
    """At IoU .5 over all classes: precision where half of the objects are found, recall where half of what is found is.

    0 where that is nowhere so.
    """
    scores = np.concatenate([of.scores[~of.is_ignored[0]] for of in matches.classes])
    is_true = np.concatenate([of.is_true[0][~of.is_ignored[0]] for of in matches.classes])
    num_objects = sum(int(of.num_objects.sum()) for of in matches.classes)
    true = np.cumsum(is_true[np.argsort(-scores, kind="stable")])
    precision, recall = true / np.arange(1, len(true) + 1), true / max(1, num_objects)
    return _largest(precision[recall >= HALF]), _largest(recall[precision >= HALF])


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if len(values) else 0.0


def measure_pisa(runs: Runs) -> Measurement:
    """PISA's precision and its recall are both above those of random sampling."""
    both = {of: [precision_and_recall(_matches(runs, training)) for training in runs.trainings([of])] for of in PAIR}
    precision, recall = (
        {of: np.array([pair[place] for pair in found]) for of, found in both.items()} for place in (0, 1)
    )
    contrasts = [
        Contrast("precision where half of the objects are found: pisa - random", precision[PISA] - precision[RANDOM]),
        Contrast("recall where half of what is found is right: pisa - random", recall[PISA] - recall[RANDOM]),
    ]
    numbers = {f"precision of {named(of)}": precision[of] for of in PAIR}
    numbers |= {f"recall of {named(of)}": recall[of] for of in PAIR}
    numbers |= {f"AR100 of {named(of)}": runs.last(of, "ar100") for of in PAIR}
    return Measurement(contrasts, numbers | average_precisions(runs, PAIR))


PAIR = (RANDOM, PISA)
CAO = "Cao et al., Prime Sample Attention in Object Detection, CVPR 2020"
CLAIMS = (
    Claim(
        slug="one-accurate-box-suffices",
        ids=("000-13",),
        words="A good detector has one sure and accurate box of each object; what the others score hardly matters.",
        source=CAO,
        published="no figure",
        measure=measure_one_box,
        cells=(RANDOM,),
        notes="Predictions of finished detectors, changed. Boxes of an object are those of its class that overlap it "
        "with an IoU of .5 or more, and no other object more.",
    ),
    Claim(
        slug="pisa-raises-precision-and-recall",
        ids=("001-50",),
        words="Reweighting by hierarchical local ranks raises precision and recall, since AP is what it goes by.",
        source=CAO,
        published="Faster R-CNN R50-FPN, COCO: 36.4 to 38.4 AP",
        measure=measure_pisa,
        cells=PAIR,
        notes="Both at IoU .5 over all classes, where half of the objects are found, and where half of the predictions "
        "are right.",
    ),
    Claim(
        slug="coupling-ties-score-to-iou",
        ids=("000-14", "001-42"),
        words="Classification and localisation are coupled: losses over both make scores follow how well a box lies.",
        source=f"{CAO}; Kahraman et al., Correlation Loss, AAAI 2023",
        published="no correlation; CARL is part of 36.4 to 38.4 AP, correlation loss up to +1.6 AP",
        measure=measure_coupling,
        cells=COUPLED,
        notes="Spearman's correlation over true predictions at IoU .5 of the measured images, class by class.",
    ),
    Claim(
        slug="two-views-rank-differently",
        ids=("000-11",),
        words="The classification view and the detection view do not rank samples alike.",
        source=CAO,
        published="no figure",
        measure=measure_two_views,
        cells=(RANDOM,),
        notes=f"Nearly alike is taken for a rank correlation of {CLOSE} or more.",
    ),
    Claim(
        slug="accuracy-is-not-ap",
        ids=("000-12",),
        words="Accuracy of classification and of detection are not necessarily related.",
        source=CAO,
        published="no figure",
        measure=measure_accuracy,
        cells=ALL,
        notes="Accuracy over all proposals of measured images, whose surest class is right.",
    ),
)
