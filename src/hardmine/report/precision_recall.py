"""Precision over recall of each recipe: the curves whose mean height is AP."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hardmine.errors import HardmineError
from hardmine.figures.figure import Panel, Series
from hardmine.report.inputs import read_facts
from hardmine.report.names import shown

if TYPE_CHECKING:
    from hardmine.evaluation import ClassMatches, Matches
    from hardmine.training import TrainingConfig

__all__ = ["RECALLS", "precision_at_recalls", "precision_recall_panels"]

logger = logging.getLogger("hardmine")

RECALLS = np.linspace(0.0, 1.0, 101)
THRESHOLDS = {0: ".5", 5: ".75"}
"""Places of the IoU thresholds that are drawn."""


def precision_recall_panels(runs: Mapping[str, Sequence[Path]]) -> tuple[list[Panel], str]:
    """A panel an IoU threshold, a line a run, from the predictions that lie in the runs' folders; or why there is none.

    Precision is COCO's: the highest at this recall or a higher one, mean over the classes. Runs of masks have none.
    """
    try:
        runs = {name: [run for run in of if not _is_of_masks(run)] for name, of in runs.items()}
        if not any(runs.values()):
            return [], ""
        matches = _matches(runs)
    except (HardmineError, OSError) as error:
        return [], f"No precision-recall curves: {shown(error)}"
    if not matches:
        return [], "No precision-recall curves: no run has kept its predictions."
    panels = [
        Panel(
            f"Precision and recall at IoU {iou}",
            "recall",
            "precision",
            [
                Series(name, RECALLS.tolist(), precision_at_recalls(of_run, place).tolist())
                for name, of in matches.items()
                for of_run in of
            ],
        )
        for place, iou in THRESHOLDS.items()
    ]
    return panels, ""


def precision_at_recalls(matches: "Matches", place: int) -> np.ndarray:
    """Precision (101,) at the recalls of COCO's evaluation, mean over the classes with objects; its mean is AP there.

    Args: place: of the IoU threshold, among .50, .55, ... .95.
    """
    by_class = [_of_class(of, place) for of in matches.classes if of.num_objects.sum() > 0]
    return np.mean(by_class, axis=0) if by_class else np.zeros(len(RECALLS))


def _of_class(of: "ClassMatches", place: int) -> np.ndarray:
    counted = ~of.is_ignored[place]
    true = np.cumsum(of.is_true[place] & counted)
    recall = true / of.num_objects.sum()
    precision = true / np.maximum(np.cumsum(counted), 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return envelope[np.searchsorted(recall, RECALLS, side="left")]


def _is_of_masks(run: Path) -> bool:
    file = run / "config.json"
    return file.is_file() and read_facts(file).get("task", "detection") != "detection"


def _matches(runs: Mapping[str, Sequence[Path]]) -> dict[str, list["Matches"]]:
    from hardmine.evaluation import match_predictions
    from hardmine.predictions import read_results
    from hardmine.training import RunFolder
    from hardmine.training.data import open_measured_data

    folders = {name: [RunFolder(run) for run in of if run.is_dir()] for name, of in runs.items()}
    first = next((folder for of in folders.values() for folder in of), None)
    if first is None:
        return {}
    config = first.read_config()
    dataset = open_measured_data(config)
    truth = dataset.coco_ground_truth()
    found: dict[str, list[Matches]] = {}
    for name, of in folders.items():
        for folder in of:
            file = folder.predictions(dataset.split)
            if file.exists() and _is_alike(folder.read_config(), config):
                found.setdefault(name, []).append(match_predictions(truth, read_results(file, dataset)))
        logger.info("precision and recall of %s", name)
    return found


def _is_alike(config: "TrainingConfig", other: "TrainingConfig") -> bool:
    """Whether both are measured on the same images."""
    names = ("data", "images", "val_split", "train_split", "fold", "group_by")
    return all(getattr(config, name) == getattr(other, name) for name in names)
