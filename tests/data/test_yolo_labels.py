import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from hardmine.data.entries import ImageEntry
from hardmine.data.problems import ProblemLog
from hardmine.data.yolo_labels import add_objects, choose_layouts, has_labels, label_lines

SIDES = (0.2, 0.4)


@pytest.fixture
def objects(tmp_path):
    """Reads lines of labels: the entry, the problems of its lines, and what is said of their layouts."""

    def read(text, keypoints=None):
        file = tmp_path / "a.txt"
        file.write_text(text)
        lines, report = label_lines(file), ProblemLog(file)
        layouts = choose_layouts(lines, keypoints)
        entry = ImageEntry(1, tmp_path / "a.jpg", file, "")
        add_objects(lines, layouts, entry, report)
        return entry, report.problems, [layout.said for layout in layouts.values() if layout.said]

    return read


def boxes(entry):
    return [tuple(round(value, 6) for value in item.box) for item in entry.objects]


BOX = "0 .5 .5 .2 .4"
CORNERS = (0.4, 0.3, 0.6, 0.7)


@pytest.mark.parametrize("behind", ["", " .93", " 1", " 7", " .93 7", " 1.000001 12"])
def test_confidences_and_tracks_behind_a_box(objects, behind):
    entry, problems, said = objects(f"{BOX}{behind}\n")
    assert (boxes(entry), problems, len(said)) == ([CORNERS], [], bool(behind))


def test_one_kind_for_all_lines_with_as_many_numbers(objects):
    tracked, _, said = objects("0 .5 .5 .2 .4 .93 1\n0 .5 .5 .2 .4 .5 2\n0 .5 .5 .2 .4 1 0\n")
    assert boxes(tracked) == [CORNERS] * 3
    assert "track's id" in said[0]
    corners, _, said = objects("0 .1 .1 .3 .1 .2 .4\n0 .1 .1 .3 .1 .2 1\n")
    assert boxes(corners) == [(0.1, 0.1, 0.3, 0.4), (0.1, 0.1, 0.3, 1.0)]
    assert "polygons" in said[0]


@pytest.mark.parametrize(
    ("line", "corners"),
    [
        ("0 .1 .1 .3 .1 .2 .4", (0.1, 0.1, 0.3, 0.4)),
        ("0 .5 .5 .9 .6 .45 .45", (0.45, 0.45, 0.9, 0.6)),  # of many such lines, a box and a point in it
        ("0 .1 .1 .3 .1 .3 .4 .1 .4", (0.1, 0.1, 0.3, 0.4)),
        ("0 .2 .1 .3 .2 .2 .3 .1 .2", (0.1, 0.1, 0.3, 0.3)),
        ("0 .1 .1 .3 .1 .2 .4 .9", (0.1, 0.1, 0.3, 0.4)),
        ("0 .1 .1 .3 .1 .3 .4 .1 .4 .15 .25 .9 12", (0.1, 0.1, 0.3, 0.4)),
    ],
)
def test_polygons_and_oriented_boxes(objects, line, corners):
    entry, problems, (said,) = objects(line)
    assert (boxes(entry), problems) == ([corners], [])
    assert "boxes around them" in said


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("num", [1, 2, 17])
@pytest.mark.parametrize("behind", ["", " .9", " .9 3"])
def test_declared_keypoints(objects, dims, num, behind):
    points = " ".join([".45 .35 2" if dims == 3 else ".45 .35"] * num)
    entry, problems, said = objects(f"{BOX} {points}{behind}\n{BOX}\n", (num, dims))
    assert (boxes(entry), problems) == ([CORNERS] * 2, [])
    assert len(said) == bool(behind)


def test_keypoints_that_are_not_declared_are_a_guess_that_is_reported(objects):
    rows = np.random.default_rng(0)
    for dims in (2, 3):
        lines = []
        for x, y in rows.uniform(0.2, 0.8, (20, 2)):
            points = np.column_stack([rows.uniform((x - 0.1, y - 0.2), (x + 0.1, y + 0.2), (5, 2)), np.full(5, 2)])
            lines.append(" ".join(map(str, [0, x, y, *SIDES, *points[:, :dims].ravel()])))
        entry, _, (said,) = objects("\n".join(lines))
        assert said.startswith(f"taken as a box and 5 keypoints of {dims} numbers")
        assert {(round(b[2] - b[0], 6), round(b[3] - b[1], 6)) for b in boxes(entry)} == {SIDES}


def test_points_that_are_not_seen_lie_nowhere(objects):
    entry, _, (said,) = objects(f"{BOX} .45 .35 2 0 0 0 .5 .5 1\n")
    assert (boxes(entry), said[:31]) == ([CORNERS], "taken as a box and 3 keypoints ")


@pytest.mark.parametrize("num", [1, 20])
def test_small_polygons_are_no_poses_although_a_box_could_hold_them(objects, num):
    places = np.random.default_rng(0).uniform(0.4, 0.6, (num, 2))
    lines = [f"0 {x} {y} {x + 0.05} {y} {x} {y + 0.05}" for x, y in places]
    entry, _, (said,) = objects("\n".join(lines))
    assert said.startswith("polygons")
    assert boxes(entry) == [tuple(np.round([x, y, x + 0.05, y + 0.05], 6)) for x, y in places]


def test_one_odd_number_does_not_change_what_the_other_lines_are(objects):
    entry, problems, _ = objects(f"{BOX} .9\n{BOX} nan\n{BOX} .5\n")
    assert (boxes(entry), problems) == ([CORNERS] * 3, [])


@given(st.lists(st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(3, 30)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_polygons_around_a_place_are_never_taken_for_poses(tmp_path_factory, places):
    file = tmp_path_factory.mktemp("polygons") / "a.txt"
    turns = [np.linspace(0, 2 * np.pi, num, endpoint=False) for *_, num in places]
    rings = [
        np.column_stack([x + 0.08 * np.cos(turn), y + 0.08 * np.sin(turn)])
        for (x, y, _), turn in zip(places, turns, strict=True)
    ]
    file.write_text("\n".join(" ".join(["0", *map(str, ring.ravel())]) for ring in rings))
    lines = label_lines(file)
    layouts = choose_layouts(lines, None)
    for line, ring in zip(lines, rings, strict=True):
        assert layouts[line.num_fields].box(line.numbers) == (*ring.min(axis=0), *ring.max(axis=0))


@pytest.mark.parametrize(
    ("line", "message", "is_known"),
    [
        ("0 .5 .5 .2 .4 -.3", "neither a confidence nor an id", True),
        ("0 .5 .5 .2 .4 9.5", "neither a confidence nor an id", True),
        ("0 .5 .5 .2 .4 .1 .1 .1 .1 50", "10 fields, expected 5", True),
        ("0 40 30 20 20 10 10 3 4 50", "10 fields, expected 5", False),
        ("0 .5 .5 .2", "4 fields, expected 5", False),
        ("0", "1 fields, expected 5", False),
        ("cat .5 .5 .2 .4", "is not all numbers", True),
        ("0,1 .5 .5 .2 .4", "is not all numbers", True),
        ("0.5 .5 .5 .2 .4", "class 0.5 is not an integer", True),
        ("0 .5 .5 .2 x", "is not all numbers", False),
        ("0 0,5 0,5 0,2 0,4", "is not all numbers", False),
    ],
)
def test_what_cannot_be_read_keeps_its_place_if_that_is_known(objects, line, message, is_known):
    entry, (problem,), _ = objects(f"{line}\n{BOX}\n")
    assert message in problem.message
    assert problem.record == "line 1"
    unreadable = [
        corners for item, corners in zip(entry.objects, boxes(entry), strict=True) if item.category_id is None
    ]
    assert (unreadable, entry.lost) == (([CORNERS], []) if is_known else ([], ["line 1"]))
    assert boxes(entry)[-1] == CORNERS


def test_class_as_a_whole_number_in_any_notation(objects):
    entry, problems, _ = objects("0.0 .5 .5 .2 .4\n1e0 .5 .5 .2 .2\n")
    assert ([item.category_id for item in entry.objects], problems) == ([0, 1], [])


@pytest.mark.parametrize(
    ("text", "is_label"),
    [
        (BOX, True),
        (f"\ufeff\n{BOX} .9", True),
        ("a cat on a mat, seen twice", False),
        ("", False),
        ("0 1 2", False),
        ("cat\ndog", False),
    ],
)
def test_texts_that_begin_as_labels_do(tmp_path, text, is_label):
    (tmp_path / "a.txt").write_text(text)
    assert has_labels(tmp_path / "a.txt") == is_label
    (tmp_path / "a.txt").write_bytes(b"\xff\x00\xff")
    assert not has_labels(tmp_path / "a.txt")
