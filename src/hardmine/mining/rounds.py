"""Train, mine, train on what was mined: the bootstrapping of hard examples, round by round.

OUT/round1          an ordinary run on the labels as they are
OUT/round1/folds    the same without each part of the data, to judge the labels of that part
OUT/mined1          what was mined from their predictions
OUT/round2          a run on images and labels weighted by mined1, and so on

Every piece is kept when it is finished, and a training that was stopped goes on after its last epoch.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from accelerate import PartialState

from hardmine.data import DetectionDataset
from hardmine.errors import ConfigError, RunError
from hardmine.evaluation import Difference, Metrics, match_predictions, paired_differences
from hardmine.files.writing import is_taken, write_json
from hardmine.mining.folder import refuse_existing, write_mined
from hardmine.mining.label_tools import CVAT_NAMES, check_cvat_names
from hardmine.mining.mask_folder import mine_masks
from hardmine.mining.tables import mine
from hardmine.predictions import Confirmed, read_results
from hardmine.training import RunFolder, RunResult, TrainingConfig, train
from hardmine.training.data import open_measured_data
from hardmine.training.decisions import DECISIONS_SUFFIX
from hardmine.training.out_of_fold import predict_for_mining, predict_masks_for_mining
from hardmine.training.record import read_dynamics
from hardmine.training.run import make_detector
from hardmine.training.tasks import DETECTION, task_of

__all__ = ["Round", "mine_in_rounds", "mine_run"]

logger = logging.getLogger("hardmine")

COUNTED = ("hard_positives", "hard_negatives", "suspects")


@dataclass(frozen=True, slots=True)
class Round:
    """One training and what was mined after it (None after the last). `difference` in AP is to the first round."""

    number: int
    metrics: Metrics
    difference: Difference | None
    hard_positives: int | None
    hard_negatives: int | None
    suspects: int | None


def mine_in_rounds(
    config: TrainingConfig,
    rounds: int,
    out: Path | str,
    *,
    folds: int | None = 3,
    suspects: str = "down",
    reassign: int = 0,
    resume: bool = False,
    progress: bool = True,
) -> list[Round]:
    """Trains and mines so many rounds in `out`, and leaves `rounds.json` there.

    Args: folds: models that are trained to judge the labels of each round, see `predict_for_mining`.
        suspects: what becomes of suspect labels from the second round on, see `TrainingConfig`.
        reassign: positives more of each object that the round before missed or hardly found, see `TrainingConfig`.
    Raises: ConfigError: fewer than two rounds, or a configuration that cannot be used.  DataError: as `train`.
        RunError: `out` exists and `resume` is not given, or a run failed.
    """
    out = Path(out)
    if rounds < 2:
        raise ConfigError(f"a loop needs at least 2 rounds, got {rounds}: after one there is nothing to train on")
    if task_of(config) is not DETECTION:
        raise ConfigError(
            "a loop is of boxes; with masks do each round by itself: train, mine --run RUN --folds 3, train --mined"
        )
    if suspects.endswith(DECISIONS_SUFFIX):
        raise ConfigError(
            f"a loop mines anew in each round, so decisions ({suspects}) are of none; give keep, down or drop"
        )
    if not resume and is_taken(out):
        raise RunError(f"{out} exists already; choose another folder with --out, or continue with --resume")
    mined = [out / f"mined{number}" for number in range(1, rounds)]
    more = {"suspects": suspects, "reassign": reassign}
    configs = [config, *(replace(config, mined=str(folder), **more) for folder in mined)]
    if reassign:
        make_detector(configs[-1], num_classes=1, load=False)  # it says so now, where it cannot be done
    val_data, runs = open_measured_data(config), []
    for number, of_round in enumerate(configs, start=1):
        logger.info("round %d of %d", number, rounds)
        runs.append(train(of_round, out / f"round{number}", resume=True, progress=progress))
        if number < rounds and not mined[number - 1].exists():  # a folder that is there is whole
            mine_run(runs[-1].folder.path, mined[number - 1], folds, progress=progress)
    table = _table(runs, mined, val_data)
    if PartialState().is_main_process:
        write_json(out / "rounds.json", {"config": asdict(runs[0].config), "rounds": [asdict(row) for row in table]})
    return table


def mine_run(
    run: Path | str,
    out: Path | str,
    folds: int | None = None,
    top: int | None = None,
    *,
    cvat_names: str = CVAT_NAMES,
    progress: bool = True,
    **changed: str | None,
) -> None:
    """Mines the train split of a run, as `predict_for_mining` predicts it, and writes the mined folder.

    Of a segmentation that of `mine_masks`, which has no COCO files to keep `top` of.

    Raises: as `predict_for_mining` and `write_mined`.
    """
    refuse_existing(Path(out))
    check_cvat_names(cvat_names)
    if task_of(RunFolder(Path(run)).read_config()) is not DETECTION:
        _mine_masks_of(run, Path(out), folds, progress=progress, **changed)
        return
    dataset, results = predict_for_mining(run, folds, progress=progress, **changed)
    state = PartialState()
    if state.is_main_process:
        dynamics = read_dynamics(RunFolder(Path(run)).dynamics, dataset)
        tables = mine(dataset, results, str(run), dynamics, Confirmed("xywh", category_offset=0))
        write_mined(out, tables, Path(run).name, top, cvat_names=cvat_names)
    state.wait_for_everyone()


def _mine_masks_of(run: Path | str, out: Path, folds: int | None, *, progress: bool, **changed: str | None) -> None:
    state = PartialState()
    dataset, found = predict_masks_for_mining(run, folds, progress=progress and state.is_main_process, **changed)
    if state.is_main_process:
        origin = (changed.get("data") or RunFolder(Path(run)).read_config().data, dataset.split)
        mine_masks(dataset, found, out, Path(run).name, origin)
    state.wait_for_everyone()


def _table(runs: Sequence[RunResult], mined: Sequence[Path], val_data: DetectionDataset) -> list[Round]:
    truth = val_data.coco_ground_truth()
    predictions = {str(number): read_results(run.predictions, val_data) for number, run in enumerate(runs, start=1)}
    matches = {number: [match_predictions(truth, of_round)] for number, of_round in predictions.items()}
    differences = paired_differences(matches)
    counts = [*map(_count, mined), {}]
    return [
        Round(number, run.metrics, differences.get(str(number)), **{name: count.get(name) for name in COUNTED})
        for number, (run, count) in enumerate(zip(runs, counts, strict=True), start=1)
    ]


def _count(mined: Path) -> dict[str, Any]:
    images = pl.read_parquet(mined / "images.parquet").select(pl.col("hard_positives", "hard_negatives").sum())
    return images.row(0, named=True) | {"suspects": len(pl.read_parquet(mined / "suspects.parquet"))}
