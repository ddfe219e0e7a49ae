"""Boxes in every format are the same corners."""

import numpy as np
import pytest

from hardmine.errors import ConfigError
from hardmine.predictions.found import BOX_FORMATS, to_corners

CORNERS = np.array([[8.0, 4.0, 24.0, 12.0]])
WRITTEN = {
    "xyxy": [8, 4, 24, 12],
    "xywh": [8, 4, 16, 8],
    "cxcywh": [16, 8, 16, 8],
    "xyxyn": [0.125, 0.125, 0.375, 0.375],
    "xywhn": [0.125, 0.125, 0.25, 0.25],
    "cxcywhn": [0.25, 0.25, 0.25, 0.25],
}


@pytest.mark.parametrize("box_format", BOX_FORMATS)
def test_each_format_is_the_same_box(box_format):
    boxes, sizes = np.array([WRITTEN[box_format]], dtype=float), np.array([[64.0, 32.0]])
    assert np.array_equal(to_corners(boxes, box_format, sizes), CORNERS)
    assert to_corners(np.zeros((0, 4)), box_format, np.zeros((0, 2))).shape == (0, 4)


def test_an_unknown_format_names_the_known():
    with pytest.raises(ConfigError, match=r"'yxyx'.*xywh, xyxy"):
        to_corners(CORNERS, "yxyx", CORNERS[:, :2])
