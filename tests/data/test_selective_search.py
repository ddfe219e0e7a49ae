"""Selective search: which boxes it gives, and what is said where OpenCV's part for it is missing."""

import sys
from types import ModuleType

import numpy as np
import pytest

from hardmine.data import selective_search as module
from hardmine.data.selective_search import find_ximgproc, selective_search
from hardmine.errors import ConfigError


@pytest.fixture
def ximgproc():
    cv2 = pytest.importorskip("cv2", reason="the extra 'proposals' is not installed")
    if not hasattr(cv2, "ximgproc"):
        pytest.skip("this OpenCV has no ximgproc; the extra 'proposals' is not installed")


def blocks() -> np.ndarray:
    """A picture of 120x80 pixels with two objects of one colour."""
    pixels = np.full((80, 120, 3), 30, dtype=np.uint8)
    pixels[10:40, 10:50], pixels[30:70, 70:110] = (200, 30, 30), (30, 200, 220)
    return pixels


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inside = sides.clip(0).prod(axis=1)
    return inside / (np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - inside)


@pytest.mark.usefixtures("ximgproc")
@pytest.mark.parametrize("stretch", [1, 8])
def test_objects_of_one_colour_are_among_the_boxes_whatever_the_size(stretch):
    """Large images are searched at another size, and answered in their own pixels."""
    boxes = selective_search(blocks().repeat(stretch, axis=0).repeat(stretch, axis=1))
    assert boxes.dtype == np.float32
    assert boxes.shape[1] == 4
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= np.array([120, 80, 120, 80]) * stretch).all()
    for expected in ([10, 10, 50, 40], [70, 30, 110, 70]):
        assert overlap(np.array(expected, dtype=float) * stretch, boxes).max() > 0.7


@pytest.mark.usefixtures("ximgproc")
def test_the_same_boxes_in_the_same_order_each_time():
    first, second = selective_search(blocks()), selective_search(blocks())
    assert np.array_equal(first, second)
    assert len(np.unique(first, axis=0)) == len(first)


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"needs OpenCV .*pip install 'hardmine\[proposals\]'"):
        selective_search(blocks())


def test_without_ximgproc_it_says_what_is_in_the_way(monkeypatch):
    bare = ModuleType("cv2")
    bare.__version__ = "4.13.0"
    monkeypatch.setitem(sys.modules, "cv2", bare)
    with pytest.raises(ConfigError, match=r"OpenCV 4.13.0 here lacks: .*uninstall that first"):
        find_ximgproc()


def test_the_order_is_that_of_one_lot():
    boxes = np.arange(80).reshape(20, 4)
    dealt = module._in_one_order(np.concatenate([boxes, boxes])[np.random.default_rng(1).permutation(40)])
    assert np.array_equal(dealt, module._in_one_order(boxes))
    assert sorted(map(tuple, dealt)) == list(map(tuple, boxes))
    assert not np.array_equal(dealt, boxes)
