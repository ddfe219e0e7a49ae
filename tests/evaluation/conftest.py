"""Random COCO ground truth and predictions: ties, crowds, missing classes, images without objects, sizes at borders."""

import numpy as np
import pytest

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="session")
def random_case():
    return _random_case


@pytest.fixture(scope="session")
def repeated():
    return _repeated


@pytest.fixture(scope="session")
def sized_case():
    return _sized_case


def _sized_case(seed: int, *, crowd: float = 0.15, **options):
    """As `_random_case`, of all sizes and often of just 32² or 96² pixels, in the area alone or in the box too."""
    rng = np.random.default_rng(seed)
    ground_truth, predictions = _random_case(seed, crowd=crowd, **options)
    for record in (*ground_truth["annotations"], *predictions):
        sides = rng.choice([16.0, 32.0, 96.0, 128.0], 2) if rng.random() < 0.5 else np.full(2, rng.choice([32.0, 96.0]))
        record["bbox"] = [*(rng.integers(0, 8, 2) * 8.0).tolist(), *sides.tolist()]
    for annotation in ground_truth["annotations"]:
        box_area = annotation["bbox"][2] * annotation["bbox"][3]
        annotation["area"] = float(rng.choice([box_area, box_area * 0.6, 32.0**2, 96.0**2]))
    return ground_truth, predictions


def _random_case(seed: int, *, num_images: int = 12, crowd: float = 0.15, jitter: float = 6.0, per_image: int = 6):
    """A COCO dictionary and predictions near its objects and elsewhere; boxes and scores are coarse, so ties happen."""
    rng = np.random.default_rng(seed)
    images = [{"id": 10 + 3 * i, "width": 200, "height": 200} for i in range(num_images)]
    categories = [{"id": 5 * c + 2, "name": name} for c, name in enumerate(CLASSES)]
    annotations, predictions = [], []
    for image in images:
        for box in _boxes(rng, rng.integers(0, per_image)):
            category = int(rng.choice([2, 7]))  # no owl is labelled
            annotations.append(_annotation(len(annotations), image["id"], category, box, rng.random() < crowd))
            for _ in range(rng.integers(0, 3)):
                moved = np.maximum(np.round(box + rng.normal(0, jitter, 4) / 2), 1)
                predictions.append(_prediction(rng, image["id"], category, moved))
        for box in _boxes(rng, rng.integers(0, per_image)):
            predictions.append(_prediction(rng, image["id"], int(rng.choice([2, 7, 12])), box))
    return {"images": images, "categories": categories, "annotations": annotations}, predictions


def _repeated(ground_truth: dict, predictions: list[dict], counts) -> tuple[dict, list[dict]]:
    """The data set with image i written `counts[i]` times, in the order of the copies' images."""
    copies = [
        (image, 1000 * image["id"] + k)
        for image, n in zip(ground_truth["images"], counts, strict=True)
        for k in range(n)
    ]
    annotations = [
        a | {"image_id": new}
        for image, new in copies
        for a in ground_truth["annotations"]
        if a["image_id"] == image["id"]
    ]
    return (
        ground_truth
        | {
            "images": [image | {"id": new} for image, new in copies],
            "annotations": [a | {"id": i} for i, a in enumerate(annotations)],
        },
        [p | {"image_id": new} for image, new in copies for p in predictions if p["image_id"] == image["id"]],
    )


def _boxes(rng, n):
    return np.hstack([rng.integers(0, 140, (n, 2)), rng.integers(8, 60, (n, 2))]).astype(float)


def _annotation(i, image_id, category_id, box, is_crowd):
    area = float(box[2] * box[3])
    return {
        "id": i,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box.tolist(),
        "area": area,
        "iscrowd": int(is_crowd),
    }


def _prediction(rng, image_id, category_id, box):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box.tolist(),
        "score": float(np.round(rng.random(), 1)),
    }
