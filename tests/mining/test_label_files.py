"""What a mined folder says of its labels is read as it was."""

from dataclasses import replace

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset, open_scenes
from hardmine.mining import label_files, labels_of, mine, write_mined


def test_the_labels_of_a_mined_folder_are_those_that_were_mined(tmp_path):
    """Crowds, duplicates and places that could not be read are not objects the second time either."""
    scenes = open_scenes("val", 8)
    first, *others = sorted(scenes.records, key=lambda record: -len(record.labels))
    changed = replace(
        first,
        is_crowd=np.arange(len(first.labels)) == 0,
        duplicate_of=np.array([1]),
        unreadable=np.array([[0, 0, 9, 9]], dtype=np.float32),
    )
    dataset = DetectionDataset("s", "val", scenes.classes, scenes.category_ids, [changed, *others])
    found = {"image_id": first.image_id, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
    write_mined(tmp_path / "mined", mine(dataset, [found]), "x")
    labels, again = labels_of(dataset), label_files(tmp_path / "mined")
    columns = [name for name in labels.objects.columns if name != "object"]
    assert again.objects.select(columns).collect().equals(labels.objects.select(columns))
    assert again.images.collect().equals(labels.images)
    assert again.categories == labels.categories


def test_marks_may_be_left_out(tmp_path):
    scenes = open_scenes("val", 4)
    labels = labels_of(scenes)
    names = {"category_id": list(labels.categories), "category": list(labels.categories.values())}
    labels.images.write_parquet(tmp_path / "images.parquet")
    labels.objects.drop("is_crowd", "is_duplicate", "category", "object").write_parquet(tmp_path / "objects.parquet")
    pl.DataFrame(names).write_parquet(tmp_path / "categories.parquet")
    objects = label_files(tmp_path).objects.collect()
    assert not objects["is_crowd"].any()
    assert not objects["is_duplicate"].any()
    assert objects["category"].equals(labels.objects["category"])
