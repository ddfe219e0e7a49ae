"""What augmentation from mined places and repeat factors do for rare classes, in paired trainings.

    python -m benchmarks.augmentation FOLDER                       # on scenes with a long tail of classes
    python -m benchmarks.augmentation FOLDER --data PATH           # on blood cells, PATH is BCCD's folder
    python -m benchmarks.augmentation FOLDER --arms plain,rfs      # some of the arms; the first is compared to

Scenes are made long-tailed by a rule: they are gone through in order, and one with a rare digit is kept only while
fewer than so many with that digit were kept (`MOST_WITH`), until there are 480. So every digit of a class that is seen
is labelled. They are written as COCO into FOLDER/data, beside 240 scenes as they are to measure on. One model is mined
out of folds (seed 0), and every arm is trained with the seeds 0, 1 and 2; "paste any" pastes any objects, hard or not,
and so says what of pasting is owed to mining. AP, and AP of the rare classes, are compared
to the first arm's, with intervals that hold for all arms at once. A run that is there is not made again.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch

from benchmarks.machine import describe
from hardmine.comparison.judging import values_on_draws
from hardmine.data import DerivedDataset, DetectionDataset, export, open_dataset, open_scenes
from hardmine.evaluation import ap_of_class, differences, read_predictions
from hardmine.mining import mine_run
from hardmine.training import TrainingConfig, train
from hardmine.training.folder import RunFolder

SEEDS, FOLDS, NUM_TRAIN, NUM_VAL = (0, 1, 2), 3, 480, 240
MOST_WITH = {"one": 48, "six": 24}
"""How many training scenes may have this digit."""
SCENES = {
    "detector": "retinanet",
    "backbone": "tiny",
    "batch_size": 4,
    "lr": 0.003,
    "epochs": 6,
    "recipe": "ohem_mmdet",
}
CELLS = {"detector": "retinanet", "backbone": "mobilenet_v2", "weights": "imagenet", "recipe": "focal"}
CELLS |= {"image_size": 160, "epochs": 6}
THRESHOLD = {"scenes": 0.3, "bccd": 0.6}
RARE = {"scenes": ("one", "six"), "bccd": ("Platelets", "WBC")}


def arms(mined: Path, threshold: float) -> dict[str, dict[str, str]]:
    paste = {"augment_from": str(mined), "augment": "paste=.5"}
    rfs, irfs = ({"repeat_factors": f"{rule}:t={threshold}"} for rule in ("rfs", "irfs"))
    return {
        "plain": {},
        "rfs": rfs,
        "irfs": irfs,
        "paste": paste,
        "paste any": paste | {"augment_from": str(mined.with_name("any"))},
        "paste+distractors": paste | {"augment": "paste=.5,distractors=.5"},
        "paste+rfs": paste | rfs,
        "all": paste | {"augment": "paste=.5,distractors=.5,crop=.15,mosaic=.15"},
    }


def long_tailed(num_images: int) -> DetectionDataset:
    scenes = open_scenes("train", num_images=num_images * 3)
    seen: Counter[str] = Counter()
    kept = []
    for place, record in enumerate(scenes.records):
        rare = {scenes.classes[label] for label in record.labels} & MOST_WITH.keys()
        if all(seen[name] < MOST_WITH[name] for name in rare) and len(kept) < num_images:
            seen.update(rare)
            kept.append(place)
    return DerivedDataset(scenes, "train", kept, [scenes.records[place] for place in kept])


def write_scenes(folder: Path) -> Path:
    if not folder.exists():
        splits = {"train": long_tailed(NUM_TRAIN), "val": open_scenes("val", num_images=NUM_VAL)}
        export(splits, "coco", folder)
    return folder


def write_any(mined: Path, out: Path) -> None:
    """A mined folder in which every object is as hard as any other: what copies do by themselves."""
    if not out.exists():
        out.mkdir()
        for name in ("images", "predictions"):
            pl.read_parquet(mined / f"{name}.parquet").write_parquet(out / f"{name}.parquet")
        objects = pl.read_parquet(mined / "objects.parquet").filter(pl.col("hardness").is_not_null())
        alike = objects.with_columns(kind=pl.lit("hard positive"), hardness=1.0, spurious=0.0, wrong_class=0.0)
        alike.with_columns(badly_located=0.0).write_parquet(out / "objects.parquet")


def count(dataset: DetectionDataset) -> dict[str, dict[str, int]]:
    """Of each class, images and objects."""
    labels = [record.labels[~record.is_crowd] for record in dataset.records]
    return {
        name: {
            "images": sum(bool((of == n).any()) for of in labels),
            "objects": sum(int((of == n).sum()) for of in labels),
        }
        for n, name in enumerate(dataset.classes)
    }


def trained(config: TrainingConfig, out: Path) -> Path:
    """The predictions of a run, which is made if it is not there."""
    file = RunFolder(out).predictions(config.measured_split)
    if not file.exists():
        train(config, out, progress=False)
    return file


def compared(dataset: DetectionDataset, files: dict[str, list[Path]], rare: Sequence[str]) -> dict:
    """Measure -> arm -> value by seed and the difference to the first."""
    predictions = {name: [read_predictions(file) for file in of] for name, of in files.items()}
    by_class = list(map(ap_of_class, dataset.classes))
    values = values_on_draws(dataset, predictions, measures=["ap", "ap50", *by_class])
    of_rare = [values[ap_of_class(name)] for name in rare]
    values["ap of rare classes"] = {name: np.mean([of[name] for of in of_rare], axis=0) for name in predictions}
    return {measure: _rows(of, len(dataset)) for measure, of in values.items()}


def _rows(values: dict[str, np.ndarray], num_images: int) -> dict:
    found = differences(values, num_images) if len(values) > 1 else {}
    rows = {name: {"by_seed": of[0].tolist(), "mean": float(of[0].mean())} for name, of in values.items()}
    for name, difference in found.items():
        rows[name] |= {"difference": asdict(difference), "verdict": difference.verdict}
    return rows


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--data")
    asked.add_argument("--arms", default="plain,rfs,irfs,paste,paste+distractors,paste+rfs")
    asked.add_argument("--epochs", type=int)
    asked.add_argument("--seeds", type=int, default=len(SEEDS))
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    torch.set_num_threads(1)
    kind = "scenes" if given.data is None else "bccd"
    data = write_scenes(given.folder / "data") if given.data is None else Path(given.data)
    flips = {"flip_horizontal": 0.0} if kind == "scenes" else {"flip_vertical": 0.5}
    plain = TrainingConfig.from_dict((SCENES if kind == "scenes" else CELLS) | flips | {"data": str(data)})
    plain = plain if given.epochs is None else replace(plain, epochs=given.epochs)
    mined = given.folder / "mined"
    trained(plain, given.folder / "plain0")
    if not mined.exists():
        mine_run(given.folder / "plain0", mined, FOLDS, progress=False)
    write_any(mined, given.folder / "any")
    chosen = {name: arms(mined, THRESHOLD[kind])[name] for name in given.arms.split(",")}
    files: dict[str, list[Path]] = {name: [] for name in chosen}
    for seed in SEEDS[: given.seeds]:
        for name, changed in chosen.items():
            files[name].append(trained(replace(plain, seed=seed, **changed), given.folder / f"{name}{seed}"))
    dataset = open_dataset(data, "val")
    result = {
        "machine": describe(),
        "configuration": json.loads(plain.to_json()) | {"data": kind},
        "arms": {name: {key: Path(text).name for key, text in of.items()} for name, of in chosen.items()},
        "train": count(open_dataset(data, "train")),
        "val": count(dataset),
        "measures": compared(dataset, files, RARE[kind]),
    }
    out = given.out or given.folder / "result.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    for measure, rows in result["measures"].items():
        for name, row in rows.items():
            print(f"{measure:20} {name:20} {row['mean']:.3f}", _interval(row))


def _interval(row: dict) -> str:
    if "difference" not in row:
        return ""
    of = row["difference"]
    return f"{of['value']:+.3f} [{of['simultaneous_low']:+.3f}, {of['simultaneous_high']:+.3f}] {row['verdict']}"


if __name__ == "__main__":
    main()
