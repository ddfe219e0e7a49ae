"""Contours of masks as paths of SVG, in pixels of the image: lines between pixels, their corners cut."""

import numpy as np
from skimage.measure import approximate_polygon, find_contours

__all__ = ["contours", "outline"]

TOLERANCE = 0.3
"""Pixels by which a line may be off its contour: less than a picture shows, and corners in a row become one line."""


def contours(labels: np.ndarray, corner: tuple[int, int] = (0, 0), step: int = 1) -> str:
    """Where labels (h, w) change, as data of an SVG path; nothing along the border of what is given.

    Args: corner: x and y of the first pixel.  step: of how many pixels each of these is one.
    """
    numbers, counts = np.unique(labels, return_counts=True)
    others = np.delete(numbers, counts.argmax())  # what these do not touch has no contour that they have not
    lines = [line for number in others for line in find_contours((labels == number).astype(np.float32), 0.5)]
    return "".join(_path(line, corner, step) for line in lines)


def outline(inside: np.ndarray, corner: tuple[int, int] = (0, 0), step: int = 1) -> str:
    """The closed contours of a region (h, w) bool, as data of an SVG path to be filled by the even-odd rule."""
    lines = find_contours(np.pad(inside, 1).astype(np.float32), 0.5)
    return "".join(f"{_path(line - 1, corner, step)}Z" for line in lines)


def _path(line: np.ndarray, corner: tuple[int, int], step: int) -> str:
    """line: (n, 2) rows and columns of centres of pixels; lines between pixels lie at halves."""
    points = approximate_polygon(line, TOLERANCE)[:, ::-1] + 0.5
    (x, y), *others = (points * step + np.array(corner)).round(1)
    return f"M{x:g} {y:g}L{' '.join(f'{x:g} {y:g}' for x, y in others)}" if others else ""
