"""Does a second model for the hard ones pay? python -m benchmarks.expert FOLDER --out benchmarks/results/expert.json

On RoIs (Faster R-CNN of `hardmine compare`, scenes) and on pixels (a small FCN; microscope images whose masks number
nuclei, the folder given by --nuclei, each cropped to its middle 96 pixels), at equal cost: what holds images out for a
second model trains on fewer, for as many steps less as the second model costs. FOLDER keeps what every model finds, so
that a second call only trains what is missing and measures.

    base              all images
    wider             all images, a head with at least the parameters of base and expert
    longer            all images, and a sixth more steps
    held out          four fifths of the images
    + expert          that, and an expert of what it finds hard in the other fifth
    + head of all     that, and the same head of all samples of the other fifth, hard or not
    + bank            that, and a bank of what it finds hard there
    learnt + expert   base, and an expert of what it finds hard in the images that it has learnt

Hard objects, and hard pixels, are those that a model of another seed, which is none of these, gets wrong: objects that
it does not find with a score of .5, pixels to whose class it gives less than .7. Of the others nothing is asked.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.models.segmentation import FCN

import hardmine as hm
from benchmarks.machine import describe
from hardmine.data import IGNORED, Fold, hold_out_masks
from hardmine.data.segmentation.opening import open_segmentation
from hardmine.data.transforms import collate
from hardmine.detectors.torchvision import backbones
from hardmine.evaluation import Difference, differences, judge, judge_masks, look_alike_errors, match_predictions
from hardmine.evaluation.bootstrap import resamples
from hardmine.training import TrainingConfig, load_run, train
from hardmine.training.data import open_split, open_training_data
from hardmine.training.predict import predict
from hardmine.training.processes import start_accelerator

JUDGE = 100
"""Seed of the model that says what is hard."""
FOLD = Fold(1, 5)
ON_HELD_OUT = {
    "+ expert": hm.experts.fit_expert,
    "+ head of all": lambda samples, **options: hm.experts.fit_expert(samples, probability=2.0, **options),
    "+ bank": hm.experts.fit_bank,
}
LEARNT = "learnt + expert"
MOST = 256
"""Samples of an image that is held out; of those that are learnt, five times as many, a fifth."""
ARMS = ("base", "wider", "longer", "held out", *ON_HELD_OUT, LEARNT)
Found = dict[str, Any]
"""What an arm finds, and what it costs."""


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# RoIs


def roi_config(seed: int, quick: bool, **changed: Any) -> TrainingConfig:
    return TrainingConfig(seed=seed, **{"epochs": 1 if quick else 6} | changed)


@contextmanager
def features_of(width: int) -> Iterator[None]:
    """The RoI head of the backbone `micro` this wide."""
    usual = backbones.FAMILIES["micro"]
    backbones.FAMILIES["micro"] = replace(usual, roi_features=width)
    try:
        yield
    finally:
        backbones.FAMILIES["micro"] = usual


def wider_roi_head() -> int:
    """Width with which the head has no fewer parameters than base and expert."""

    def parameters(width: int) -> int:
        with features_of(width):
            return size(hm.build("fasterrcnn", 4, backbone="micro"))

    usual = backbones.FAMILIES["micro"].roi_features
    wanted = parameters(usual) + size(hm.experts.Expert(usual, 5))
    return next(width for width in range(usual, 2 * usual) if parameters(width) >= wanted)


class Rois:
    """Arms of the detector."""

    def __init__(self, folder: Path, quick: bool):
        self.folder, self.quick = folder, quick
        self.val, self.accelerator = open_split(roi_config(0, quick), "val"), start_accelerator()

    def trained(self, name: str, seed: int, **changed: Any) -> tuple[hm.Detector, Found]:
        config = roi_config(seed, self.quick, **changed)
        run, seconds = timed(lambda: train(config, self.folder / f"{name} {seed}", resume=True, progress=False))
        detector = load_run(run.folder.path).detector
        steps = run.rows[-1]["step"]
        return detector, {"steps": steps, "seconds": seconds, "parameters": size(detector.model)}

    def found(self, detector: hm.Detector) -> Found:
        predictions, seconds = timed(lambda: predict(detector, self.val, self.accelerator, batch_size=4))
        return {"predictions": predictions, "seconds_of_val": seconds}

    def of_judge(self) -> list[dict[str, Any]]:
        return self.found(self.trained("judge", JUDGE)[0])["predictions"]

    def of_seed(self, seed: int) -> dict[str, Found]:
        epochs = 2 if self.quick else 7
        base, cost = self.trained("base", seed)
        found = {"base": cost | self.found(base)}
        with features_of(wider_roi_head()):
            wider, of_wider = self.trained("wider", seed)
            found["wider"] = of_wider | self.found(wider)
        longer, of_longer = self.trained("longer", seed, epochs=epochs)
        found["longer"] = of_longer | self.found(longer)
        held, of_held = self.trained("held out", seed, fold="1/5", epochs=epochs)
        found["held out"] = of_held | self.found(held)
        fold = open_training_data(roi_config(seed, self.quick, fold="1/5"))[1]
        for name, fit in ON_HELD_OUT.items():
            found[name] = self.with_second(held, fold, fit, of_held, seed)
        learnt = open_split(roi_config(seed, self.quick), "train")
        found[LEARNT] = self.with_second(base, learnt, hm.experts.fit_expert, cost, seed, MOST // 5)
        return found

    def with_second(
        self, detector: hm.Detector, images: Any, fit: Any, cost: Found, seed: int, most: int = MOST
    ) -> Found:
        samples, collecting = timed(lambda: hm.experts.collect(detector, self.batches(images), most=most))
        second, fitting = timed(lambda: fit(samples, seed=seed))
        hm.experts.add_expert(detector, second)
        found = self.found(detector)
        hm.experts.remove_expert(detector)
        return with_cost(cost, samples, second, collecting + fitting) | found

    def likelihood(self, seed: int) -> dict[str, float]:
        """Cross entropy of the validation images' RoIs, of what held images out and with each second model."""
        held, _ = self.trained("held out", seed, fold="1/5", epochs=2 if self.quick else 7)
        fold = open_training_data(roi_config(seed, self.quick, fold="1/5"))[1]
        samples, new = (hm.experts.collect(held, self.batches(of)) for of in (fold, self.val))
        found = {"held out": float(F.cross_entropy(new.logits, new.labels))}
        for name, fit in ON_HELD_OUT.items():
            with torch.no_grad():
                logits = fit(samples, seed=seed)(new.features, new.logits)
            found[name] = float(F.cross_entropy(logits, new.labels))
        return found

    def batches(self, images: Any) -> Iterator[Any]:
        for batch, targets in DataLoader(images, 8, collate_fn=collate):
            yield batch, [target | {"labels": target["labels"] + 1} for target in targets]

    def values(self, runs: Mapping[str, Sequence[Found]], judged: list[dict[str, Any]]) -> dict[str, Any]:
        """Measure -> arm -> (1 + R, S)."""
        truth, counts = self.val.coco_ground_truth(), resamples(len(self.val))
        hard = only_missed(truth, judged)
        values = {}
        for name, of_truth in (("ap", truth), ("ap of hard objects", hard)):
            values[name] = {
                arm: np.stack([judge(of_truth, f["predictions"]).measures(counts, ["ap"])["ap"] for f in of], axis=1)
                for arm, of in runs.items()
            }
        return values

    def more(self, runs: Mapping[str, Sequence[Found]], judged: list[dict[str, Any]]) -> dict[str, Any]:
        truth = self.val.coco_ground_truth()
        of_hard = sum(not of["iscrowd"] for of in only_missed(truth, judged)["annotations"])
        boxes = {record.image_id: of for record, of in zip(self.val.records, self.val.look_alikes, strict=True)}
        hit = {
            arm: [
                look_alike_errors(truth, f["predictions"], match_predictions(truth, f["predictions"]), boxes).to_dict()
                for f in of
            ]
            for arm, of in runs.items()
        }
        return {"images": len(self.val), "objects": len(truth["annotations"]), "hard": of_hard, "look_alikes": hit}


def only_missed(truth: dict[str, Any], judged: list[dict[str, Any]]) -> dict[str, Any]:
    """The ground truth with every object as a crowd that these predictions find with a score of .5 or more."""
    sure = [prediction for prediction in judged if prediction["score"] >= 0.5]
    annotations = [of | {"iscrowd": int(of["iscrowd"] or is_found(of, sure))} for of in truth["annotations"]]
    return truth | {"annotations": annotations}


def is_found(annotation: dict[str, Any], sure: list[dict[str, Any]]) -> bool:
    same = [
        other["bbox"]
        for other in sure
        if (other["image_id"], other["category_id"]) == (annotation["image_id"], annotation["category_id"])
    ]
    return any(overlap(annotation["bbox"], box) >= 0.5 for box in same)


def overlap(one: list[float], other: list[float]) -> float:
    width, height = (min(one[k] + one[k + 2], other[k] + other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    both = max(0.0, width) * max(0.0, height)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def with_cost(cost: Found, samples: hm.experts.HeldOutSamples, second: nn.Module, seconds: float) -> Found:
    hard = samples.hardness > 0.3
    shares = second.share(samples.features, samples.logits).detach()  # pyright: ignore[reportCallIssue]
    return {
        "steps": cost["steps"],
        "seconds": cost["seconds"],
        "seconds_of_second": seconds,
        "parameters": cost["parameters"] + size(second),
        "samples": len(samples),
        "hard_samples": int(hard.sum()),
        "share_of_hard": float(shares[hard].mean()),
        "share_of_others": float(shares[~hard].mean()),
    }


# Pixels

SIDE, BATCH, LR, CLASSES = 96, 8, 3e-3, 2


class Backbone(nn.Module):
    """Stride 2, and a view of 37 pixels."""

    def __init__(self) -> None:
        super().__init__()
        layers = [(3, 16, 2, 1), (16, 32, 1, 1), (32, 32, 1, 2), (32, 64, 1, 4)]
        self.layers = nn.Sequential(*(normalized(*layer) for layer in layers))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": self.layers(images)}


def normalized(inner: int, outer: int, stride: int, dilation: int) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer), nn.ReLU())


def fcn(width: int = 32) -> FCN:
    return FCN(Backbone(), nn.Sequential(*normalized(64, width, 1, 4), nn.Conv2d(width, CLASSES, 1)))


class Pixels:
    """Arms of the segmenter."""

    def __init__(self, data: Path, quick: bool):
        self.steps = 30 if quick else 300
        self.train, self.val = (open_segmentation(data, split, instances=True) for split in ("train", "val"))
        self.rest, self.fold = hold_out_masks(self.train, FOLD)

    def trained(self, seed: int, images: Any, steps: int, width: int = 32) -> tuple[hm.Segmenter, Found]:
        torch.manual_seed(seed)
        segmenter = hm.wrap(fcn(width), hm.recipes.random()).train()
        pixels, masks = tensors(images)
        optimizer = torch.optim.AdamW(segmenter.parameters(), LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, steps, pct_start=0.1)
        start = time.perf_counter()
        for places in orders(len(pixels), steps, seed):
            loss = segmenter(pixels[places], masks[places])["classification"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        cost = {"steps": steps, "seconds": time.perf_counter() - start, "parameters": size(segmenter.model)}
        return segmenter.eval(), cost

    @torch.no_grad()
    def found(self, segmenter: hm.Segmenter) -> Found:
        images, _ = tensors(self.val)
        scores, seconds = timed(lambda: torch.cat([segmenter.scores(part) for part in images.split(20)]))
        return {"predictions": scores.argmax(1).to(torch.uint8).tolist(), "seconds_of_val": seconds}

    def of_judge(self) -> list[Any]:
        """Of each validation image, which pixels are hard."""
        segmenter, _ = self.trained(JUDGE, self.train, self.steps)
        images, masks = tensors(self.val)
        with torch.no_grad():
            probability = torch.cat([segmenter.scores(part).softmax(1) for part in images.split(20)])
        return (probability.gather(1, masks[:, None]).squeeze(1) < 0.7).to(torch.uint8).tolist()

    def of_seed(self, seed: int) -> dict[str, Found]:
        usual, wanted = 32, size(fcn()) + size(hm.experts.Expert(32, CLASSES))
        width = next(width for width in range(usual, 2 * usual) if size(fcn(width)) >= wanted)
        base, cost = self.trained(seed, self.train, self.steps)
        held, of_held = self.trained(seed, self.rest, self.steps * 14 // 15)
        wider, of_wider = self.trained(seed, self.train, self.steps, width)
        longer, of_longer = self.trained(seed, self.train, self.steps * 7 // 6)
        found = {
            "base": cost | self.found(base),
            "wider": of_wider | self.found(wider),
            "longer": of_longer | self.found(longer),
            "held out": of_held | self.found(held),
        }
        for name, fit in ON_HELD_OUT.items():
            found[name] = self.with_second(held, self.fold, fit, of_held, seed)
        found[LEARNT] = self.with_second(base, self.train, hm.experts.fit_expert, cost, seed, MOST // 5)
        return found

    def with_second(
        self, segmenter: hm.Segmenter, images: Any, fit: Any, cost: Found, seed: int, most: int = MOST
    ) -> Found:
        pixels, masks = tensors(images)
        batches = zip(pixels.split(16), masks.split(16), strict=True)
        samples, collecting = timed(lambda: hm.experts.collect(segmenter, batches, most=most))
        second, fitting = timed(lambda: fit(samples, seed=seed))
        hm.experts.add_expert(segmenter, second)
        found = self.found(segmenter)
        hm.experts.remove_expert(segmenter)
        return with_cost(cost, samples, second, collecting + fitting) | found

    def values(self, runs: Mapping[str, Sequence[Found]], judged: list[Any]) -> dict[str, Any]:
        """Measure -> arm -> (1 + R, S)."""
        counts, hard = resamples(len(self.val)), np.array(judged, dtype=bool)
        truth = tensors(self.val)[1].numpy()
        values = {}
        for name, of_truth in (("miou", truth), ("miou of hard pixels", np.where(hard, truth, IGNORED))):
            values[name] = {
                arm: np.stack([self.miou(of_truth, f["predictions"], counts) for f in of], axis=1)
                for arm, of in runs.items()
            }
        return values

    def miou(self, truth: np.ndarray, predictions: list[Any], counts: np.ndarray) -> np.ndarray:
        pairs = zip(truth, np.array(predictions, dtype=np.uint8), strict=True)
        return judge_masks(pairs, self.val.classes, boundaries=False).measures(counts, ["miou"])["miou"]

    def more(self, runs: Mapping[str, Sequence[Found]], judged: list[Any]) -> dict[str, Any]:
        hard = np.array(judged)
        return {"images": len(self.val), "pixels": hard.size, "hard": int(hard.sum())}


@cache
def tensors(images: Any) -> tuple[Tensor, Tensor]:
    """The middles of all images (I, 3, SIDE, SIDE) as floats, and of their masks (I, SIDE, SIDE)."""
    pixels, masks = zip(*(map(middle, images[place]) for place in range(len(images))), strict=True)
    return torch.stack(pixels).float() / 255, torch.stack(masks)


def middle(image: Tensor) -> Tensor:
    top, left = ((size - SIDE) // 2 for size in image.shape[-2:])
    return image[..., top : top + SIDE, left : left + SIDE]


def orders(number: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Places of each batch: epoch after epoch in random order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(number, generator=generator) for _ in range(steps * BATCH // number + 1)])
    return iter(order[: steps * BATCH].split(BATCH))


# Measures


def measured(values: Mapping[str, Mapping[str, np.ndarray]], num_units: int) -> dict[str, Any]:
    """Of each measure: the arms by seed, and their differences to the base, and to what held images out."""
    return {
        measure: {
            "by_seed": {arm: of[0].tolist() for arm, of in arms.items()},
            "to base": told(differences(arms, num_units)),
            "to held out": told(differences({arm: arms[arm] for arm in ("held out", *ON_HELD_OUT)}, num_units)),
        }
        for measure, arms in values.items()
    }


def told(found: Mapping[str, Difference]) -> dict[str, Any]:
    return {
        arm: {
            "value": of.value,
            "interval": [of.low, of.high],
            "all at once": [of.simultaneous_low, of.simultaneous_high],
            "verdict": of.verdict,
        }
        for arm, of in found.items()
    }


def kept(file: Path, make: Callable[[], Any]) -> Any:
    """What the file holds, or what is made and put there."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(make()))
    return json.loads(file.read_text())


def run(kind: str, folder: Path, nuclei: Path, seeds: int, quick: bool) -> dict[str, Any]:
    arms = Rois(folder / kind, quick) if kind == "rois" else Pixels(nuclei, quick)
    judged = kept(folder / kind / "judge.json", arms.of_judge)
    by_seed = []
    for seed in range(seeds):
        by_seed.append(kept(folder / kind / f"seed{seed}.json", partial(arms.of_seed, seed)))
        print(kind, "seed", seed, flush=True)
    runs = {arm: [of[arm] for of in by_seed] for arm in ARMS}
    costs = {arm: [{k: v for k, v in f.items() if k != "predictions"} for f in of] for arm, of in runs.items()}
    facts = arms.more(runs, judged)
    if isinstance(arms, Rois):
        of_seed = (
            kept(folder / kind / f"likelihood{seed}.json", partial(arms.likelihood, seed)) for seed in range(seeds)
        )
        facts["cross_entropy"] = list(of_seed)
    return facts | {"measures": measured(arms.values(runs, judged), facts["images"]), "costs": costs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="a JSON file; None: nothing but what is printed")
    parser.add_argument("--only", choices=("rois", "pixels"))
    parser.add_argument("--nuclei", type=Path, help="the data of pixels; None: RoIs only")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = (given.only,) if given.only else ("rois", "pixels") if given.nuclei else ("rois",)
    results: dict[str, Any] = {"machine": describe(), "seeds": given.seeds}
    results |= {kind: run(kind, given.folder, given.nuclei, given.seeds, given.quick) for kind in kinds}
    for kind in kinds:
        show(kind, results[kind]["measures"])
    if given.out:
        given.out.write_text(json.dumps(results, indent=1) + "\n")


def show(kind: str, measures: Mapping[str, Any]) -> None:
    for measure, found in measures.items():
        print(f"\n{kind}: {measure}")
        for arm, values in found["by_seed"].items():
            seeds = ", ".join(f"{value:.3f}" for value in values)
            cells = [arm, f"{np.mean(values):.3f} ({seeds})"]
            cells += [difference_text(found[against].get(arm)) for against in ("to base", "to held out")]
            print(f"| {' | '.join(cells)} |")


def difference_text(of: Mapping[str, Any] | None) -> str:
    if of is None:
        return ""
    low, high = of["all at once"]
    return f"{of['value']:+.3f} [{low:+.3f}, {high:+.3f}], {of['verdict']}"


if __name__ == "__main__":
    main()
