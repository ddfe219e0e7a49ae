"""Built-in scenes: handwritten digits on photographs, where the hard negatives are known by construction.

Some digits are classes, with a long tail; others look like them and are not labelled. A detector meets a look-alike
far less often than plain background, and mistakes it far more often: that is the imbalance that hard example mining is
about, and here everything it finds can be checked. Nothing is downloaded: scikit-learn carries the digits in its
wheel, scikit-image the photographs.

    labelled    3 (45 %)    9 (28 %)    1 (17 %)    6 (10 %)
    look-alike  8           4           7           5

An image depends only on (seed, split, its index, size), so any subset in any order is the same. Train and val share no
digit exemplar and no pixel of a photograph: train takes the left of each, val the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image

from hardmine.data.label_errors import PlantedError, is_apart, plant_errors
from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.data.splits import choose_split
from hardmine.errors import ConfigError, DataError

__all__ = ["CLASS_DIGITS", "LOOK_ALIKE_DIGITS", "SCENES", "SCENE_CLASSES", "SCENE_SPLITS", "Scenes", "open_scenes"]

SCENES = "scenes"
SCENE_SPLITS = ("train", "val")
SCENE_CLASSES = ("three", "nine", "one", "six")
CLASS_DIGITS = (3, 9, 1, 6)
LOOK_ALIKE_DIGITS = (8, 4, 7, 5)

_LOOK_ALIKE_INK = 128
_CLASS_SHARES = (0.45, 0.28, 0.17, 0.10)
_EMPTY_SHARE = 0.1  # images without any labelled object
_LOOK_ALIKES_PER_IMAGE = 1.0
_MOST_OBJECTS = 4
_HEIGHTS = (0.11, 0.38)  # of a digit, as a share of the image's side
_TRAIN_SHARE = 0.6  # of each photograph's width, and of the exemplars of each digit
_NUM_IMAGES = {"train": 480, "val": 120}
_PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")


@dataclass(frozen=True, slots=True)
class _Scene:
    pixels: np.ndarray  # (size, size, 3) uint8
    record: ImageRecord
    look_alikes: np.ndarray  # (m, 4) float32
    ink: np.ndarray  # (size, size) uint8: 0, or 1 + the label of the digit, or _LOOK_ALIKE_INK of one that has none


class Scenes(DetectionDataset):
    """Scenes held in memory, and what a real data set cannot tell of itself.

    look_alikes: per image, (m, 4) float32 boxes of unlabelled digits that look like a class.
    masks: per image, (size, size) uint8, what each pixel is: 0 nothing labelled, or 1 + the label of the digit.
    look_alike_masks: per image, (size, size) bool, which pixels are of unlabelled digits.
    true_records: the records before errors were planted.   planted: every planted error.
    """

    def __init__(self, split: str, scenes: Sequence[_Scene], label_errors: float, seed: int):
        truth = tuple(scene.record for scene in scenes)
        outcomes = [
            plant_errors(
                scene.record, label_errors, len(SCENE_CLASSES), _generator(seed, split, index, 1), scene.look_alikes
            )
            for index, scene in enumerate(scenes)
        ]
        category_ids = range(1, len(SCENE_CLASSES) + 1)
        super().__init__(SCENES, split, SCENE_CLASSES, category_ids, [record for record, _ in outcomes])
        self.true_records: tuple[ImageRecord, ...] = truth
        self.planted: tuple[PlantedError, ...] = tuple(error for _, errors in outcomes for error in errors)
        self.look_alikes: tuple[np.ndarray, ...] = tuple(scene.look_alikes for scene in scenes)
        self._pixels, self._ink = [scene.pixels for scene in scenes], [scene.ink for scene in scenes]

    def pixels(self, index: int) -> np.ndarray:
        return self._pixels[index].copy()  # other Scenes share them

    @property
    def masks(self) -> tuple[np.ndarray, ...]:
        return tuple(np.where(ink == _LOOK_ALIKE_INK, 0, ink).astype(np.uint8) for ink in self._ink)

    @property
    def look_alike_masks(self) -> tuple[np.ndarray, ...]:
        return tuple(ink == _LOOK_ALIKE_INK for ink in self._ink)


def open_scenes(
    split: str = "train", num_images: int | None = None, seed: int = 0, size: int = 128, label_errors: float = 0.0
) -> Scenes:
    """Generates the scenes of a split ("train", by default 480 images, or "val", 120), each size x size pixels.

    Args: label_errors: the share of objects that meet a label error (see `label_errors.py`); the pixels stay the same.
    Raises: ConfigError: no image, images too small for digits, a fraction outside 0..1.  DataError: no such split.
    """
    split = choose_split(split, None, SCENE_SPLITS, SCENES)
    num_images = _NUM_IMAGES[split] if num_images is None else num_images
    if num_images < 1 or size < 64 or seed < 0:
        raise ConfigError(
            f"scenes: num_images={num_images}, size={size}, seed={seed}; expected at least 1 image of at least "
            "64 pixels and a seed that is not negative"
        )
    return Scenes(split, _draw_scenes(seed, split, num_images, size), label_errors, seed)


def _generator(seed: int, split: str, index: int, stream: int) -> np.random.Generator:
    """Randomness of one image; streams keep planted errors from changing the pixels."""
    return np.random.default_rng([seed, SCENE_SPLITS.index(split), index, stream])


@lru_cache(maxsize=2)  # one of each split: the runs of a comparison open the same again and again
def _draw_scenes(seed: int, split: str, num_images: int, size: int) -> tuple[_Scene, ...]:
    return tuple(_draw_scene(seed, split, index, size) for index in range(num_images))


def _draw_scene(seed: int, split: str, index: int, size: int) -> _Scene:
    rng = _generator(seed, split, index, 0)
    canvas, ink = _background(rng, split, size).astype(np.float32), np.zeros((size, size), dtype=np.uint8)
    labels = _draw_labels(rng)
    num_look_alikes = min(int(rng.poisson(_LOOK_ALIKES_PER_IMAGE)), _MOST_OBJECTS)
    digits = [CLASS_DIGITS[label] for label in labels] + rng.choice(LOOK_ALIKE_DIGITS, num_look_alikes).tolist()
    placed = np.zeros((0, 4), dtype=np.float32)
    kept = []  # the places in `digits` that found room
    for place, digit in enumerate(digits):
        value = labels[place] + 1 if place < len(labels) else _LOOK_ALIKE_INK
        box = _place_digit((canvas, ink), value, placed, digit, rng, split)
        if box is not None:
            placed = np.concatenate([placed, [box]])
            kept.append(place)
    is_object = np.array([place < len(labels) for place in kept], dtype=bool)
    record = ImageRecord(
        image_id=index + 1,
        file=None,
        width=size,
        height=size,
        boxes=placed[is_object],
        labels=np.array([labels[place] for place in kept if place < len(labels)], dtype=np.int64),
        is_crowd=np.zeros(int(is_object.sum()), dtype=bool),
    )
    return _Scene(np.clip(canvas, 0, 255).astype(np.uint8), record, placed[~is_object], ink)


def _draw_labels(rng: np.random.Generator) -> list[int]:
    if rng.random() < _EMPTY_SHARE:
        return []
    return rng.choice(len(CLASS_DIGITS), size=int(rng.integers(1, _MOST_OBJECTS + 1)), p=_CLASS_SHARES).tolist()


def _background(rng: np.random.Generator, split: str, size: int) -> np.ndarray:
    """A random square of a random photograph of the split, flipped, brighter or darker: (size, size, 3) float."""
    photographs = _photographs(split)
    photograph = photographs[int(rng.integers(len(photographs)))]
    height, width = photograph.shape[:2]
    side = int(rng.integers(min(size, height, width), min(height, width, 2 * size) + 1))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    square = photograph[top : top + side, left : left + side]
    square = square[:, ::-1] if rng.random() < 0.5 else square
    resized = np.asarray(Image.fromarray(np.ascontiguousarray(square)).resize((size, size), Image.Resampling.BILINEAR))
    return resized * rng.uniform(0.7, 1.15)


def _place_digit(
    onto: tuple[np.ndarray, np.ndarray],
    value: int,
    placed: np.ndarray,
    digit: int,
    rng: np.random.Generator,
    split: str,
) -> np.ndarray | None:
    """Draws a digit where it touches no other, and returns its box; None, and nothing drawn, if there is no room.

    onto: the picture, and the map of what each pixel is, which gets the value where ink covers a pixel by half.
    """
    canvas, drawn = onto
    size = canvas.shape[0]
    low, high = np.log(_HEIGHTS)
    ink = _stamp(rng, digit, split, size * np.exp(rng.uniform(low, high)))  # (h, w) in [0, 1]
    height, width = ink.shape
    for _ in range(20):
        left, top = (int(rng.integers(size - side + 1)) for side in (width, height))
        box = np.array([left, top, left + width, top + height], dtype=np.float32)
        if is_apart(box, placed):
            patch = canvas[top : top + height, left : left + width]
            patch += ink[..., None] * (_colour(rng, patch) - patch)
            drawn[top : top + height, left : left + width][ink >= ink.max() / 2] = value
            return box
    return None


def _stamp(rng: np.random.Generator, digit: int, split: str, height: float) -> np.ndarray:
    """A random exemplar of the digit, enlarged smoothly, turned a little, cropped to its ink: (h, w) in [0, 1]."""
    exemplars = _exemplars(digit, split)
    small = np.pad(exemplars[int(rng.integers(len(exemplars)))], 2)
    side = round(height * small.shape[0] / 8)
    large = Image.fromarray((small * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    turned = np.asarray(large.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    ink = np.clip((turned - 0.3) / 0.35, 0, 1)  # strokes with an edge, where plain enlarging leaves a blur
    rows, columns = np.flatnonzero((ink > 0.2).any(axis=1)), np.flatnonzero((ink > 0.2).any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * rng.uniform(0.75, 1.0)


def _colour(rng: np.random.Generator, patch: np.ndarray) -> np.ndarray:
    """A colour that stands out from the patch: away from its mean brightness, with a random tint. (3,) float."""
    mean = patch.mean()
    contrast = rng.uniform(60, 130) * (1 if mean < 128 else -1)
    return np.clip(mean + contrast + rng.uniform(-30, 30, 3), 0, 255)


@cache
def _photographs(split: str) -> tuple[np.ndarray, ...]:
    """The split's part of each photograph, (H, W, 3) uint8.

    Raises: DataError: scikit-image does not carry one of them.
    """
    import skimage.data

    def part(name: str) -> np.ndarray:
        try:
            photograph = getattr(skimage.data, name)()
        except (AttributeError, ImportError, OSError) as error:
            raise DataError(
                f"scikit-image does not carry {name!r} ({error}); install scikit-image 0.25 or 0.26"
            ) from error
        colour = photograph if photograph.ndim == 3 else np.repeat(photograph[..., None], 3, axis=2)
        border = round(colour.shape[1] * _TRAIN_SHARE)
        return colour[:, :border] if split == "train" else colour[:, border:]

    return tuple(part(name) for name in _PHOTOGRAPHS)


@cache
def _exemplars(digit: int, split: str) -> np.ndarray:
    """The split's handwritten exemplars of the digit, (n, 8, 8) in [0, 1]."""
    from sklearn.datasets import load_digits

    flat, digits = load_digits(return_X_y=True)
    images = flat[digits == digit].reshape(-1, 8, 8) / 16
    border = round(len(images) * _TRAIN_SHARE)
    return images[:border] if split == "train" else images[border:]
