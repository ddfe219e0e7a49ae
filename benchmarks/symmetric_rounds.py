"""What does the symmetric remedy gain in the second round of a detector?

    python -m benchmarks.symmetric_rounds --detector retinanet --seeds 3 --out runs/symmetric

A first round is trained on the built-in scenes and its own training images are mined. Then second rounds, from scratch,
of as many steps, all with another seed than the first, the same for all:

plain              as the first round, nothing mined
mined              images drawn by how hard they are
reassigned         the k closest anchors and proposals of each object that was missed or hardly found are positives too
mined, reassigned  both: the symmetric remedy

Reported of each, with intervals that hold for all at once against the plain one: AP; of the objects of the validation
images that were hard in the first round (score times IoU up to .5, missed ones included), the share that is so no more,
and of the missed ones (no prediction of their class at IoU .5) the share that is found; the same of the training images
(their hard ones were re-assigned); and positives and negatives an image that each head learns from. Suspect labels are
kept as they are: the scenes have no wrong ones.

Adds to benchmarks/results/symmetric_rounds.json, under the name of the detector, or --name.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from hardmine.comparison.judging import values_on_draws
from hardmine.data import DetectionDataset
from hardmine.detectors import reassign_missed
from hardmine.equation.head import Head, HeadLosses
from hardmine.evaluation import differences, resamples
from hardmine.mining import mine, mine_run
from hardmine.predictions import read_results
from hardmine.training import RunFolder, TrainingConfig, run as making, train
from hardmine.training.batches import BatchOrder, training_loader
from hardmine.training.data import open_training_data
from hardmine.training.mined import image_weights
from hardmine.training.run import load_run, predict_dataset
from hardmine.training.trainer import SummedLoss

RESULT = Path(__file__).parent / "results" / "symmetric_rounds.json"
PLAIN, MINED, REASSIGNED, BOTH = "plain", "mined", "reassigned", "mined, reassigned"
ARMS = (PLAIN, MINED, REASSIGNED, BOTH)
TROUBLES = ("hard", "missed")
SECOND_SEED = 1000
COUNTED_BATCHES = 40


def second_rounds(config: TrainingConfig, mined: Path, k: int) -> dict[str, TrainingConfig]:
    """The configuration of each arm."""
    plain = replace(config, seed=config.seed + SECOND_SEED)
    even = _drawn_evenly(mined)
    return {
        PLAIN: plain,
        MINED: replace(plain, mined=str(mined)),
        REASSIGNED: replace(plain, mined=str(even), reassign=k),
        BOTH: replace(plain, mined=str(mined), reassign=k),
    }


def _drawn_evenly(mined: Path) -> Path:
    """The same mined folder with all images weighing alike."""
    even = mined.with_name(f"{mined.name}_even")
    if not even.exists():
        shutil.copytree(mined, even)
        file = even / "images.parquet"
        pl.read_parquet(file).with_columns(weight=pl.lit(1.0)).write_parquet(file)
    return even


def samples_of(run: Path) -> dict[str, dict[str, float]]:
    """Positives and negatives an image that each head of a finished run learns from, in batches like its own."""
    loaded, folder = load_run(run), RunFolder(run)
    config = folder.read_config()
    dataset, _ = open_training_data(config)
    weights = None if config.mined is None else image_weights(config.mined, dataset)
    loader = training_loader(dataset, config, BatchOrder(len(dataset), config, 0, 1, weights), 0)
    model, counts = SummedLoss(loaded.detector).train(), {}
    for name, head in loaded.detector.named_modules():
        if isinstance(head, Head):
            counts[name] = []
            head.register_forward_hook(_counter(counts[name]))
    loaded.detector.set_progress(1.0)
    torch.manual_seed(config.seed)
    with torch.no_grad():
        for (images, targets), _ in zip(loader, range(COUNTED_BATCHES), strict=False):
            model(images, [{key: of for key, of in t.items() if isinstance(of, torch.Tensor)} for t in targets])
    return {name: _means(torch.cat(of)) for name, of in counts.items()}


def _counter(found: list[torch.Tensor]) -> Any:
    def count(_: Head, __: Any, losses: HeadLosses) -> None:
        kept = losses.kept.assignment
        found.append(torch.stack([kept.is_positive.sum(1), kept.is_negative.sum(1)], dim=1).float())

    return count


def _means(counts: torch.Tensor) -> dict[str, float]:
    positives, negatives = counts.mean(dim=0).tolist()
    return {"positives": positives, "negatives": negatives, "negatives_per_positive": negatives / max(positives, 1e-9)}


def trouble(objects: pl.DataFrame) -> pl.DataFrame:
    """image_id, object, whether it is hard (missed or hardly found), and whether nothing found it at all."""
    kinds = {"hard": pl.col("kind") == "hard positive", "missed": pl.col("reason") == "missed"}
    return objects.select("image_id", "object", **kinds)


def recall(dataset: DetectionDataset, first: pl.DataFrame, then: pl.DataFrame, of: str) -> np.ndarray:
    """(1 + R,): the share of what was hard, or missed, and is so no more, on all images and draws of them."""
    both = first.join(then, on=("image_id", "object"), suffix="_then").filter(of)
    per_image = both.group_by("image_id").agg(total=pl.len(), found=(~pl.col(f"{of}_then")).sum())
    ids = pl.DataFrame({"image_id": [record.image_id for record in dataset.records]})
    rows = ids.join(per_image, on="image_id", how="left", maintain_order="left").fill_null(0)
    counts = resamples(len(dataset))
    return counts @ rows["found"].to_numpy() / np.maximum(counts @ rows["total"].to_numpy(), 1)


def run_seed(config: TrainingConfig, out: Path, k: int, chosen: Sequence[str] = ARMS) -> dict[str, Any]:
    """All rounds of one seed, and what they found."""
    run = train(config, out / "round1", resume=True, progress=False)
    mined = out / "mined1"
    if not mined.exists():
        mine_run(run.folder.path, mined, progress=False)
    train_data, val_data = open_training_data(config)
    first = {
        "val": trouble(mine(val_data, read_results(run.predictions, val_data)).objects),
        "train": trouble(pl.read_parquet(mined / "objects.parquet")),
    }
    arms, configs = {}, second_rounds(config, mined, k)
    for arm in chosen:
        of_arm = configs[arm]
        result = train(of_arm, out / arm.replace(", ", "_"), resume=True, progress=False)
        found = {
            "val": read_results(result.predictions, val_data),
            "train": predict_dataset(result.folder.path, train_data),
        }
        arms[arm] = {
            "predictions": found["val"],
            "steps": result.rows[-1]["step"],
            "samples": samples_of(result.folder.path),
            **recalls({"val": val_data, "train": train_data}, first, found),
        }
    shares = {f"{of}_{name}": float(table[of].mean()) for name, table in first.items() for of in TROUBLES}
    return {"arms": arms, "shares": shares, "ap_of_first": run.metrics.ap}


def recalls(
    data: Mapping[str, DetectionDataset], first: Mapping[str, pl.DataFrame], found: Mapping[str, Sequence[dict]]
) -> dict[str, np.ndarray]:
    then = {name: trouble(mine(data[name], of).objects) for name, of in found.items()}
    return {f"{of}_{name}": recall(data[name], first[name], then[name], of) for name in data for of in TROUBLES}


def judged(dataset: DetectionDataset, num_train: int, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each measure of each arm: the values by seed, and the difference to the plain one."""
    arms = seeds[0]["arms"]
    predictions = {arm: [of["arms"][arm]["predictions"] for of in seeds] for arm in arms}
    values = values_on_draws(dataset, predictions, measures=("ap", "ap50"))
    for name in (f"{of}_{split}" for split in ("val", "train") for of in TROUBLES):
        values[name] = {arm: np.stack([of["arms"][arm][name] for of in seeds], axis=1) for arm in arms}
    return {
        measure: _of_arms(of, num_train if measure.endswith("_train") else len(dataset))
        for measure, of in values.items()
    }


def _of_arms(values: Mapping[str, np.ndarray], num_images: int) -> dict[str, Any]:
    apart = differences(values, num_images)
    return {
        arm: {"mean": float(of[0].mean()), "by_seed": of[0].tolist()}
        | ({} if arm not in apart else {"difference": asdict(apart[arm]), "verdict": apart[arm].verdict})
        for arm, of in values.items()
    }


def shown(found: Mapping[str, Any]) -> Table:
    table = Table("arm", *found["measures"], "negatives a positive")
    for arm in found["samples"]:
        cells = [_cell(of[arm]) for of in found["measures"].values()]
        heads = found["samples"][arm]
        said = "; ".join(f"{name} {of['positives']:.1f} : {of['negatives']:.1f}" for name, of in heads.items())
        table.add_row(arm, *cells, said)
    return table


def _cell(of: Mapping[str, Any]) -> str:
    if "difference" not in of:
        return f"{of['mean']:.3f}"
    apart = of["difference"]
    low, high = apart["simultaneous_low"], apart["simultaneous_high"]
    return f"{of['mean']:.3f}\n{apart['value']:+.3f} [{low:+.3f}, {high:+.3f}]\n{of['verdict']}"


def mean_samples(seeds: Sequence[Mapping[str, Any]], arm: str) -> dict[str, dict[str, float]]:
    of_seeds = [of["arms"][arm]["samples"] for of in seeds]
    return {
        head: {name: float(np.mean([of[head][name] for of in of_seeds])) for name in of_seeds[0][head]}
        for head in of_seeds[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="retinanet")
    parser.add_argument("--recipe", default="random")
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--min-iou", type=float, default=0.1, help="that what is re-assigned has at least")
    parser.add_argument(
        "--arms", nargs="+", choices=ARMS, default=ARMS, help="the first is what the others are held to"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--name", default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/symmetric"))
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    name = options.name or options.detector
    making.reassign_missed = partial(reassign_missed, min_iou=options.min_iou)
    config = TrainingConfig(detector=options.detector, recipe=options.recipe, epochs=options.epochs)
    configs = [replace(config, seed=seed) for seed in range(options.seeds)]
    seeds = [run_seed(of, options.out / name / f"seed{of.seed}", options.k, options.arms) for of in configs]
    train_data, val_data = open_training_data(config)
    found = {
        "machine": describe(),
        "options": {key: str(value) for key, value in vars(options).items() if key not in ("out", "result")},
        "images": {"train": len(train_data), "val": len(val_data)},
        "steps": sorted({of["arms"][arm]["steps"] for of in seeds for arm in options.arms}),
        "first_round": [{key: of[key] for key in ("ap_of_first", "shares")} for of in seeds],
        "measures": judged(val_data, len(train_data), seeds),
        "samples": {arm: mean_samples(seeds, arm) for arm in options.arms},
    }
    kept = json.loads(options.result.read_text()) if options.result.exists() else {}
    options.result.write_text(json.dumps(kept | {name: found}, indent=1) + "\n")
    Console(width=180).print(shown(found))


if __name__ == "__main__":
    main()
