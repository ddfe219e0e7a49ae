"""A mined folder of masks in the next round: images by weight, suspect regions ignored."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from hardmine.core.pixels import ARROW
from hardmine.data import IGNORED, Fold, hold_out_masks, with_mask_errors
from hardmine.data.images import load_values
from hardmine.errors import ConfigError, DataError
from hardmine.training import TrainingConfig
from hardmine.training.mined_masks import mask_image_weights, treat_suspect_regions
from tests.mining.test_mask_folder import dataset, masks, mined


@pytest.fixture
def images(tmp_path):
    files = [tmp_path / "images" / f"{number}.png" for number in range(5)]
    return with_mask_errors(dataset(files, masks(5)), {"swapped": 0.4})


@pytest.fixture
def folder(images, tmp_path):
    return mined(images, tmp_path)


def regions_of(folder):
    return pl.read_parquet(folder / "regions.parquet").with_row_index("row")


def inside(folder, image_id, chosen):
    """(H, W) whether a pixel is in one of these regions of the image."""
    picture = pl.read_parquet(folder / "images.parquet").filter(image_id=image_id)["picture"][0]
    return np.isin(load_values(folder / "regions" / picture), chosen.filter(image_id=image_id)["number"].to_list())


def check(treated, images, folder, chosen):
    assert len(chosen) > 0
    for place, record in enumerate(images.records):
        is_dropped = inside(folder, record.image_id, chosen)
        expected = np.where(is_dropped, IGNORED, images.mask(place))
        assert treated.mask(place).tolist() == expected.tolist()
        assert treated.mask(place).dtype == np.uint8


def test_weights_are_found_by_the_names_of_the_files(images, folder):
    table = pl.read_parquet(folder / "images.parquet")
    assert mask_image_weights(folder, images).tolist() == table["weight"].to_list()
    reversed_ = dataset([record.file for record in reversed(images.records)], masks(5)[::-1])
    assert mask_image_weights(folder, reversed_).tolist() == table["weight"].to_list()[::-1]


def test_a_fold_has_the_weights_of_its_images(images, folder):
    learnt, _ = hold_out_masks(images, Fold(1, 2))
    weights = pl.read_parquet(folder / "images.parquet")["weight"].to_numpy()
    assert mask_image_weights(folder, learnt).tolist() == weights[list(learnt.places)].tolist()


def test_dropped_are_suspects_and_nothing_else(images, folder):
    assert treat_suspect_regions(folder, images, "keep") is images
    check(treat_suspect_regions(folder, images, "drop"), images, folder, regions_of(folder).filter("is_suspect"))


def test_a_fold_loses_the_same_regions(images, folder):
    learnt, _ = hold_out_masks(images, Fold(1, 2))
    check(treat_suspect_regions(folder, learnt, "drop"), learnt, folder, regions_of(folder).filter("is_suspect"))


def decide(folder, file, decided):
    names = dict(pl.read_parquet(folder / "images.parquet").select("image_id", "file_name").iter_rows())
    rows = regions_of(folder).to_dicts()
    decisions = [
        {"row": row, "image_id": rows[row]["image_id"], "file_name": names[rows[row]["image_id"]],
         "kind": f"{rows[row]['label']}{ARROW}{rows[row]['predicted']}", "decision": decision}
        for row, decision in decided.items()
    ]  # fmt: skip
    file.write_text(json.dumps({"format": 1, "mined": str(folder), "decisions": decisions}))
    return str(file)


def test_of_what_people_decided_the_accepted_is_ignored(images, folder, tmp_path):
    file = decide(folder, tmp_path / "decisions.json", {0: "accept", 1: "reject", 2: "accept"})
    check(treat_suspect_regions(folder, images, file), images, folder, regions_of(folder)[[0, 2]])


def test_decisions_of_other_regions_are_found_out(images, folder, tmp_path):
    file = decide(folder, tmp_path / "decisions.json", {0: "accept"})
    document = json.loads((tmp_path / "decisions.json").read_text())
    document["decisions"][0]["kind"] = "car → tree"
    (tmp_path / "decisions.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"kind of row 0 is '.*' in regions.parquet, got 'car → tree'"):
        treat_suspect_regions(folder, images, file)


def test_masks_that_changed_and_images_that_came_are_refused(images, folder, tmp_path):
    changed = masks(5)
    suspect = regions_of(folder).filter("is_suspect")
    place = suspect["image_id"][0] // 10 - 1
    is_there = inside(folder, suspect["image_id"][0], suspect)
    changed[place][is_there] = (images.mask(place)[is_there] + 1) % 3
    treated = treat_suspect_regions(folder, dataset([record.file for record in images.records], changed), "drop")
    with pytest.raises(DataError, match=rf"the mask of {place}\.png is not as it was mined; mine again"):
        treated.mask(place)
    more = dataset([*(record.file for record in images.records), tmp_path / "images" / "new.png"], masks(6))
    with pytest.raises(DataError, match=r"no image 'new\.png'; mine the split that is trained on"):
        mask_image_weights(folder, more)
    smaller = replace(images.parent.records[0], width=10)
    images.parent.records = (smaller, *images.parent.records[1:])
    with pytest.raises(DataError, match=r"0\.png was 50x40 and is 10x40"):
        mask_image_weights(folder, images.parent)


def test_a_name_of_a_picture_does_not_lead_out_of_the_folder(images, folder):
    table = pl.read_parquet(folder / "images.parquet")
    table.with_columns(picture=pl.lit("../../secret.png")).write_parquet(folder / "images.parquet")
    with pytest.raises(DataError, match="is no name of a picture"):
        treat_suspect_regions(folder, images, "drop")


def test_weights_that_are_none_are_named(images, folder):
    table = pl.read_parquet(folder / "images.parquet")
    table.with_columns(weight=pl.lit(-1.0)).write_parquet(folder / "images.parquet")
    with pytest.raises(DataError, match="weights must be finite, at least 0 and not all 0"):
        mask_image_weights(folder, images)


def test_regions_are_not_weighed_down(tmp_path):
    TrainingConfig(task="segmentation", mined=str(tmp_path), suspects="drop")
    with pytest.raises(ConfigError, match="suspects of masks are regions, which are not weighed down"):
        TrainingConfig(task="segmentation", mined=str(tmp_path), suspects="down")


@pytest.mark.parametrize("use", [mask_image_weights, lambda *given: treat_suspect_regions(*given, "drop")])
def test_what_was_mined_from_boxes_is_refused(images, tmp_path, use):
    pl.DataFrame({"image_id": [1], "weight": [1.0]}).write_parquet(tmp_path / "images.parquet")
    pl.DataFrame({"image_id": [1]}).write_parquet(tmp_path / "suspects.parquet")
    with pytest.raises(DataError, match="was mined from boxes, and masks are learnt"):
        use(tmp_path, images)
