"""How well planted errors of masks are found, beside cleanlab: python -m benchmarks.mask_suspects DATA FOLDER

DATA is `scenes`, or a segmentation data set (--instances where its masks number objects). Errors are planted in regions
of masks, each kind in a twentieth of them; boosted trees on features of each pixel's surroundings learn the wrong masks
without each of three folds, and predict that fold. FOLDER keeps the probabilities, so that a second call only measures.
Needs cleanlab and pandas.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from cleanlab.segmentation import filter as peer_filter, rank as peer_rank
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from hardmine.data import IGNORED, Fold, hold_out_masks, open_segmentation, with_mask_errors
from hardmine.data.segmentation.label_errors import MASK_ERROR_KINDS, WithMaskErrors
from hardmine.data.segmentation.masks import HeldMask
from hardmine.data.segmentation.records import SegmentationDataset, SegmentationPart
from hardmine.evaluation import judge_masks
from hardmine.mining.masks import pixel_suspicion, suspect_masks

FOLDS, PIXELS = 3, 500


class Held(SegmentationDataset):
    """Wrong masks, held in memory: each is asked for many times."""

    def __init__(self, spoilt: WithMaskErrors):
        records = [replace(record, mask=HeldMask(spoilt.mask(place))) for place, record in enumerate(spoilt.records)]
        super().__init__(spoilt.name, spoilt.split, spoilt.classes, records)


def features(pixels: np.ndarray) -> np.ndarray:
    """(H, W, F): brightness, edges and texture at several scales, of a picture brought to mean 0 and deviation 1."""
    grey = pixels.mean(axis=2)
    scaled = (grey - grey.mean()) / max(1.0, float(grey.std()))
    return multiscale_basic_features(scaled.astype(np.float32), sigma_min=1, sigma_max=8)


def train(dataset: SegmentationPart, seed: int) -> HistGradientBoostingClassifier:
    """Boosted trees on random pixels of every image."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for place in range(len(dataset)):
        mask = dataset.mask(place).reshape(-1)
        chosen = rng.choice(np.flatnonzero(mask != IGNORED), PIXELS)
        rows.append(features(dataset.pixels(place)).reshape(mask.size, -1)[chosen])
        labels.append(mask[chosen])
    model = HistGradientBoostingClassifier(max_iter=60, random_state=seed)
    return model.fit(np.concatenate(rows), np.concatenate(labels))


def probabilities(model: HistGradientBoostingClassifier, pixels: np.ndarray, num_classes: int) -> np.ndarray:
    found = np.zeros((num_classes, pixels.shape[0] * pixels.shape[1]), dtype=np.float16)
    found[model.classes_] = model.predict_proba(features(pixels).reshape(found.shape[1], -1)).T
    return found.reshape(num_classes, *pixels.shape[:2])


def predict_out_of_fold(dataset: WithMaskErrors, folder: Path) -> list[np.ndarray]:
    """Of each image of the data set, by a model that did not learn it."""
    file = folder / "probabilities.npz"
    if not file.is_file():
        found: dict[int, np.ndarray] = {}
        for number in range(1, FOLDS + 1):
            learnt, held = hold_out_masks(dataset, Fold(number, FOLDS))
            model, num = train(learnt, number), len(dataset.classes)
            found |= {place: probabilities(model, held.pixels(of), num) for of, place in enumerate(held.places)}
            print(f"fold {number} predicted", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{str(place): of for place, of in found.items()})
    with np.load(file) as saved:
        return [_normalised(saved[str(place)]) for place in range(len(dataset))]


def _normalised(halves: np.ndarray) -> np.ndarray:
    wide = halves.astype(np.float32)
    return wide / wide.sum(axis=0)


def ranked(truth: np.ndarray, score: np.ndarray) -> dict[str, float]:
    return {"auroc": float(roc_auc_score(truth, score)), "ap": float(average_precision_score(truth, score))}


def of_pixels(dataset: Held, found: list[np.ndarray], wrong: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Self-confidence ours and theirs, and what their search calls an issue, image by image as sizes differ."""
    ours, theirs, issues = [], [], []
    for place, of_image in enumerate(found):
        labels = dataset.mask(place).astype(np.int64)
        ours.append(pixel_suspicion(labels, of_image).reshape(-1))
        _, scores = peer_rank.get_label_quality_scores(labels[None], of_image[None], verbose=False)
        theirs.append(1 - scores.reshape(-1))
    for labels, of_images in by_size(dataset, found):
        issues += [of.reshape(-1) for of in peer_filter.find_label_issues(labels, of_images, n_jobs=1, verbose=False)]
    truth, said = np.concatenate([of.reshape(-1) for of in wrong]), np.concatenate(issues)
    order = np.concatenate([of.reshape(-1) for of in sorted_by_size(dataset, wrong)])
    hits = float((order & said).sum())
    return {
        "ours": ranked(truth, np.concatenate(ours)),
        "cleanlab scores": ranked(truth, np.concatenate(theirs)),
        "cleanlab issues": {"precision": hits / max(1, said.sum()), "recall": hits / order.sum()},
    }


def sorted_by_size(dataset: Held, of: list[np.ndarray]) -> list[np.ndarray]:
    return [of[place] for places in groups(dataset) for place in places]


def groups(dataset: Held) -> list[list[int]]:
    sizes: dict[tuple[int, int], list[int]] = {}
    for place, record in enumerate(dataset.records):
        sizes.setdefault((record.width, record.height), []).append(place)
    return list(sizes.values())


def by_size(dataset: Held, found: list[np.ndarray]):
    for places in groups(dataset):
        yield np.stack([dataset.mask(p) for p in places]).astype(np.int64), np.stack([found[p] for p in places])


def of_regions(dataset: Held, found: list[np.ndarray], wrong: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """A region is a hit if at least half of the pixels of its box that are suspect for the same reason are wrong."""
    place_of = {record.image_id: place for place, record in enumerate(dataset.records)}
    regions = suspect_masks(dataset, found).regions
    hit = []
    for image_id, predicted, x1, y1, x2, y2 in regions.select(
        "image_id", "predicted", "x1", "y1", "x2", "y2"
    ).iter_rows():
        place = place_of[image_id]
        part = (slice(y1, y2), slice(x1, x2))
        labels = dataset.mask(place)[part]
        suspect = (found[place][:, *part].argmax(0) == dataset.classes.index(predicted)) & (
            labels != dataset.classes.index(predicted)
        )
        hit.append(wrong[place][part][suspect].mean() >= 0.5)
    is_hit = np.array(hit)
    keys = {name: regions[name].to_numpy() for name in ("margin", "pixels", "depth", "score")}
    keys["margin x pixels"] = keys["margin"] * keys["pixels"]
    top = {f"precision of the first {top}": float(is_hit[:top].mean()) for top in (20, 100)}
    return {name: ranked(is_hit, key) for name, key in keys.items()} | {
        "share": {"hits": float(is_hit.mean())},
        "top": top,
    }


def of_images(dataset: Held, found: list[np.ndarray], wrong: list[np.ndarray]) -> dict[str, dict[str, float]]:
    truth = np.array([of.any() for of in wrong])
    images = suspect_masks(dataset, found).images
    peer = np.zeros(len(truth))
    for places, (labels, of) in zip(groups(dataset), by_size(dataset, found), strict=True):
        peer[places] = 1 - peer_rank.get_label_quality_scores(labels, of, verbose=False)[0]
    return {
        "ours": ranked(truth, images["score"].to_numpy()),
        "suspect pixels": ranked(truth, images["suspect_pixels"].to_numpy()),
        "mean self-confidence": ranked(truth, -images["self_confidence"].to_numpy()),
        "cleanlab": ranked(truth, peer),
        "share": {"with errors": float(truth.mean())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--instances", action="store_true")
    parser.add_argument("--images", type=int, help="only the first so many")
    parser.add_argument("--share", type=float, default=0.05)
    given = parser.parse_args()
    clean = open_segmentation(given.data, given.split, instances=given.instances)
    clean = SegmentationPart(clean, range(min(len(clean), given.images or len(clean))), clean.split)
    dataset = with_mask_errors(clean, dict.fromkeys(MASK_ERROR_KINDS, given.share))
    found = predict_out_of_fold(dataset, given.folder)
    wrong = [dataset.mask(place) != dataset.true_mask(place) for place in range(len(dataset))]
    held = Held(dataset)
    results = {
        "images": of_images(held, found, wrong),
        "regions": of_regions(held, found, wrong),
        "pixels": of_pixels(held, found, wrong),
        "miou": float(
            judge_masks(((dataset.true_mask(p), f.argmax(0)) for p, f in enumerate(found)), held.classes).measures(
                np.ones((1, len(held)), int), ["miou"]
            )["miou"][0]
        ),
    }
    text = json.dumps(results, indent=1)
    (given.folder / "results.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
