from dataclasses import replace

import numpy as np
import pytest

from hardmine.data import IGNORED, SegmentationDataset, open_segmentation_scenes, with_mask_errors
from hardmine.data.segmentation.label_errors import MASK_ERROR_KINDS, parse_mask_shares, plant_mask_errors
from hardmine.data.segmentation.records import SegmentationPart
from hardmine.errors import ConfigError

ALL = dict.fromkeys(MASK_ERROR_KINDS, 0.25)


def square(label=1, size=60, ignored=False):
    """A square of 20 pixels near the middle of a ground of class 0, and a speck that is no region."""
    labels = np.zeros((size, size), np.uint8)
    labels[15:35, 15:35] = label
    labels[50, 50] = 2
    if ignored:
        labels[:, 36:] = IGNORED
    return labels


def plant(kind, labels=None, seed=0):
    labels = square() if labels is None else labels
    spoilt, errors = plant_mask_errors(labels, {kind: 1.0}, 3, np.random.default_rng(seed))
    return spoilt, errors[0] if errors else None


@pytest.mark.parametrize("kind", MASK_ERROR_KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_an_error_says_what_changed_and_nothing_else_did(kind, seed):
    labels = square(ignored=True)
    spoilt, error = plant(kind, labels.copy(), seed)
    x1, y1, x2, y2 = error.box
    changed = spoilt != labels
    assert (error.kind, error.true_label) == (kind, 1)
    assert changed.sum() == error.num_pixels == changed[y1:y2, x1:x2].sum()
    assert changed[y1:y2, x1:x2].any(axis=0).all()
    assert ((spoilt == IGNORED) == (labels == IGNORED)).all()
    assert spoilt[50, 20] == labels[50, 20] == 0


def test_a_dropped_region_becomes_what_surrounds_it():
    spoilt, error = plant("dropped")
    assert (spoilt[15:35, 15:35] == 0).all()
    assert error.label == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_swapped_region_gets_another_class(seed):
    spoilt, error = plant("swapped", seed=seed)
    assert error.label in (0, 2)
    assert (spoilt[15:35, 15:35] == error.label).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_grown_region_gains_a_margin(seed):
    spoilt, _ = plant("grown", seed=seed)
    rows, columns = np.nonzero(spoilt == 1)
    margin = 15 - rows.min()
    assert 2 <= margin <= 5
    assert (rows.max() - 34, 15 - columns.min(), columns.max() - 34) == (margin, margin, margin)
    assert (spoilt == 1).sum() == (20 + 2 * margin) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_a_shifted_region_moves_by_a_third_to_a_half_of_its_sides(seed):
    spoilt, _ = plant("shifted", seed=seed)
    rows, columns = np.nonzero(spoilt == 1)
    for first, last in ((rows.min(), rows.max()), (columns.min(), columns.max())):
        assert last - first == 19
        assert 7 <= first - 15 <= 10
    assert (spoilt == 1).sum() == 400


def test_the_ground_and_specks_stay_right():
    labels = square(label=0)
    for kind in MASK_ERROR_KINDS:
        assert plant(kind, labels.copy()) == (pytest.approx(labels), None)


def test_a_region_within_ignored_pixels_cannot_be_dropped():
    labels = np.full((40, 40), IGNORED, np.uint8)
    labels[10:20, 10:20] = 1
    labels[30:, :] = 0
    spoilt, error = plant("dropped", labels.copy())
    assert error is None
    assert (spoilt == labels).all()


def test_shares_are_met_over_many_images():
    scenes = with_mask_errors(open_segmentation_scenes("train", 200), dict.fromkeys(MASK_ERROR_KINDS, 0.1))
    kinds = [error.kind for place in range(200) for error in scenes.planted(place)]
    assert all(20 < kinds.count(kind) < 80 for kind in MASK_ERROR_KINDS)


def test_errors_depend_on_the_image_and_on_nothing_else():
    whole = open_segmentation_scenes("train", 20)
    spoilt = with_mask_errors(whole, ALL)
    again = with_mask_errors(SegmentationPart(whole, [7, 3], "train"), ALL)
    assert (spoilt.mask(7) == again.mask(0)).all()
    assert spoilt.planted(3) == again.planted(1)
    assert (spoilt.mask(7) == spoilt.mask(7)).all()
    assert (spoilt.true_mask(7) == whole.mask(7)).all()
    assert (spoilt.pixels(7) == whole.pixels(7)).all()
    assert any((spoilt.mask(place) != whole.mask(place)).any() for place in range(20))


def test_files_of_another_place_have_the_same_errors(tmp_path):
    scenes = open_segmentation_scenes("train", 5)

    def at(folder):
        records = [replace(record, file=folder / "images" / f"{record.image_id}.png") for record in scenes.records]
        return with_mask_errors(SegmentationDataset("some", "train", scenes.classes, records), ALL)

    one, other = at(tmp_path / "one"), at(tmp_path / "other")
    assert all((one.mask(place) == other.mask(place)).all() for place in range(5))


@pytest.mark.parametrize("shares", [{"dropped": 0}, {"dropped": -1}, {"dropped": 0.6, "grown": 0.6}, {"spurious": 0.1}])
def test_wrong_shares_are_named(shares):
    with pytest.raises(ConfigError, match="expected shares of the regions above 0, together at most 1"):
        with_mask_errors(open_segmentation_scenes("train", 1), shares)


def test_a_swap_needs_two_classes():
    scenes = open_segmentation_scenes("train", 1)
    alone = SegmentationDataset("some", "train", ("one",), scenes.records)
    with pytest.raises(ConfigError, match="swapped needs two classes"):
        with_mask_errors(alone, {"swapped": 0.1})


def test_shares_are_read_from_text():
    assert parse_mask_shares("dropped=.2,grown=.1") == {"dropped": 0.2, "grown": 0.1}
    with pytest.raises(ConfigError, match=r"shares of the regions .* of dropped, shifted, grown, swapped"):
        parse_mask_shares("spurious=.1")
