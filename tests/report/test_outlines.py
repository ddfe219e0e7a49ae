import re

import numpy as np
import pytest

from hardmine.report.outlines import contours, outline


def lines(path):
    """Each line of a path as (n, 2) points."""
    return [
        np.array([float(number) for number in re.findall(r"-?[\d.]+", part)]).reshape(-1, 2)
        for part in path.split("M")[1:]
    ]


def area(line):
    x, y = line.T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def disc(side=40, radius=12):
    y, x = np.mgrid[:side, :side]
    return (x - side / 2) ** 2 + (y - side / 2) ** 2 <= radius**2


@pytest.mark.parametrize(("corner", "step"), [((0, 0), 1), ((100, 7), 1), ((10, 20), 3)])
def test_a_contour_runs_around_what_it_is_of(corner, step):
    inside = np.zeros((20, 30), bool)
    inside[5:12, 8:20] = True
    (line,) = lines(contours(inside.astype(int), corner, step))
    low, high = np.array([8, 5]) * step + corner, np.array([20, 12]) * step + corner
    assert line.min(axis=0).tolist() == low.tolist()
    assert line.max(axis=0).tolist() == high.tolist()
    assert area(line) == pytest.approx(inside.sum() * step**2, rel=0.05)  # but for the corners, which are cut


def test_nothing_runs_along_the_border():
    labels = np.zeros((10, 10), int)
    assert contours(labels) == ""
    labels[:, 5:] = 1
    (line,) = lines(contours(labels))
    assert (line[:, 0] == 5).all()


def test_every_class_has_a_contour_but_for_the_largest():
    labels = np.zeros((30, 30), int)
    labels[2:8, 2:8], labels[12:20, 12:20], labels[12:20, 20:25] = 1, 2, 7
    assert len(lines(contours(labels))) == 3


def test_an_outline_is_closed_and_has_its_holes():
    inside = disc() & ~disc(radius=5)
    inside[:, 20:] &= True
    path = outline(inside)
    assert path.count("M") == path.count("Z") == 2
    big, small = sorted(map(area, lines(path)), reverse=True)
    assert big - small == pytest.approx(inside.sum(), rel=0.05)


def test_an_outline_at_the_border_is_closed_there():
    inside = np.ones((6, 9), bool)
    (line,) = lines(outline(inside))
    assert line.min(axis=0).tolist() == [0, 0]
    assert line.max(axis=0).tolist() == [9, 6]
