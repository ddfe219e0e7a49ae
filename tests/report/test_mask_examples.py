import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from hardmine.core.pixels import ARROW
from hardmine.data import with_mask_errors
from hardmine.errors import ConfigError, DataError
from hardmine.report import write_report
from hardmine.report.gallery import source_of
from hardmine.report.inputs import read_facts, recognise
from hardmine.report.mask_examples import mask_gallery_of, read_mask_examples
from hardmine.report.pictures import Wanted
from tests.mining.test_mask_folder import dataset, masks, mined
from tests.report.test_outlines import area, lines


def make_mined_masks(folder, num_images=4):
    """Mined masks with pictures, of which some regions are swapped."""
    (folder / "images").mkdir(parents=True)
    files = [folder / "images" / f"<b>&amp;{number}.png" for number in range(num_images)]
    rng = np.random.default_rng(0)
    for file in files:
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(file)
    images = with_mask_errors(dataset(files, masks(num_images)), {"swapped": 0.4})
    return mined(images, folder)


@pytest.fixture
def folder(tmp_path):
    return make_mined_masks(tmp_path)


def gallery(folder, most=1000):
    facts = read_facts(folder / "mined.json")
    examples, maps = read_mask_examples(folder, most)
    return mask_gallery_of(folder, facts, examples, maps), source_of(facts, examples, None)


def test_rows_are_the_regions_by_what_they_are_taken_for(folder):
    examples, _ = read_mask_examples(folder, 1000)
    regions = pl.read_parquet(folder / "regions.parquet")
    assert len(examples.rows) == len(regions)
    for row in examples.rows.iter_rows(named=True):
        region = regions.row(row["row"], named=True)
        assert row["kind"] == f"{region['label']}{ARROW}{region['predicted']}"
        assert (row["value"], row["image_id"]) == (region["score"], region["image_id"])
        assert [row[f"label_{side}"] for side in ("x1", "y1", "x2", "y2")] == [
            region[side] for side in ("x1", "y1", "x2", "y2")
        ]
    for kind, of_kind in examples.rows.group_by("kind"):
        assert of_kind["value"].is_sorted(descending=True)
        assert examples.totals[kind[0]] == len(of_kind)
    assert list(examples.totals.values()) == sorted(examples.totals.values(), reverse=True)


def test_the_most_suspect_are_kept_and_the_others_counted(folder):
    regions = pl.read_parquet(folder / "regions.parquet")
    examples, _ = read_mask_examples(folder, 3)
    assert sorted(examples.rows["row"]) == [0, 1, 2]
    assert sum(examples.left_out.values()) == len(regions) - 3
    with pytest.raises(ConfigError, match="most is 0"):
        read_mask_examples(folder, 0)


def test_each_example_has_the_outline_of_its_region_and_the_contours_around_it(folder):
    made, _ = gallery(folder)
    paths, rows = made.data["paths"], made.examples.rows
    regions = pl.read_parquet(folder / "regions.parquet")
    for number, row in enumerate(rows["row"]):
        region = regions.row(row, named=True)
        outlines = lines(paths["region"][number])
        corners = np.concatenate(outlines)
        assert corners.min(axis=0).tolist() == [region["x1"], region["y1"]]
        assert corners.max(axis=0).tolist() == [region["x2"], region["y2"]]
        x, y, width, height = made.data["examples"]["crop"][number]
        for name in ("label", "found"):
            for line in lines(paths[name][number]):
                assert (line >= [x, y]).all()
                assert (line <= [x + width, y + height]).all()
        if len(outlines) == 1 and region["pixels"] > 50:
            assert area(outlines[0]) == pytest.approx(region["pixels"], rel=0.1)
    json.dumps(made.for_script("files/1", {}), allow_nan=False)


def test_maps_of_what_is_hard_are_those_of_the_folder(folder):
    _, maps = read_mask_examples(folder, 1000)
    images = pl.read_parquet(folder / "images.parquet")
    row = images.row(0, named=True)
    grey = np.asarray(Image.open(folder / "hardness" / row["picture"]))
    found = maps.pixels(Wanted(0, row["image_id"], row["file_name"], (50, 40), []))
    assert (found == grey[..., None]).all()


def test_a_page_shows_pictures_and_maps(folder, tmp_path):
    assert [given.kind for given in recognise(folder)] == ["mined masks"]
    write_report([folder], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Labelled → predicted" in text
    assert "<b>&amp;" not in text.split("<script type")[0]
    pictures = tmp_path / "page_files" / "1"
    crops = sorted(file.name for file in (pictures / "crops").iterdir())
    assert crops == sorted(file.name for file in (pictures / "hardness" / "crops").iterdir())
    assert len(crops) == len(pl.read_parquet(folder / "regions.parquet"))


def test_a_folder_that_was_changed_is_named(folder):
    picture = pl.read_parquet(folder / "images.parquet")["picture"][0]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "labels" / picture)
    with pytest.raises(DataError, match=r"is \(3, 3\), expected \(40, 50\); mine again"):
        gallery(folder)
    (folder / "regions.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="mine again"):
        read_mask_examples(folder, 10)
