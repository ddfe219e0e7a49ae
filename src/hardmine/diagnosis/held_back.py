"""What holds a detector back, by a finished run: who dominates its gradient, what it gets wrong, what it learns from.

The run's model is shown some of its training batches, for the gradient; its predictions of the measured split are
matched to the objects; and the labels of some training images are held against what it predicts there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from accelerate.utils import send_to_device

from hardmine.data import DetectionDataset
from hardmine.data.derived import some_images
from hardmine.diagnosis.gradient_shares import GradientShares, SamplesOfObjects, look_at_steps, share
from hardmine.errors import RunError
from hardmine.evaluation import evaluate_predictions
from hardmine.mining import Detections, Matching, Objects, labels_of, match, mine, name_detections
from hardmine.mining.labels import detections_in, objects_in
from hardmine.mining.results import results_table
from hardmine.mining.suspects import FAULTS
from hardmine.predictions import Confirmed, as_coco_results, found_records, read_found
from hardmine.training import LoadedRun, RunFolder, load_run
from hardmine.training.batches import BatchOrder, training_loader
from hardmine.training.data import open_training_data
from hardmine.training.evidence import TrainedRun
from hardmine.training.processes import start_accelerator
from hardmine.training.recipe_names import make_recipe
from hardmine.training.run import predict_dataset

__all__ = ["ClassTail", "Diagnosis", "ErrorShares", "ObjectSizes", "SuspectShares", "diagnose"]

IMAGES_OF_GRADIENT = 64
IMAGES_OF_SUSPECTS = 256
FEWEST_TRUE = 10
"""With fewer true predictions of a class, no correlation is asked of it."""
FEWEST_BY_IMAGE = 20
"""With fewer images, or predictions on background, no correlation over images is asked."""
SMALL, LARGE = 32**2, 96**2
AS_WRITTEN = Confirmed("xywh", category_offset=0)


@dataclass(frozen=True, slots=True)
class ErrorShares:
    """What is wrong with the predictions of the measured split, as shares of all errors: they add up to 1; 0 of none.

    A prediction counts from the score at which F1, over all classes together, is highest: `threshold`; there
    `precision` and `recall` are at IoU .5. The types are those of `mining.naming`, TIDE's, one a prediction; `missed`
    are objects that no counted prediction takes, places badly or takes for another class. Unlike TIDE's, these are
    shares of counts, not of what each type costs in AP.
    """

    threshold: float
    precision: float
    recall: float
    num_errors: int
    confusion: float
    badly_located: float
    both: float
    duplicate: float
    background: float
    missed: float


@dataclass(frozen=True, slots=True)
class ClassTail:
    """How unequal the classes are.

    num_objects: training objects of each class, in the order of the labels, crowds left out.
    ratio: of the most to the least of these, which counts as at least 1.
    ap_rarest, ap_commonest: mean AP on the measured split, in [0, 1], of the third of the classes with the fewest and
    with the most training objects; None with a single class, or where none of them has an object to find.
    """

    num_objects: tuple[int, ...]
    ratio: float
    ap_rarest: float | None
    ap_commonest: float | None


@dataclass(frozen=True, slots=True)
class SuspectShares:
    """Labels of training images that the run's model doubts, as shares of the labels there.

    It has learnt them and repeats some of their faults, and after a short training it knows little: take these for
    hints. `hardmine mine --folds` asks models that have not learnt them.

    num_images, num_labels: that were looked at, crowds left out.
    spurious, wrong_class, badly_located, duplicate: of the labels, as mining lists them; of each one at most.
    missing: objects without a label for each that has one, if the model found them as surely: then as many of them as
    of the others score above the median of those. Predictions on background count, from the score with the highest F1.
    missing_by_image: Spearman's correlation, in [-1, 1], of an image's number of labels and of such predictions on its
    background. Hard backgrounds have little to do with that number; where labelling was given up early, it is well
    below 0. None where there are too few images or predictions to say.
    """

    num_images: int
    num_labels: int
    spurious: float
    wrong_class: float
    badly_located: float
    duplicate: float
    missing: float
    missing_by_image: float | None

    @property
    def labels(self) -> float:
        """The share of the labels that are suspected of anything."""
        return self.spurious + self.wrong_class + self.badly_located + self.duplicate


@dataclass(frozen=True, slots=True)
class ObjectSizes:
    """Shares of the training objects by COCO's sizes: areas below 32², up to 96², and above, in pixels of the image
    as it is stored. They add up to 1.
    """

    small: float
    medium: float
    large: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a finished run says of its detector and its data.

    detector, recipe: by name.  head: what its scores come from, see `HeadTraits.name`.
    score_iou_correlation: Spearman's, in [-1, 1], of the score of true predictions (at IoU .5) of the measured split
    and their IoU with the object that they take: within each class, mean over these by number of predictions; None
    where no class has enough.
    """

    detector: str
    recipe: str
    head: str
    gradient: GradientShares
    samples: SamplesOfObjects
    errors: ErrorShares
    score_iou_correlation: float | None
    classes: ClassTail
    suspects: SuspectShares
    sizes: ObjectSizes

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)


def diagnose(run: Path | str) -> Diagnosis:
    """Looks into a finished run; nothing of it is changed, and nothing is written.

    Raises: RunError: it is no finished run, or it finds nothing on its measured split.  DataError: its data cannot be
        used, or are not those of its predictions.
    """
    run = Path(run)
    loaded = load_run(run)
    train_data, val_data = open_training_data(loaded.config)
    found = _found_on_measured(run, loaded, val_data)
    detections, objects = detections_in(found), objects_in(labels_of(val_data).objects)
    matching = match(objects, detections)
    suspects = suspect_shares(run, some_images(train_data, IMAGES_OF_SUSPECTS))
    gradient, samples = _look(loaded, train_data)
    return Diagnosis(
        detector=loaded.config.detector,
        recipe=loaded.config.recipe,
        head=loaded.detector.final_head.traits.name,
        gradient=gradient,
        samples=samples,
        errors=error_shares(objects, detections, matching),
        score_iou_correlation=score_iou_correlation(detections, matching),
        classes=class_tail(train_data, val_data, found),
        suspects=suspects,
        sizes=object_sizes(train_data),
    )


def _look(loaded: LoadedRun, train_data: DetectionDataset) -> tuple[GradientShares, SamplesOfObjects]:
    """One look at some training batches, under the run's own recipe."""
    config = loaded.config
    loaded.detector.to(start_accelerator().device)
    trained = TrainedRun(loaded, _batches(loaded, train_data), train_data.name)
    recipe = make_recipe(config.recipe, config.recipe_options)
    return look_at_steps(trained.steps(recipe), trained.traits.activation)


def _batches(loaded: LoadedRun, train_data: DetectionDataset) -> Iterator[Any]:
    config, device = loaded.config, next(loaded.detector.parameters()).device
    order = BatchOrder(len(train_data), config, rank=0, num_processes=1)
    num = -(-min(IMAGES_OF_GRADIENT, len(train_data)) // config.images_per_step)
    for batch in islice(training_loader(train_data, config, order, workers=0), num):
        yield send_to_device(batch, device)


def _found_on_measured(run: Path, loaded: LoadedRun, val_data: DetectionDataset) -> pl.DataFrame:
    """The predictions of the measured split as a table; those that lie in the run folder, if they are still there."""
    file = RunFolder(run).predictions(loaded.config.measured_split)
    found = read_found(file) if file.exists() else found_records(predict_dataset(run, val_data), str(run))
    if not len(found.rows):
        raise RunError(
            f"{run} finds nothing on split {val_data.split!r}, so there is nothing to diagnose; train longer"
        )
    return results_table(val_data, found, AS_WRITTEN)


def error_shares(objects: Objects, detections: Detections, matching: Matching) -> ErrorShares:
    """Of predictions matched to the objects at IoU .5."""
    names, is_label = name_detections(matching), ~objects.is_crowd
    is_judged = names != "ignored"
    threshold = _best_threshold(detections.scores[is_judged], names[is_judged] == "true", int(is_label.sum()))
    counted = is_judged & (detections.scores >= threshold)
    num_true, num = int((counted & (names == "true")).sum()), int(counted.sum())
    kinds = ("confusion", "badly located", "both", "duplicate", "background")
    counts = {kind.replace(" ", "_"): int((counted & (names == kind)).sum()) for kind in kinds}
    counts["missed"] = int((is_label & ~_is_accounted_for(matching, names, counted)).sum())
    total = sum(counts.values())
    shares = {kind: share(count, total) for kind, count in counts.items()}
    return ErrorShares(threshold, share(num_true, num), share(num_true, int(is_label.sum())), total, **shares)


def _best_threshold(scores: np.ndarray, is_true: np.ndarray, num_objects: int) -> float:
    """The score from which predictions must count for the highest F1; 0 without any."""
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.cumsum(is_true[order]) / (np.arange(1, len(order) + 1) + num_objects)
    return float(scores[order[f1.argmax()]])


def _is_accounted_for(matching: Matching, names: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(G,) whether a counted prediction takes the object, or is wrong about just this one."""
    accounted = np.zeros(len(matching.taken_by), dtype=bool)
    for kind, nearest in (
        ("true", matching.taken), ("badly located", matching.own), ("confusion", matching.other)
    ):  # fmt: skip
        accounted[nearest[counted & (names == kind)]] = True
    return accounted


def score_iou_correlation(detections: Detections, matching: Matching) -> float | None:
    """Spearman's correlation of score and IoU of true predictions, see `Diagnosis`."""
    is_true = matching.taken >= 0
    columns = {"category": detections.category, "score": detections.scores, "iou": matching.taken_iou}
    table = pl.DataFrame({name: column[is_true] for name, column in columns.items()})
    by_class = table.group_by("category", maintain_order=True).agg(
        pl.len(), pl.corr("score", "iou", method="spearman").alias("correlation")
    )
    known = by_class.filter((pl.col("len") >= FEWEST_TRUE) & pl.col("correlation").is_finite())
    return float(np.average(known["correlation"], weights=known["len"])) if len(known) else None


def class_tail(train_data: DetectionDataset, val_data: DetectionDataset, found: pl.DataFrame) -> ClassTail:
    """found: predictions of the measured split, as `results_table` gives them."""
    labels = np.concatenate([record.labels[~record.is_crowd] for record in train_data.records])
    counts = np.bincount(labels, minlength=len(train_data.classes))
    by_id = evaluate_predictions(val_data.coco_ground_truth(), as_coco_results(found)).per_class.values()
    ap = [ap for _, ap in sorted(zip(np.argsort(val_data.category_ids), by_id, strict=True), key=lambda pair: pair[0])]
    order = np.argsort(counts, kind="stable")
    num = max(1, len(order) // 3) if len(order) > 1 else 0
    ratio = float(counts.max() / max(1, counts.min()))
    rarest, commonest = (_mean_known([ap[place] for place in of]) for of in (order[:num], order[len(order) - num :]))
    return ClassTail(tuple(counts.tolist()), ratio, rarest, commonest)


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def suspect_shares(run: Path, dataset: DetectionDataset) -> SuspectShares:
    """Which labels of the data set the run's model doubts; none, where it finds nothing."""
    num = int((~labels_of(dataset).objects["is_crowd"]).sum())
    results = predict_dataset(run, dataset)
    if not results:
        return SuspectShares(len(dataset), num, 0.0, 0.0, 0.0, 0.0, 0.0, None)
    tables = mine(dataset, results, str(run), confirmed=AS_WRITTEN)
    kinds = tables.suspects["kind"].to_list()
    faults = {fault: share(kinds.count(fault.replace("_", " ")), num) for fault in (*FAULTS, "duplicate")}
    true, background = _counted(tables.predictions, num)
    surer = int((background["score"] > (true["score"].median() or 0.0)).sum()) if len(true) else 0
    by_image = _by_image(tables.images, background)
    return SuspectShares(len(dataset), num, **faults, missing=share(2 * surer, len(true)), missing_by_image=by_image)


def _counted(predictions: pl.DataFrame, num_objects: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """True predictions, and those on background, from the score with the highest F1."""
    judged = predictions.filter(~pl.col("error").is_in(["ignored", "no area"]))
    is_true = (judged["error"] == "true").to_numpy()
    counted = judged.filter(pl.col("score") >= _best_threshold(judged["score"].to_numpy(), is_true, num_objects))
    return counted.filter(pl.col("error") == "true"), counted.filter(pl.col("error") == "background")


def _by_image(images: pl.DataFrame, background: pl.DataFrame) -> float | None:
    """Correlation over the images of their number of labels and of predictions on their background."""
    if min(len(images), len(background)) < FEWEST_BY_IMAGE:
        return None
    counts = images.join(background.group_by("image_id").len(), on="image_id", how="left").fill_null(0)
    correlation = counts.select(pl.corr("num_objects", "len", method="spearman")).item()
    return correlation if np.isfinite(correlation) else None


def object_sizes(dataset: DetectionDataset) -> ObjectSizes:
    """Crowds are left out."""
    areas = np.concatenate([record.object_areas()[~record.is_crowd] for record in dataset.records])
    counts = (int((areas < SMALL).sum()), int(((areas >= SMALL) & (areas <= LARGE)).sum()), int((areas > LARGE).sum()))
    return ObjectSizes(*(share(count, len(areas)) for count in counts))
