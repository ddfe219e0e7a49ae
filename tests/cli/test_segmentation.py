"""The commands on masks, from the folder to the table."""

import json

import pytest


@pytest.fixture(scope="module")
def options(masked_data):
    return ("--task", "segmentation", "--data", str(masked_data), "--image-size", "48", "--epochs", "1")


def test_a_segmenter_is_trained_measured_and_drawn(hardmine, options, tmp_path, masked_data):
    run = tmp_path / "run"
    trained = hardmine("train", *options, "--recipe", "pixel_ohem:min_fraction=0.25", "--out", str(run))
    assert trained.code == 0, trained.err
    assert "mIoU" in trained.out
    assert "boundary IoU of square" in trained.out
    assert "predictions_val" in trained.out
    measured = hardmine("evaluate", str(run))
    assert measured.code == 0, measured.err
    assert trained.out.split("Run:")[0].strip() == measured.out.split("Predictions:")[0].strip()
    predicted = hardmine("predict", str(run), "--out", str(tmp_path / "found"), "--split", "test")
    assert predicted.code == 0, predicted.err
    assert len(list((tmp_path / "found").iterdir())) == 4
    drawn = hardmine("plot", str(run), "--out", str(tmp_path / "curves.html"))
    assert drawn.code == 0, drawn.err
    assert "mIoU on the validation split" in (tmp_path / "curves.html").read_text()
    assert "AP on the validation split" not in (tmp_path / "curves.html").read_text()


def test_recipes_of_pixels_are_compared_by_default(hardmine, options, tmp_path):
    found = hardmine("compare", *options, "--seeds", "1", "--jobs", "1", "--out", str(tmp_path / "out"))
    assert found.code == 0, found.err
    assert "difference in mIoU" in found.out
    stored = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["recipe"] for row in stored["recipes"]] == ["ce", "pixel_ohem", "focal"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train", "--recipe", "ohem"), "'ohem' needs samples that are boxes"),
        (("train", "--detector", "retinanet"), "retinanet is no model for --task segmentation"),
        (("train", "--record"), "record is True for segmentation: it is of boxes"),
        (("train", "--classes", "a,b,c,d", "--val-split", "nothing"), "nothing"),
        (("compare", "--recipes", "auto"), "recipes are advised for detection only"),
        (("loop",), "a loop is of boxes"),
    ],
)
def test_what_makes_no_sense_is_one_line(hardmine, options, command, message, tmp_path):
    name, *rest = command
    found = hardmine(name, *options, *rest, "--out", str(tmp_path / "out"))
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "out").exists()


def test_masks_are_of_no_detection(hardmine, tmp_path):
    found = hardmine("train", "--instances", "--out", str(tmp_path / "out"))
    assert found.code == 2
    assert "instances is True for detection: it is of masks; add --task segmentation" in found.err
