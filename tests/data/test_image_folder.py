import pytest

from hardmine.data import check, open_dataset
from hardmine.errors import DataError


@pytest.mark.parametrize("above", ["", "images/", "a/b c/"])
def test_images_without_labels_are_there_to_be_predicted(tmp_path, write_tree, above):
    write_tree(tmp_path, f"{above}a.png", f"{above}deep/b.png", **{"notes.md": "about them"})
    dataset = open_dataset(tmp_path, classes=("cat", "dog"), allow_unlabelled=True)
    assert (dataset.split, dataset.classes, dataset.category_ids) == ("all", ("cat", "dog"), (1, 2))
    assert [record.file.name for record in dataset.records] == ["a.png", "b.png"]
    assert all(len(record.boxes) == 0 and record.ids == () for record in dataset.records)


def test_and_are_no_data_set_otherwise(tmp_path, write_tree):
    write_tree(tmp_path, "a.png", "b.png")
    message = r"no data set of a known format.*found 2 .png files; images without labels can be predicted only"
    for function in (open_dataset, check):
        with pytest.raises(DataError, match=message):
            function(tmp_path)
    for options in ({"allow_unlabelled": True}, {"classes": ("cat",)}):
        with pytest.raises(DataError, match=message):
            open_dataset(tmp_path, **options)


def test_labels_that_are_there_are_read(tmp_path, write_yolo):
    dataset = open_dataset(write_yolo(tmp_path), classes=("dog", "cat"), allow_unlabelled=True)
    assert dataset.records[0].labels.tolist() == [1]


def test_folder_without_an_image_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match="found no file"):
        open_dataset(tmp_path, classes=("cat",), allow_unlabelled=True)
