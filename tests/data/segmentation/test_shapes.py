from contextlib import suppress

import numpy as np
import pytest
from faster_coco_eval import mask as coco
from hypothesis import given, settings, strategies as st
from skimage.draw import polygon

from hardmine.data.segmentation.shapes import Box, read_shape
from hardmine.errors import DataError

SIDES = st.integers(1, 30)


def covered(segmentation, width=20, height=10):
    return read_shape(segmentation, width, height).covered(width, height)


def runs_of(mask):
    """COCO's plain run lengths, by a loop down the columns."""
    lengths, inside = [0], False
    for value in mask.T.reshape(-1).tolist():
        if value != inside:
            lengths.append(0)
            inside = value
        lengths[-1] += 1
    return {"size": list(mask.shape), "counts": lengths}


def packed(lengths):
    """COCO's packed text, by a loop over numbers and groups of five bits."""
    text = ""
    for place, length in enumerate(lengths):
        number = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 * more))
    return text


def masks():
    return st.tuples(SIDES, SIDES, st.integers(0, 1000), st.floats(0, 1)).map(
        lambda of: np.random.default_rng(of[2]).random(of[:2]) < of[3]
    )


@given(masks())
@settings(max_examples=100, deadline=None)
def test_run_lengths_are_the_mask_that_they_were_made_of(mask):
    height, width = mask.shape
    rle = runs_of(mask)
    assert (covered(rle, width, height) == mask).all()
    assert (covered({**rle, "counts": packed(rle["counts"])}, width, height) == mask).all()


def test_packed_run_lengths_are_those_of_the_c_library():
    rng = np.random.default_rng(0)
    for sides in ((1, 1), (7, 300), (300, 200)):
        mask = rng.random(sides) < 0.1
        rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert (covered({"size": list(sides), "counts": rle["counts"].decode()}, sides[1], sides[0]) == mask).all()


points = st.lists(st.tuples(st.floats(-10, 40), st.floats(-10, 40)), min_size=3, max_size=8)


@given(points)
@settings(max_examples=100, deadline=None)
def test_a_polygon_covers_the_pixels_whose_centres_lie_inside(corners):
    """As scikit-image's, but for centres on an edge, which rounding may put on either side."""
    x, y = np.array(corners).T
    ours = covered([np.array(corners).reshape(-1).tolist()], 30, 30)
    theirs = np.zeros((30, 30), bool)
    theirs[polygon(y - 0.5, x - 0.5, (30, 30))] = True
    rows, columns = np.nonzero(ours != theirs)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        assert distance_to_outline(np.array(corners), np.array([column + 0.5, row + 0.5])) < 1e-6


def distance_to_outline(corners, point):
    starts, along = corners, np.roll(corners, -1, axis=0) - corners
    share = ((point - starts) * along).sum(1) / np.maximum((along**2).sum(1), 1e-300)
    return np.linalg.norm(starts + share.clip(0, 1)[:, None] * along - point, axis=1).min()


def test_rectangles_are_exact_and_polygons_of_an_object_add_up():
    both = covered([[2, 3, 7, 3, 7, 6, 2, 6], [10, 0, 12, 0, 12, 2, 10, 2]])
    expected = np.zeros((10, 20), bool)
    expected[3:6, 2:7] = expected[:2, 10:12] = True
    assert (both == expected).all()
    assert (covered([2, 3, 7, 3, 7, 6, 2, 6]) == covered([[2, 3, 7, 3, 7, 6, 2, 6]])).all()


def test_what_lies_outside_is_cut_whatever_the_numbers():
    assert covered([[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9]]).all()
    assert not covered([[1e300, 1e300, 1e301, 1e300, 1e301, 1e301]]).any()
    assert covered([[-1e308, -1, 1e308, -1, 1e308, 11, -1e308, 11]]).shape == (10, 20)


def test_many_edges_are_taken_in_parts():
    angles = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    disc = np.stack([50 + 40 * np.cos(angles), 50 + 40 * np.sin(angles)], axis=1)
    found = covered([disc.reshape(-1).tolist()], 100, 100)
    y, x = np.mgrid[:100, :100] + 0.5
    inside = np.hypot(x - 50, y - 50)
    assert found[inside < 39.9].all()
    assert not found[inside > 40.1].any()


def test_polygons_are_near_those_of_coco():
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    shape = np.stack([50 + 40 * np.cos(angles), 50 + 30 * np.sin(angles)], axis=1).reshape(-1).tolist()
    ours, theirs = (
        covered([shape], 100, 100),
        coco.decode(coco.frPyObjects([shape], 100, 100))[..., 0] == 1,
    )
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95


def test_a_box_covers_every_pixel_that_it_touches():
    found = Box((1.5, 2.5, 3.2, 100)).covered(20, 10)
    expected = np.zeros((10, 20), bool)
    expected[2:, 1:4] = True
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "no shape"),
        ([], "no shape"),
        ("abc", "no shape"),
        ([[1, 2, 3, 4]], "at least three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three points"),
        ([[1, 2, 3, 4, 5, "6"]], "at least three points"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
        ({"size": [20, 10], "counts": [200]}, r"of \[height, width\] \[20, 10\], expected \[10, 20\]"),
        ({"counts": [200]}, "None"),
        ({"size": [10, 20], "counts": [199]}, "do not fill the image; expected 200"),
        ({"size": [10, 20], "counts": [-1, 201]}, "do not fill"),
        ({"size": [10, 20], "counts": [2**62, 2**62]}, "do not fill"),
        ({"size": [10, 20], "counts": [True] * 200}, "do not fill"),
        ({"size": [10, 20], "counts": None}, "do not fill"),
        ({"size": [10, 20], "counts": ""}, "do not fill"),
        ({"size": [10, 20], "counts": "oooooooooooo"}, "do not fill"),
        ({"size": [10, 20], "counts": "P" * 9 + "0"}, "do not fill"),
        ({"size": [10, 20], "counts": "äöü"}, "do not fill"),
    ],
)
def test_what_is_no_shape_is_named(segmentation, message):
    with pytest.raises(DataError, match=message):
        read_shape(segmentation, 20, 10)


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_more_than_the_image(counts):
    with suppress(DataError):
        assert covered({"size": [10, 20], "counts": counts}).shape == (10, 20)
