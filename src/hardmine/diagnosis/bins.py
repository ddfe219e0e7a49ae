"""Into which bin a sample falls, of every table. Bins are arithmetic: no loop, no edges to be copied to a device.

| table | bins |
|---|---|
| iou | largest IoU with an object: below .05, up to .1, then tenths |
| score | largest score of a foreground class, by tenths |
| object_size | of the sample's object, COCO's: areas below 32², up to 96², above; negatives have none |
| class | of the sample's object; negatives are background |
| loss_decile | a fine logarithmic histogram of its cross entropy, of which tenths of the samples are made at the end |
| level | stride of the pyramid's level |

Of pixels:

| table | bins |
|---|---|
| class | of its label |
| contour_distance | how many pixels away the next one with another label is: 1, 2, up to 4, 8, 16, more |
| score | of the true class, by tenths |
| loss_decile | as above |

A value on an edge belongs to the bin above it.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.diagnosis.look import POSITIVE, Look, PixelLook

__all__ = [
    "CONTOUR_BINS",
    "IOU_BINS",
    "LOW_IOU",
    "NO_OBJECT",
    "NUM_FINE",
    "NUM_LEVELS",
    "SCORE_BINS",
    "SIZES",
    "bins_of",
    "contour_bin",
    "fine_bin",
    "fine_values",
    "names_of_bins",
    "num_bins",
    "num_pixel_bins",
    "pixel_bins_of",
    "size_of_area",
]

LOW_IOU = 0.05
"""Below it lies what random sampling mostly takes; it has a bin of its own."""
SMALL, LARGE = 32**2, 96**2
CONTOUR_BINS = ("1", "2", "3-4", "5-8", "9-16", "17 or more")
SIZES = ("small", "medium", "large")
NO_OBJECT = "background"
NUM_LEVELS = 16
"""Strides from 1 to 2¹⁵."""
FEWEST_OCTAVES, MOST_OCTAVES, PER_OCTAVE = -40, 24, 16
NUM_FINE = (MOST_OCTAVES - FEWEST_OCTAVES) * PER_OCTAVE
"""Bins of a fine histogram: each 4.4 % wide, from 2⁻⁴⁰ to 2²⁴; what is beyond is in the outermost."""


def names_of_bins(edges: Sequence[float]) -> tuple[str, ...]:
    """Of bins of [0, 1] between these edges: `.05-.1`."""
    names = [f"{edge:g}".replace("0.", ".") for edge in (0, *edges, 1)]
    return tuple(f"{low}-{high}" for low, high in pairwise(names))


TENTHS = tuple(place / 10 for place in range(1, 10))
SCORE_BINS = names_of_bins(TENTHS)
IOU_BINS = names_of_bins((LOW_IOU, *TENTHS))


def num_bins(num_classes: int) -> dict[str, int]:
    """How many bins each table has; of loss_decile those of the fine histogram."""
    return {
        "iou": len(IOU_BINS),
        "object_size": len(SIZES) + 1,
        "class": num_classes + 1,
        "score": len(SCORE_BINS),
        "loss_decile": NUM_FINE,
        "level": NUM_LEVELS,
    }


def num_pixel_bins(num_classes: int) -> dict[str, int]:
    """How many bins each table of pixels has; of loss_decile those of the fine histogram."""
    return {
        "class": num_classes,
        "contour_distance": len(CONTOUR_BINS),
        "score": len(SCORE_BINS),
        "loss_decile": NUM_FINE,
    }


def pixel_bins_of(look: PixelLook) -> dict[str, Tensor]:
    """The bin of every pixel in every table, (B, N) int64 each."""
    return {
        "class": look.label.clamp_min(0),
        "contour_distance": look.contour,
        "score": _tenth(look.score),
        "loss_decile": fine_bin(look.cross_entropy),
    }


def contour_bin(labels: Tensor) -> Tensor:
    """How far the next pixel with another label is, (B, H, W) places in `CONTOUR_BINS`, of labels (B, H, W).

    Distances are of rows or columns, whichever are more; what is ignored is a label, too, and outside the image is
    none. Windows grow by what was looked at before, so that few rows and columns are read.
    """
    highest = lowest = labels.unsqueeze(1).float()
    place = torch.zeros_like(labels)
    for step in (1, 1, 2, 4, 8):  # to distances of 1, 2, 4, 8, 16
        highest, lowest = _largest_around(highest, step), -_largest_around(-lowest, step)
        place += (highest == lowest).squeeze(1)
    return place


def _largest_around(values: Tensor, distance: int) -> Tensor:
    width, beside = 2 * distance + 1, distance
    rows = F.max_pool2d(values, (width, 1), stride=1, padding=(beside, 0))
    return F.max_pool2d(rows, (1, width), stride=1, padding=(0, beside))


def bins_of(look: Look, num_classes: int) -> dict[str, Tensor]:
    """The bin of every sample in every table, (B, N) int64 each; without levels where the head has none."""
    is_positive = look.kind == POSITIVE
    size = size_of_area(look.areas).gather(1, look.matched.clamp_min(0))
    found = {
        "iou": torch.where(look.iou < LOW_IOU, 0, _tenth(look.iou) + 1),
        "object_size": torch.where(is_positive, size, len(SIZES)),
        "class": torch.where(is_positive, look.label, num_classes),
        "score": _tenth(look.score),
        "loss_decile": fine_bin(look.cross_entropy),
    }
    return found if look.level is None else found | {"level": look.level.clamp(0, NUM_LEVELS - 1)}


def size_of_area(areas: Tensor) -> Tensor:
    """Place in `SIZES` of areas in square pixels."""
    return (areas >= SMALL).long() + (areas > LARGE).long()


def fine_bin(values: Tensor) -> Tensor:
    """Place in a fine histogram, of values from 0 up."""
    octave = values.clamp_min(torch.finfo(values.dtype).tiny).log2()
    return ((octave - FEWEST_OCTAVES) * PER_OCTAVE).floor().clamp(0, NUM_FINE - 1).long()


def fine_values() -> Tensor:
    """The middle of each bin of a fine histogram, (NUM_FINE,)."""
    return torch.exp2((torch.arange(NUM_FINE, dtype=torch.float64) + 0.5) / PER_OCTAVE + FEWEST_OCTAVES)


def _tenth(values: Tensor) -> Tensor:
    return (values * 10).floor().clamp(0, 9).long()
