import numpy as np
import pytest
import torch

from hardmine.core.samples import IGNORE
from hardmine.diagnosis.bins import (
    IOU_BINS,
    NUM_FINE,
    SCORE_BINS,
    SIZES,
    bins_of,
    contour_bin,
    fine_bin,
    fine_values,
    num_bins,
    num_pixel_bins,
    pixel_bins_of,
    size_of_area,
)
from hardmine.diagnosis.look import look_at_pixels
from tests.diagnosis.looks import NUM_CLASSES, bin_by_loop, random_look

NAMES = {
    "iou": IOU_BINS,
    "score": SCORE_BINS,
    "object_size": (*SIZES, "background"),
    "class": ("0", "1", "2", "background"),
    "level": tuple(f"stride {2**k}" for k in range(16)),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_sample_is_in_the_bin_that_its_words_say(name):
    look = random_look()
    places = bins_of(look, NUM_CLASSES)[name]
    for b, n in [(b, n) for b in range(look.kind.shape[0]) for n in range(look.kind.shape[1])]:
        assert NAMES[name][places[b, n]] == bin_by_loop(name, look, b, n)


def test_every_table_has_room_for_its_bins():
    sizes = num_bins(NUM_CLASSES)
    for name, place in bins_of(random_look(), NUM_CLASSES).items():
        assert place.min() >= 0
        assert place.max() < sizes[name]


def test_a_head_without_levels_has_no_such_table():
    assert "level" not in bins_of(random_look(with_levels=False), NUM_CLASSES)


def test_borders_are_of_the_bin_above_and_those_of_sizes_coco_s():
    assert size_of_area(torch.tensor([1023.9, 1024, 9216, 9217])).tolist() == [0, 1, 1, 2]
    assert (IOU_BINS[0], IOU_BINS[1], IOU_BINS[-1]) == ("0-.05", ".05-.1", ".9-1")


def test_a_fine_bin_is_within_a_twentieth_of_its_values():
    values = torch.logspace(-10, 6, 1000)
    middles = fine_values()[fine_bin(values)]
    assert ((middles / values - 1).abs() < 0.05).all()
    assert fine_bin(torch.tensor([0.0, 1e30])).tolist() == [0, NUM_FINE - 1]


def distance_by_loop(labels: torch.Tensor, y: int, x: int) -> int:
    """Rows or columns to the next pixel with another label; more than the image is large where there is none."""
    others = [
        max(abs(y - row), abs(x - column))
        for row in range(labels.shape[0])
        for column in range(labels.shape[1])
        if labels[row, column] != labels[y, x]
    ]
    return min(others, default=sum(labels.shape))


@pytest.mark.parametrize("kind", ["patches", "one pixel", "ignored", "all alike", "noise"])
def test_contours_are_as_far_as_a_search_finds_them(kind):
    torch.manual_seed(0)
    labels = torch.zeros(2, 37, 30, dtype=torch.long)
    if kind == "patches":
        labels[0, 5:20, 9:25], labels[1, 30:, :8] = 2, 1
    elif kind == "one pixel":
        labels[0, 11, 12], labels[1, 0, 0] = 1, 4
    elif kind == "ignored":
        labels[0, :9], labels[1, :, 28:] = IGNORE, IGNORE
    elif kind == "noise":
        labels = torch.randint(0, 3, labels.shape)
    found = contour_bin(labels)
    edges = (1, 2, 4, 8, 16)
    for b, y, x in np.ndindex(2, 37, 30):
        distance = distance_by_loop(labels[b], y, x)
        assert found[b, y, x] == sum(distance > edge for edge in edges), (b, y, x, distance)


def test_every_pixel_has_a_bin_in_every_table_of_pixels():
    torch.manual_seed(0)
    labels = torch.randint(-1, NUM_CLASSES, (2, 8, 9))
    labels[labels < 0] = IGNORE
    look = look_at_pixels(
        torch.randn(2, NUM_CLASSES, 8, 9), labels, contour=contour_bin(labels), weight=torch.ones(2, 72), loss=None
    )
    bins, sizes = pixel_bins_of(look), num_pixel_bins(NUM_CLASSES)
    assert list(bins) == list(sizes)
    for name, place in bins.items():
        assert place.shape == (2, 72)
        assert place.min() >= 0
        assert place.max() < sizes[name]
