"""Tiles have the pixels and objects of their images, at their places."""

from dataclasses import replace

import numpy as np
import pytest

from hardmine.data import Fold, export, groups_of, hold_out, open_dataset, open_scenes
from hardmine.data.records import DetectionDataset
from hardmine.data.tiles import tiled
from hardmine.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def scenes():
    return open_scenes("train", num_images=6, size=128)


def corners(tiles):
    return [tuple(map(int, name.removesuffix(".png").split("_")[-2:])) for name in tiles.file_names]


def sources(tiles):
    return [int(name.split("_")[0]) - 1 for name in tiles.file_names]


@pytest.mark.parametrize(("side", "overlap"), [(64, 0), (50, 10), (50, 49), (100, 3), (128, 0), (300, 20), (7, 0)])
def test_tiles_are_parts_of_the_image_and_leave_nothing_out(scenes, side, overlap):
    one = DetectionDataset("one", "train", scenes.classes, scenes.category_ids, scenes.records[:1])
    one.pixels = scenes.pixels
    tiles = tiled(one, side, overlap)
    seen = np.zeros((128, 128), dtype=int)
    for index, (x, y) in enumerate(corners(tiles)):
        pixels = tiles.pixels(index)
        height, width = pixels.shape[:2]
        assert height == width == min(side, 128)
        np.testing.assert_array_equal(pixels, scenes.pixels(0)[y : y + height, x : x + width])
        seen[y : y + height, x : x + width] += 1
    assert seen.min() >= 1
    assert len(set(corners(tiles))) == len(tiles)
    columns = sorted({x for x, _ in corners(tiles)})
    assert all(columns[n] + side - columns[n + 1] >= overlap for n in range(len(columns) - 1))


@pytest.mark.parametrize("visible", [0.2, 0.5, 1.0])
def test_objects_are_what_is_visible_of_them_and_crowds_what_is_too_little(scenes, visible):
    tiles = tiled(scenes, 48, 16, visible)
    for record, (x, y), source in zip(tiles.records, corners(tiles), sources(tiles), strict=True):
        truth = scenes.records[source]
        expected = []
        for (x1, y1, x2, y2), label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
            width, height = min(x2, x + 48) - max(x1, x), min(y2, y + 48) - max(y1, y)
            if width > 0 and height > 0:
                is_crowd = width * height / ((x2 - x1) * (y2 - y1)) < visible
                expected.append((max(x1, x) - x, max(y1, y) - y, width, height, label, is_crowd))
        sides = np.concatenate([record.boxes[:, :2], record.boxes[:, 2:] - record.boxes[:, :2]], axis=1).tolist()
        found = zip(sides, record.labels.tolist(), record.is_crowd.tolist(), strict=True)
        assert [(*box, label, is_crowd) for box, label, is_crowd in found] == expected
        np.testing.assert_allclose(record.areas, [w * h for _, _, w, h, _, _ in expected], rtol=1e-5)


def test_crowds_stay_crowds_and_own_areas_shrink_as_the_boxes_do(scenes):
    box = np.array([[10, 10, 50, 50], [0, 0, 60, 60]], dtype=np.float32)
    record = replace(
        scenes.records[0],
        boxes=box,
        labels=np.array([0, 1]),
        is_crowd=np.array([False, True]),
        areas=np.array([800, 10], dtype=np.float32),
        unreadable=np.array([[100, 100, 120, 120]], dtype=np.float32),
    )
    one = DetectionDataset("one", "train", scenes.classes, scenes.category_ids, [record])
    first, *_, last = tiled(one, 64, 0, visible=0.9).records
    assert first.is_crowd.tolist() == [False, True]
    assert first.areas.tolist() == [800, 10]
    assert len(first.regions) == 0
    assert last.regions.tolist() == [[36, 36, 56, 56]]
    left = tiled(one, 30, 0).records[0]
    assert left.boxes.tolist() == [[10, 10, 30, 30], [0, 0, 30, 30]]
    np.testing.assert_allclose(left.areas, [200, 2.5])
    assert left.is_crowd.tolist() == [True, True]


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_what_is_exported_is_read_again_with_the_scene_in_the_name(scenes, tmp_path, form):
    written = export({"train": scenes}, form, tmp_path / "out", tile=64, overlap=16)
    tiles, read = tiled(scenes, 64, 16), open_dataset(written, "train")
    assert len(read) == len(tiles) == 6 * 9
    assert {record.file.name for record in read.records} == set(tiles.file_names)
    place = {name: index for index, name in enumerate(tiles.file_names)}
    for index, record in enumerate(read.records):
        own = place[record.file.name]
        np.testing.assert_array_equal(read.pixels(index), tiles.pixels(own))
        kept = ~tiles.records[own].is_crowd
        np.testing.assert_allclose(record.boxes[~record.is_crowd], tiles.records[own].boxes[kept], atol=1e-3)
        assert form == "yolo" or (record.is_crowd == tiles.records[own].is_crowd).all()
    groups = groups_of(read, "^(.+)_tile_")
    assert sorted(set(groups)) == [str(record.image_id) for record in scenes.records]
    rest, held = hold_out(read, Fold(1, 3), groups)
    assert (len(rest), len(held)) == (36, 18)


@pytest.mark.parametrize("arguments", [(0,), (64, 64), (64, -1), (64, 0, 0.0), (64, 0, 1.1)])
def test_what_are_no_tiles_is_refused(scenes, arguments):
    with pytest.raises(ConfigError, match="expected at least 1 pixel"):
        tiled(scenes, *arguments)


def test_an_overlap_of_nothing_is_refused(scenes, tmp_path):
    with pytest.raises(ConfigError, match="no tiles; give the side"):
        export({"train": scenes}, "coco", tmp_path / "out", overlap=8)


def test_an_image_that_cannot_be_decoded_is_an_error_of_its_tile(scenes):
    one = DetectionDataset("one", "train", scenes.classes, scenes.category_ids, scenes.records[:1])
    with pytest.raises(DataError, match="has no file"):
        tiled(one, 64).pixels(0)
