import json

import numpy as np
from PIL import Image

from hardmine.augmentation import object_masks
from hardmine.data import Fold, hold_out, open_dataset, open_scenes
from hardmine.data.tiles import tiled

TRIANGLE = [[10, 10, 30, 10, 10, 30]]


def coco(folder, *annotations):
    Image.fromarray(np.zeros((40, 50, 3), dtype=np.uint8)).save(folder / "a.png")
    told = [{"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, **of} for n, of in enumerate(annotations, start=1)]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 50, "height": 40}],
        "annotations": told,
        "categories": [{"id": 1, "name": "a"}],
    }
    (folder / "train.json").write_text(json.dumps(document))
    dataset = open_dataset(folder, "train")
    return dataset, object_masks(dataset, str(folder))


def test_polygons_are_found_by_the_box_of_their_object(tmp_path):
    others = {"bbox": [0, 0, 5, 5], "segmentation": [[0, 0, 5, 0, 5, 5, 0, 5]]}
    _, masks = coco(tmp_path, others, {"bbox": [10, 10, 20, 20], "segmentation": TRIANGLE})
    mask = masks(0, np.array([10, 10, 30, 30], dtype=np.float32))
    assert mask.shape == (40, 50)
    assert mask[11, 11]
    assert not mask[29, 29]
    assert abs(mask.sum() - 200) < 25
    assert masks(0, np.array([10, 10, 31, 30], dtype=np.float32)) is None


def test_run_lengths_too(tmp_path):
    counts = [10 * 40 + 10, 20, 29 * 40 + 10, 0, 10 * 40]  # rows 10 to 29 of column 10
    shape = {"size": [40, 50], "counts": counts}
    _, masks = coco(tmp_path, {"bbox": [10, 10, 1, 20], "segmentation": shape})
    assert masks(0, np.array([10, 10, 11, 30])).sum() == 20


def test_boxes_over_the_border_are_found_as_readers_clip_them(tmp_path):
    shape = [[40, 30, 60, 30, 60, 50, 40, 50]]
    dataset, masks = coco(tmp_path, {"bbox": [40, 30, 20, 20], "segmentation": shape})
    assert dataset.records[0].boxes.tolist() == [[40, 30, 50, 40]]
    assert masks(0, dataset.records[0].boxes[0]).sum() == 100


def test_a_shape_that_cannot_be_read_is_none(tmp_path):
    _, masks = coco(tmp_path, {"bbox": [10, 10, 20, 20], "segmentation": [[1, 2, 3]]})
    assert masks(0, np.array([10, 10, 30, 30])) is None


def test_boxes_alone_have_no_masks(tmp_path):
    assert coco(tmp_path, {"bbox": [10, 10, 20, 20]})[1] is None


def test_the_scenes_know_their_ink():
    scenes = open_scenes("train", num_images=12, size=64)
    learnt, _ = hold_out(scenes, Fold(1, 3))
    masks = object_masks(learnt, "scenes")
    for image, record in enumerate(learnt.records):
        for box in record.boxes:
            mask = masks(image, box)
            x1, y1, x2, y2 = box.astype(int)
            assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0


def test_tiles_have_no_ink():
    tiles = tiled(open_scenes("train", num_images=4, size=64), 32)
    masks = object_masks(tiles, "scenes")
    assert masks(0, np.array([0, 0, 9, 9])) is None
