import json

import numpy as np
import pytest

from hardmine.data import available_splits, check, open_dataset
from hardmine.data.coco import find_coco
from hardmine.data.entries import Reading
from hardmine.errors import DataError


def annotation(**changes):
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0, **changes}


def only_problem(dataset):
    assert len(dataset.problems) == 1, dataset.problems
    return dataset.problems[0]


def test_reads_boxes_labels_crowd_and_mask_areas(tmp_path, write_coco):
    crowd = annotation(id=2, category_id=2, bbox=[0, 0, 5, 5], iscrowd=1)
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=[annotation(area=123.0), crowd]))
    record = dataset.records[0]
    assert dataset.classes == ("cat", "dog")
    assert record.boxes.tolist() == [[10, 10, 30, 30], [0, 0, 5, 5]]
    assert record.labels.tolist() == [0, 1]
    assert record.is_crowd.tolist() == [False, True]
    assert record.object_areas().tolist() == [123, 25]
    assert dataset.problems == ()


def test_labels_count_through_gaps_in_category_ids(tmp_path, write_coco):
    categories = [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}]
    file = write_coco(tmp_path / "train.json", categories=categories, annotations=[annotation(category_id=90)])
    dataset = open_dataset(file)
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (7, 90))
    assert dataset.records[0].labels.tolist() == [1]
    assert dataset.coco_ground_truth()["annotations"][0]["category_id"] == 90


def test_image_without_annotations_is_background(tmp_path, write_coco):
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=[]))
    assert dataset.records[0].boxes.shape == (0, 4)
    assert dataset.problems == ()


def test_files_that_differ_in_the_split_are_one_family(tmp_path, write_coco):
    train = write_coco(tmp_path / "coco_train2017.json", categories=[{"id": 1, "name": "cat"}])
    write_coco(tmp_path / "coco_val2017.json", categories=[{"id": 2, "name": "dog"}], annotations=[])
    write_coco(tmp_path / "other_val2017.json")
    assert available_splits(train) == ("train", "val")
    assert open_dataset(train).split == "train"
    assert open_dataset(train, "val").classes == ("cat", "dog")  # the same in every split
    assert available_splits(tmp_path) == ("coco_train2017", "coco_val2017", "other_val2017")


def test_folder_of_annotations_beside_folders_of_images(tmp_path, write_coco, write_image):
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        file = write_coco(tmp_path / "annotations" / f"instances_{split}2017.json")
        (tmp_path / "annotations" / f"captions_{split}2017.json").write_text(file.read_text())
        write_image(tmp_path / f"{split}2017" / "a.png")
    (tmp_path / "annotations" / "a.png").unlink()
    assert available_splits(tmp_path) == ("train", "val")
    assert open_dataset(tmp_path, "val").records[0].file == tmp_path / "val2017" / "a.png"


def test_folder_of_folders_by_split(tmp_path, write_coco):
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        write_coco(tmp_path / split / "_annotations.coco.json")
    assert available_splits(tmp_path) == ("train", "val")
    assert open_dataset(tmp_path / "valid" / "_annotations.coco.json").split == "val"


def test_other_json_files_are_not_splits(tmp_path, write_coco):
    write_coco(tmp_path / "train.json")
    (tmp_path / "results.json").write_text('[{"image_id": 1}]')
    assert available_splits(tmp_path) == ("train",)


def test_images_may_lie_elsewhere(tmp_path, write_coco, write_image):
    file = write_coco(tmp_path / "train.json")
    (tmp_path / "a.png").unlink()
    elsewhere = write_image(tmp_path / "elsewhere" / "a.png")
    assert open_dataset(file, images=elsewhere.parent).records[0].file == elsewhere
    assert check(file, images=elsewhere.parent).num_errors == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"category_id": 9}, "class id 9 is unknown, expected one of 1, 2"),
        ({"category_id": "cat"}, 'category_id is "cat"'),
        ({"image_id": 5}, "image id 5 is not among the images"),
        ({"image_id": [5]}, "image id [5] is not among the images"),
        ({"bbox": [1, 2, 3]}, "expected four numbers"),
        ({"bbox": None}, "expected four numbers"),
        ({"bbox": [1, 2, "3", 4]}, "expected four numbers"),
        ({"bbox": [1, 2, True, 4]}, "expected four numbers"),
        ({"bbox": [1, 2, float("nan"), 4]}, "is not finite"),
        ({"bbox": [1, 2, float("inf"), 4]}, "is not finite"),
        ({"bbox": [1, 2, 10**400, 4]}, "is not finite"),
        ({"bbox": [10, 10, 0, 5]}, "is inverted or has no area"),
        ({"bbox": [10, 10, -5, 5]}, "is inverted or has no area"),
        ({"bbox": [70, 10, 5, 5]}, "lies outside the image of 64x48"),
        ({"bbox": [-70, 10, 5, 5]}, "lies outside the image of 64x48"),
    ],
)
def test_object_that_cannot_be_used_is_left_out_and_reported(tmp_path, write_coco, fields, message):
    file = write_coco(tmp_path / "train.json", annotations=[annotation(id=17, **fields), annotation(id=18)])
    dataset = open_dataset(file)
    problem = only_problem(dataset)
    assert len(dataset.records[0].boxes) == 1
    assert (problem.severity, problem.file, problem.record) == ("error", file, "annotation id 17")
    assert message in problem.message


@pytest.mark.parametrize("wrong", [None, 3, "text", ["list"]])
def test_annotation_that_is_not_an_object_is_reported_by_its_place(tmp_path, write_coco, wrong):
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=[wrong, annotation()]))
    assert only_problem(dataset).record == "annotation 1"


def test_box_over_the_border_is_clipped_and_reported(tmp_path, write_coco):
    file = write_coco(tmp_path / "train.json", annotations=[annotation(bbox=[-10, 10, 20, 100], area=2000)])
    dataset = open_dataset(file)
    assert dataset.records[0].boxes.tolist() == [[0, 10, 10, 48]]
    assert dataset.records[0].object_areas().tolist() == [380]  # the file's area is of the whole box
    assert (only_problem(dataset).severity, only_problem(dataset).record) == ("warning", "annotation id 1")


def test_rounding_over_the_border_is_not_worth_a_report(tmp_path, write_coco):
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=[annotation(bbox=[10, 10, 54.01, 20])]))
    assert dataset.problems == ()
    assert dataset.records[0].boxes.max() == 64


def test_odd_iscrowd_is_reported(tmp_path, write_coco):
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=[annotation(iscrowd=[7])]))
    assert "iscrowd is [7]" in only_problem(dataset).message
    assert not dataset.records[0].is_crowd.any()


def test_duplicate_annotation_id_is_kept_and_reported(tmp_path, write_coco):
    annotations = [annotation(), annotation(bbox=[30, 10, 20, 20])]
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=annotations))
    assert only_problem(dataset).severity == "warning"
    assert len(dataset.records[0].boxes) == 2


def test_categories_that_cannot_be_used_are_reported(tmp_path, write_coco):
    categories = [
        {"id": 1, "name": "cat"},
        {"id": 1, "name": "dog"},
        {"name": "bird"},
        "fish",
        {"id": 4, "name": "cat"},
    ]
    dataset = open_dataset(write_coco(tmp_path / "train.json", categories=categories))
    assert dataset.classes == ("cat", "cat (id 4)")
    assert [problem.severity for problem in dataset.problems] == ["error", "error", "error", "warning"]


def test_category_named_otherwise_in_another_split_is_refused(tmp_path, write_coco):
    train = write_coco(tmp_path / "train.json")
    write_coco(tmp_path / "val.json", categories=[{"id": 1, "name": "bird"}])
    with pytest.raises(DataError, match=r"category id 1 is 'bird', but 'cat' in .*train\.json"):
        open_dataset(train)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"images": ' + "9" * 5000 + "}", "\xff"])
def test_broken_json_is_one_clear_error(tmp_path, text):
    (tmp_path / "train.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"train\.json is not readable JSON"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("document", [[], {}, {"images": [], "annotations": {}, "categories": []}])
def test_json_of_another_kind_is_refused_by_name(tmp_path, document):
    (tmp_path / "train.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="is not a COCO file"):
        open_dataset(tmp_path / "train.json")


def test_no_usable_image_is_an_error_that_shows_the_first_problem(tmp_path, write_coco):
    file = write_coco(tmp_path / "train.json")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"no usable image.*first of 1 problems.*'a\.png' is missing"):
        open_dataset(file)
    with pytest.raises(DataError, match="no usable image"):
        open_dataset(write_coco(file, images=[], annotations=[]))


def test_ground_truth_gives_the_file_back(tmp_path, write_coco):
    truth = open_dataset(write_coco(tmp_path / "train.json")).coco_ground_truth()
    assert truth["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10.0, 10.0, 20.0, 20.0], "area": 400.0, "iscrowd": 0}
    ]
    assert truth["images"][0] | {"file_name": ""} == {"id": 1, "file_name": "", "width": 64, "height": 48}
    assert json.loads(json.dumps(truth)) == truth
    assert isinstance(truth["annotations"][0]["area"], float)
    assert not isinstance(truth["annotations"][0]["area"], np.floating)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[10, 12, 30, 12, 30, 20, 10, 20]],
        [10, 12, 30, 12, 30, 20],
        [[10, 12, 15, 12, 10, 20], [30, 12, 30, 20, 28, 20]],
        {"size": [48, 64], "counts": [10 * 48 + 12, *([8, 40] * 19), 8, (64 - 30) * 48 + 28]},
    ],
)
def test_an_object_without_a_bbox_has_that_of_its_polygon_or_mask(tmp_path, write_coco, segmentation):
    annotations = [annotation(bbox=[], segmentation=segmentation)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=annotations))
    assert dataset.records[0].boxes.tolist() == [[10, 12, 30, 20]]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    "segmentation", [None, [], [[1, 2, 3]], "x", {"size": [48], "counts": ""}, {"size": [4, 4], "counts": [3, -1, 14]}]
)
def test_an_object_without_a_place_leaves_its_image_incomplete(tmp_path, write_coco, segmentation):
    annotations = [annotation(bbox=None, segmentation=segmentation), annotation(id=2)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", annotations=annotations))
    assert not dataset.records[0].is_complete
    assert dataset.records[0].regions.tolist() == [[0, 0, 64, 48]]
    assert only_problem(dataset).record == "annotation id 1"


def test_half_a_character_in_a_name_is_written_out(tmp_path, write_coco, write_image):
    """JSON can hold it, and files of other systems; tables, consoles and other files cannot."""
    file = write_coco(
        tmp_path / "train.json",
        images=[{"id": "a\ud800", "file_name": "a.png"}],
        annotations=[annotation(image_id="a\ud800")],
        categories=[{"id": 1, "name": "cat\udfff"}],
    )
    dataset = open_dataset(file)
    assert (dataset.classes, dataset.records[0].image_id, len(dataset.records[0].boxes)) == (("cat\\udfff",), 1, 1)
    assert dataset.image_names.find([("a\\ud800", None)]) == [0]


@pytest.mark.parametrize("keep", [True, False])
def test_shapes_are_kept_where_they_are_asked_for(write_coco, tmp_path, keep):
    shape = [[1, 2, 3, 4, 5, 6]]
    objects = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 4, 4], "segmentation": shape}]
    source = find_coco(write_coco(tmp_path / "train.json", annotations=objects))
    (entry,) = source.read("train", Reading(keep_shapes=keep)).images
    assert entry.objects[0].shape == (shape if keep else None)
