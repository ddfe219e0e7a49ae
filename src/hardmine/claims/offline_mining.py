"""The claim that mining makes an imbalance of its own: negatives pile up, objects are missed, hard positives help.

Boxes are cut from images of the training split and described by histograms of oriented gradients (Dalal and Triggs,
CVPR 2005); a linear SVM tells objects from background, and is bootstrapped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.svm import LinearSVC
from torch import Tensor

from hardmine.claims.claim import Cell, Claim, Contrast, Measurement
from hardmine.claims.runs import Runs
from hardmine.core.boxes import pairwise_iou
from hardmine.data import DetectionDataset
from hardmine.mining.false_positive_bootstrap import FalsePositiveBootstrap
from hardmine.training.data import open_training_data

__all__ = ["CLAIMS", "Crops", "crops_of", "with_hard_positives"]

SIDE, CELL = 32, 8
"""Pixels of a side of what is described, and of a cell of the histograms."""
BACKGROUNDS = 40
"""Boxes of an image that are drawn anywhere; those that lie on an object are left out."""
MOST_IOU = 0.3
SIDES = (0.1, 0.4)
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Crops:
    """features: (n, d).  is_object: (n,)."""

    features: np.ndarray
    is_object: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return self.is_object.astype(int)


def crops_of(dataset: DetectionDataset, num_images: int, seed: int) -> Crops:
    """The objects of the first images, and boxes on their background."""
    rng = np.random.default_rng(seed)
    described, is_object = [], []
    for index in range(min(num_images, len(dataset))):
        image, target = dataset[index]
        objects = target["boxes"][~target["iscrowd"]].double()
        others = _on_background(rng, image.shape[-2:], target["boxes"].double())
        for box in torch.cat([objects, others]):
            described.append(_describe(image, box))
        is_object += [True] * len(objects) + [False] * len(others)
    return Crops(np.stack(described), np.array(is_object))


def _on_background(rng: np.random.Generator, size: Sequence[int], objects: Tensor) -> Tensor:
    height, width = size
    side = min(size) * rng.uniform(*SIDES, (BACKGROUNDS, 1))
    corner = rng.uniform(0, 1, (BACKGROUNDS, 2)) * (np.array([width, height]) - side)
    boxes = torch.from_numpy(np.concatenate([corner, corner + side], axis=1))
    if not len(objects):
        return boxes
    return boxes[pairwise_iou(objects, boxes).amax(dim=0) < MOST_IOU]


def _describe(image: Tensor, box: Tensor) -> np.ndarray:
    from skimage.feature import hog

    left, top, right, bottom = (int(v) for v in (*box[:2].floor(), *box[2:].ceil()))
    part = image[:, max(0, top) : max(top + 1, bottom), max(0, left) : max(left + 1, right)].float().mean(dim=0)
    resized = F.interpolate(part[None, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0]
    return hog(resized.numpy(), orientations=9, pixels_per_cell=(CELL, CELL), cells_per_block=(2, 2))


def with_hard_positives(learnt: Crops, rows: np.ndarray) -> LinearSVC:
    """The classifier of these rows, trained again with each object that it misses counted once more, so many rounds."""
    features, labels = learnt.features[rows], learnt.labels[rows]
    weights = np.ones(len(rows))
    model = LinearSVC(random_state=0).fit(features, labels)
    for _ in range(ROUNDS):
        weights += (labels == 1) & (model.predict(features) == 0)
        model = LinearSVC(random_state=0).fit(features, labels, sample_weight=weights)
    return model


def _recall(model: LinearSVC | FalsePositiveBootstrap, crops: Crops) -> float:
    return float(model.predict(crops.features)[crops.is_object].mean())


def _false(model: LinearSVC | FalsePositiveBootstrap, crops: Crops) -> float:
    """Share of backgrounds taken for objects."""
    return float(model.predict(crops.features)[~crops.is_object].mean())


def _bootstrapped(runs: Runs, seed: int) -> dict[str, float]:
    train_data, val_data = open_training_data(runs.scale.config(Cell("fasterrcnn", "random"), 0))
    learnt, other = (crops_of(data, runs.scale.images, seed) for data in (train_data, val_data))
    first, last = (FalsePositiveBootstrap(rounds=num, random_state=seed) for num in (0, ROUNDS))
    for miner in (first, last):
        miner.fit(learnt.features, learnt.labels)
    symmetric = with_hard_positives(learnt, last.working_set_)
    named = {"first": first, "mined": last, "mined, with hard positives": symmetric}
    num_positives = int(learnt.is_object.sum())
    ratios = {
        name: miner.history_[-1]["negatives"] / num_positives for name, miner in (("first", first), ("mined", last))
    }
    return {
        **{f"negatives a positive, {name}": ratio for name, ratio in ratios.items()},
        **{f"recall, {name}": _recall(model, other) for name, model in named.items()},
        **{f"backgrounds taken for objects, {name}": _false(model, other) for name, model in named.items()},
    }


def measure(runs: Runs) -> Measurement:
    """Negatives a positive grow, recall on other images falls, and hard positives bring it back."""
    found = [_bootstrapped(runs, seed) for seed in runs.seeds]
    numbers = {name: np.array([of[name] for of in found]) for name in found[0]}
    growth = np.log(numbers["negatives a positive, mined"] / numbers["negatives a positive, first"])
    lost = numbers["recall, mined"] - numbers["recall, first"]
    back = numbers["recall, mined, with hard positives"] - numbers["recall, mined"]
    contrasts = [
        Contrast("log of negatives a positive: mined / first", growth),
        Contrast("recall of other objects: mined - first", lost, "below"),
        Contrast("recall of other objects: with hard positives - without", back),
    ]
    return Measurement(contrasts, numbers)


CLAIMS = (
    Claim(
        slug="mining-makes-imbalance",
        ids=("004-10", "004-12", "004-13"),
        words="Mining negatives alone makes an imbalance of its own: positives become few beside them and objects are "
        "missed; hard positives, put back into the set as well, bring them back.",
        source="practice of hard negative mining (Sung and Poggio, PAMI 1998; Felzenszwalb et al., PAMI 2010)",
        published="no figure",
        measure=measure,
        notes="A linear SVM on gradients of boxes cut from images, bootstrapped for three rounds from as many random "
        "negatives as there are objects; recall and errors on boxes of other images.",
    ),
)
