import pytest
import torch

from hardmine.diagnosis.bins import (
    IOU_BINS,
    NUM_FINE,
    SCORE_BINS,
    SIZES,
    bins_of,
    fine_bin,
    fine_values,
    num_bins,
    size_of_area,
)
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
