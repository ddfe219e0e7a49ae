"""The labels of a data set as tables."""

import polars as pl

from hardmine.data import open_dataset
from hardmine.mining.labels import labels_of, objects_in


def test_labels_are_tables(two_images):
    labels = labels_of(two_images)
    assert labels.images.rows() == [(7, "", 100, 100), (9, "", 100, 100), (11, "", 100, 100)]
    assert labels.objects.select("object", "image_id", "category_id", "category", "is_crowd").rows() == [
        (0, 7, 5, "cat", False),
        (1, 7, 80, "dog", False),
        (2, 7, 5, "cat", True),
        (3, 9, 5, "cat", False),
    ]
    assert (labels.categories, labels.folder) == ({5: "cat", 80: "dog"}, None)
    assert objects_in(labels.objects).boxes[1].tolist() == [20, 0, 30, 10]


def test_each_object_knows_the_size_of_its_image(shared):
    dataset = open_dataset(shared / "coco128/coco_val2017.json")
    labels = labels_of(dataset)
    expected = [(record.width, record.height) for record in dataset.records for _ in record.labels]
    assert [tuple(size) for size in labels.sizes_of(labels.objects).tolist()] == expected
    assert len(set(expected)) > 1


def test_file_names_are_relative_to_the_folder_of_the_images(shared):
    dataset = open_dataset(shared / "bccd", "val")
    labels = labels_of(dataset)
    assert len(labels.images) == len(dataset)
    for name, record in zip(labels.images["file_name"], dataset.records, strict=True):
        assert (labels.folder / name).samefile(record.file)


def test_a_data_set_without_objects(two_images):
    labels = labels_of(type(two_images)("pets", "val", ("cat",), (5,), two_images.records[2:]))
    assert len(labels.objects) == 0
    assert labels.objects.schema["category_id"] == pl.Int64
