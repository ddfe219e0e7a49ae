"""Claims on the scores of a dense head: easy negatives, focal loss and what it needs, ranking instead of weighing."""

import numpy as np

from hardmine.claims.claim import Cell, Claim, Contrast, Measurement, cell
from hardmine.claims.gains import average_precisions, gain, gains
from hardmine.claims.runs import Runs, Training
from hardmine.diagnosis.gradient_shares import EASY, look_at_steps, share
from hardmine.losses import CrossEntropy
from hardmine.training.evidence import TrainedRun, foreground_scores
from hardmine.training.recipe_names import make_recipe

__all__ = ["CLAIMS"]

RETINANET = "retinanet"
CE, FOCAL = cell(RETINANET, "ce"), cell(RETINANET, "focal")
BALANCED_CE = cell(RETINANET, "balanced_ce")
OHEM, HNM, GHM = (cell(RETINANET, name) for name in ("ohem_mmdet", "hnm", "ghm"))
ANSWERS = (FOCAL, GHM, OHEM, HNM)
"""Methods that are to take the easy negatives' say away."""
TWO_STAGE, TWO_STAGE_FOCAL = cell("fasterrcnn", "random"), cell("fasterrcnn", "focal")
TWO_STAGE_BALANCED = cell("fasterrcnn", "balanced_ce")
HALF = 0.5
GRID = {
    (0.0, 0.25): cell(RETINANET, "balanced_ce", alpha=0.25),
    (0.0, 0.75): BALANCED_CE,
    (2.0, 0.25): FOCAL,
    (2.0, 0.75): cell(RETINANET, "focal", alpha=0.75),
}
"""(gamma, alpha) -> its training; gamma = 0 is balanced cross entropy."""
NO_PRIOR = cell(RETINANET, "ce", prior=0.5)
OVER_ALL = cell(RETINANET, "focal", over_all=True)
AP_LOSS = cell(RETINANET, "ap_loss")
OF_CLASS = "classification"
"""RetinaNet's classification loss, as a line of metrics.jsonl has it."""


def easy_share(runs: Runs, of: Training) -> float:
    """The easy negatives' share of the gradient that a finished detector gets under its own recipe."""
    trained = runs.trained(of)
    recipe = make_recipe(of.cell.recipe, dict(of.cell.options))
    shares, _ = look_at_steps(trained.steps(recipe), trained.traits.activation)
    return shares.easy_negatives


def easy_share_of_loss(runs: Runs, of: Training) -> float:
    """Their share of the cross entropy of all samples."""
    return _share_of_loss(runs.trained(of))


def _share_of_loss(trained: TrainedRun) -> float:
    easy = total = 0.0
    cross_entropy = CrossEntropy(trained.traits.activation)  # the recorded loss is the detector's own
    for samples in trained.samples(frozenset({"labels", "logits"})):
        loss = cross_entropy(samples["logits"], samples["labels"]).sum(-1)
        is_negative = samples.assignment.is_negative
        is_easy = is_negative & (foreground_scores(samples["logits"], trained.traits.activation) < EASY)
        easy += float(loss[is_easy].sum())
        total += float(loss[samples.assignment.is_valid].sum())
    return share(easy, total)


def measure_dominance(runs: Runs) -> Measurement:
    """Over half of plain cross entropy's loss and gradient is easy negatives', and less of every answer's gradient."""
    shares = {of: runs.over_seeds(of, lambda training: easy_share(runs, training)) for of in (CE, *ANSWERS)}
    of_loss = runs.over_seeds(CE, lambda training: easy_share_of_loss(runs, training))
    contrasts = [
        Contrast("easy negatives' share of cross entropy's gradient - 1/2", shares[CE] - HALF),
        Contrast("easy negatives' share of the cross entropy - 1/2", of_loss - HALF),
        *(Contrast(f"share of the gradient: {of.recipe} - ce", shares[of] - shares[CE], "below") for of in ANSWERS),
    ]
    numbers = {f"easy negatives' share of the gradient, {of.recipe}": by_seed for of, by_seed in shares.items()}
    numbers |= {"easy negatives' share of the loss, ce": of_loss}
    return Measurement(contrasts, numbers | average_precisions(runs, (CE, *ANSWERS)))


def measure_focal(runs: Runs) -> Measurement:
    """Focal loss gains over cross entropies one-stage, and more there than two-stage."""
    one_stage, two_stage = gain(runs, (FOCAL, CE)), gain(runs, (TWO_STAGE_FOCAL, TWO_STAGE))
    more = Contrast("AP gained, RetinaNet - Faster R-CNN", one_stage.values - two_stage.values)
    cells = (CE, BALANCED_CE, FOCAL, TWO_STAGE, TWO_STAGE_BALANCED, TWO_STAGE_FOCAL)
    return Measurement([one_stage, gain(runs, (FOCAL, BALANCED_CE)), more], average_precisions(runs, cells))


def measure_grid(runs: Runs) -> Measurement:
    """A larger alpha is worth less with gamma = 2 than with gamma = 0."""
    worth = {gamma: gain(runs, (GRID[gamma, 0.75], GRID[gamma, 0.25])).values for gamma in (0.0, 2.0)}
    text = "AP gained by alpha .75 over .25: with gamma 2 - with gamma 0"
    return Measurement([Contrast(text, worth[2.0] - worth[0.0], "below")], average_precisions(runs, [*GRID.values()]))


def measure_prior(runs: Runs) -> Measurement:
    """Without the prior the first epoch's classification loss is larger, and less is found in the end."""
    first = {of: runs.over_seeds(of, lambda training: _first_loss(runs, training)) for of in (NO_PRIOR, CE)}
    higher = Contrast("log of the first epoch's loss: prior .5 - prior .01", np.log(first[NO_PRIOR] / first[CE]))
    numbers = {f"first epoch's loss, {of.label}": by_seed for of, by_seed in first.items()}
    diverged = runs.over_seeds(NO_PRIOR, runs.is_diverged)
    numbers |= average_precisions(runs, (CE, NO_PRIOR)) | {"diverged with prior .5": diverged}
    return Measurement([higher, gain(runs, (CE, NO_PRIOR))], numbers)


LARGEST_LOSS = 1e6
"""What a loss that is no number any more is taken for."""


def _first_loss(runs: Runs, of: Training) -> float:
    rows = runs.rows(of)
    return rows[0][OF_CLASS] if rows else LARGEST_LOSS


def _grid_cells() -> tuple[Cell, ...]:
    return tuple(GRID.values())


RETINANETS = "Lin et al., Focal Loss for Dense Object Detection, ICCV 2017"
CLAIMS = (
    Claim(
        slug="focal-helps-one-stage-more",
        ids=("000-04",),
        words="Focal loss works well on one-stage detectors; on two-stage detectors little is gained.",
        source=f"{RETINANETS}; practice",
        published="RetinaNet R50-600: CE 30.2, balanced CE 31.1, focal 34.0 AP; no gain reported two-stage",
        measure=measure_focal,
        cells=(CE, FOCAL, BALANCED_CE, TWO_STAGE, TWO_STAGE_FOCAL, TWO_STAGE_BALANCED),
    ),
    Claim(
        slug="easy-negatives-dominate",
        ids=("001-04",),
        words="Easy negatives dominate loss and gradient of a dense head; mining and weighing take that away.",
        source=f"{RETINANETS}; Li et al., GHM, AAAI 2019",
        published="no figure; with cross entropy the 100,000 easy anchors are the bulk of the loss",
        measure=measure_dominance,
        cells=(CE, *ANSWERS),
        notes="A negative is easy with a score below .1. Measured on the finished detector of each method.",
    ),
    Claim(
        slug="easy-negatives-hurt",
        ids=("002-07",),
        words="All negatives straight into the loss drown the positives: learning is slower, and less accurate.",
        source=RETINANETS,
        published="RetinaNet R50-600: CE 30.2 (with the prior), focal 34.0 AP; R101: OHEM 32.8, focal 36.0",
        measure=gains((FOCAL, CE), (HNM, CE), (OHEM, CE)),
        cells=(CE, FOCAL, HNM, OHEM),
    ),
    Claim(
        slug="gamma-and-alpha-oppose",
        ids=("001-21",),
        words="gamma and alpha move in opposite directions: the more easy samples are damped, the smaller is the best "
        "alpha.",
        source=RETINANETS,
        published="best alpha .75 at gamma 0 (31.1 AP), .25 at gamma 2 (34.0 AP; .5 only .4 lower)",
        measure=measure_grid,
        cells=_grid_cells(),
    ),
    Claim(
        slug="prior-keeps-from-diverging",
        ids=("001-18",),
        words="Without a prior of 1 % for the foreground, training begins unstably or diverges.",
        source=RETINANETS,
        published="cross entropy diverges without it, AP 30.2 with it",
        measure=measure_prior,
        cells=(CE, NO_PRIOR),
    ),
    Claim(
        slug="divide-by-positives",
        ids=("001-20",),
        words="The loss is divided by the anchors that have an object, not by all: most of these weigh nothing.",
        source=RETINANETS,
        published="no figure",
        measure=gains((FOCAL, OVER_ALL)),
        cells=(FOCAL, OVER_ALL),
    ),
    Claim(
        slug="ap-loss-beats-focal",
        ids=("001-48",),
        words="A loss that ranks all scores at once does better than one that weighs them, at the same schedule.",
        source="Chen et al., Towards Accurate One-Stage Object Detection with AP-Loss, CVPR 2019",
        published="RetinaNet R50-500, 100 epochs: AP loss 35.4 AP; FoveaBox: AP loss 36.5, focal 38.3 (aLRP paper)",
        measure=gains((AP_LOSS, FOCAL)),
        cells=(AP_LOSS, FOCAL),
    ),
)
