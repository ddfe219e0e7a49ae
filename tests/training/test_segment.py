"""Probabilities of every image, and masks under names that tell the images apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from hardmine.data import SegmentationDataset, SegmentationRecord, open_segmentation
from hardmine.data.segmentation.masks import HeldMask
from hardmine.errors import DataError, RunError
from hardmine.training.run import make_detector
from hardmine.training.segment import (
    are_written,
    judge_written,
    mask_names,
    predict_masks,
    predict_probabilities,
)
from tests.seen_masks import CLASSES


@pytest.fixture(scope="module")
def val(masked_data):
    return open_segmentation(masked_data, "val")


@pytest.fixture(scope="module")
def segmenter(masked):
    return make_detector(masked(), 3)


def named(*files):
    records = [
        SegmentationRecord(place, Path(file) if file else None, HeldMask(np.zeros((4, 4), np.uint8)), 4, 4)
        for place, file in enumerate(files)
    ]
    return SegmentationDataset("made", "val", CLASSES, records)


def test_probabilities_are_of_the_images_as_large_as_they_are(segmenter, val):
    found = list(predict_probabilities(segmenter, val, Accelerator()))
    assert [tuple(of.shape[1:]) for of in found] == [(record.height, record.width) for record in val.records]
    for of in found:
        assert of.dtype == torch.float32
        torch.testing.assert_close(of.sum(dim=0), torch.ones(of.shape[1:]))
    second = next(iter(predict_probabilities(segmenter, val, Accelerator(), places=[1])))
    assert torch.equal(second, found[1])


def test_masks_are_the_most_probable_classes(segmenter, val, tmp_path):
    found = predict_masks(segmenter, val, Accelerator())
    found.write(tmp_path / "out")
    probabilities = predict_probabilities(segmenter, val, Accelerator())
    for name, of in zip(mask_names(val), probabilities, strict=True):
        assert np.array_equal(np.array(Image.open(tmp_path / "out" / name)), of.argmax(dim=0).numpy())
    assert are_written(tmp_path / "out", val)
    assert judge_written(tmp_path / "out", val).metrics == found.metrics
    (tmp_path / "out" / mask_names(val)[3]).unlink()
    assert not are_written(tmp_path / "out", val)
    with pytest.raises(DataError):
        judge_written(tmp_path / "out", val)


def test_processes_share_the_images(segmenter, val, monkeypatch):
    whole, parts = predict_masks(segmenter, val, Accelerator()), []
    for rank in (0, 1):
        accelerator = Accelerator()
        monkeypatch.setattr(type(accelerator), "process_index", property(lambda _, rank=rank: rank))
        monkeypatch.setattr(type(accelerator), "num_processes", property(lambda _: 2))
        parts.append(dict(predict_masks(segmenter, val, accelerator).masks))
    assert sorted([*parts[0], *parts[1]]) == list(range(5))
    assert parts[0] | parts[1] == dict(whole.masks)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("a/x.jpg", "a/y.png"), ["x.png", "y.png"]),
        (("a/x.jpg", "b/x.jpg"), ["00000_x.png", "00001_x.png"]),
        (("a/x.jpg", "a/X.png"), ["00000_x.png", "00001_X.png"]),
        (("a/x*.jpg", "a/x?.jpg"), ["00000_x_.png", "00001_x_.png"]),
        (("...", "a.jpg"), ["image.png", "a.png"]),
        ((f"{'é' * 100}b.png", f"{'é' * 100}c.png"), [f"0000{number}_{'é' * 100}.png" for number in (0, 1)]),
        ((None, None), ["00000.png", "00001.png"]),
    ],
)
def test_names_tell_images_apart_and_stay_in_their_folder(files, expected):
    assert mask_names(named(*files)) == expected


def test_a_mask_of_other_make_is_named(val, tmp_path):
    for name, record in zip(mask_names(val), val.records, strict=True):
        Image.new("RGB", (record.width, record.height)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"val_0\.png: a mask in colours"):
        judge_written(tmp_path, val)


def test_a_folder_that_cannot_be_made_is_one_line(segmenter, val, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make"):
        predict_masks(segmenter, val, Accelerator()).write(tmp_path / "file" / "out")
