import numpy as np
import pytest
import torch

from hardmine.data import IGNORED, Fold, SegmentationDataset, SegmentationRecord, hold_out_masks
from hardmine.data.segmentation.masks import HeldMask
from hardmine.errors import DataError


def dataset(file, num=1, classes=("road", "sky"), width=64, mask=None):
    mask = np.full((48, 64), IGNORED, np.uint8) if mask is None else mask
    records = [SegmentationRecord(number, file, HeldMask(mask), width, 48) for number in range(num)]
    return SegmentationDataset("some", "train", classes, records)


def test_an_item_is_an_image_and_its_labels(write_image, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[0, 0] = IGNORED
    image, labels = dataset(write_image(tmp_path / "a.png"), mask=mask)[0]
    assert (image.shape, image.dtype) == ((3, 48, 64), torch.uint8)
    assert (labels.shape, labels.dtype) == ((48, 64), torch.int64)
    assert (labels.numpy() == mask).all()


def test_files_that_changed_since_are_named(write_image, tmp_path):
    file = write_image(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is 64x48, expected 60x48"):
        dataset(file, width=60)[0]
    with pytest.raises(DataError, match=r"the mask of .*a\.png is 9x9, expected 64x48"):
        dataset(file, mask=np.zeros((9, 9), np.uint8))[0]


@pytest.mark.parametrize(
    ("num", "classes", "message"),
    [
        (0, ("road",), "no usable image with a mask"),
        (1, (), "0 classes; expected 1 to 255"),
        (1, tuple(map(str, range(256))), "256 classes"),
        (1, ("road", "road"), "one name"),
    ],
)
def test_what_cannot_be_used_is_named(num, classes, message):
    with pytest.raises(DataError, match=message):
        dataset(None, num, classes)


def test_an_image_without_a_file_cannot_be_decoded():
    with pytest.raises(DataError, match="has no file"):
        dataset(None).pixels(0)


def test_folds_are_parts_that_together_are_the_whole():
    whole = dataset(None, 10)
    held = []
    for number in (1, 2, 3):
        learnt, fold = hold_out_masks(whole, Fold(number, 3))
        assert {record.image_id for record in learnt.records}.isdisjoint(record.image_id for record in fold.records)
        assert len(learnt) + len(fold) == 10
        assert [whole.records[place] for place in fold.places] == list(fold.records)
        held += fold.places
    assert sorted(held) == list(range(10))


def test_groups_are_held_out_whole():
    groups = np.arange(10) // 2
    _, fold = hold_out_masks(dataset(None, 10), Fold(1, 3), groups)
    chosen = groups[list(fold.places)]
    assert all((chosen == group).sum() == 2 for group in chosen)
    with pytest.raises(DataError, match="5 groups of images cannot make 6 folds"):
        hold_out_masks(dataset(None, 10), Fold(1, 6), groups)


def test_images_are_told_apart_by_number_and_name(tmp_path):
    one, other = dataset(tmp_path / "a.png"), dataset(tmp_path / "b.png")
    assert one.hash_of_images() != other.hash_of_images()
    assert one.hash_of_images() == dataset(tmp_path / "below" / "a.png").hash_of_images()


def test_files_are_called_by_their_path_below_the_folder_of_all(tmp_path):
    mask = HeldMask(np.zeros((4, 4), np.uint8))
    files = [tmp_path / "a" / "1.png", tmp_path / "a" / "b" / "2.png", None]
    records = [SegmentationRecord(number, file, mask, 4, 4) for number, file in enumerate(files)]
    some = SegmentationDataset("some", "train", ("road",), records)
    assert some.folder == tmp_path / "a"
    assert some.file_names == ("1.png", "b/2.png", "")
    assert dataset(None).folder is None
