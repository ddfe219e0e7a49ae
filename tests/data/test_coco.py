import json

import numpy as np
import pytest

from hardmine.data import available_splits, check, open_dataset
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


def test_an_id_of_two_images_leaves_both_out_with_their_annotations(tmp_path, write_coco, write_image):
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in ((1, "b"), (2, "a"), (1, "c"))]
    for name in "bc":
        write_image(tmp_path / f"{name}.png")
    annotations = [annotation(), annotation(id=2, image_id=2)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert [record.file.name for record in dataset.records] == ["a.png"]
    assert [(problem.severity, problem.record) for problem in dataset.problems] == [("error", "image id 1")] * 2
    assert "2 images have this id" in dataset.problems[0].message


def test_an_image_that_is_listed_once_an_annotation_is_one_image(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}] * 3
    annotations = [annotation(id=number, bbox=[10 * number, 0, 9, 9]) for number in range(3)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert (len(dataset), len(dataset.records[0].boxes)) == (1, 3)
    assert "listed 3 times" in only_problem(dataset).message


def test_one_file_under_an_id_for_each_annotation_is_one_image(tmp_path, write_coco):
    images = [{"id": number, "file_name": name} for number, name in ((4, "a.png"), (5, "./a.png"), (6, "a.png"))]
    annotations = [annotation(id=n, image_id=n, bbox=[10 * n - 40, 0, 9, 9]) for n in (4, 5, 6)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert [record.boxes[:, 0].tolist() for record in dataset.records] == [[0, 10, 20]]
    assert dataset.records[0].ids == (4, 5, 6)
    assert [problem.severity for problem in dataset.problems] == ["warning"] * 2


@pytest.mark.parametrize("own", ["4", "a-uuid", "007", 2.0, 2**63, 2**80, -(2**70), "ÿ"])
def test_ids_are_keys_whatever_they_look_like(tmp_path, write_coco, write_image, own):
    write_image(tmp_path / "b.png")
    images = [{"id": own, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}]
    annotations = [annotation(image_id=own), annotation(id=own, image_id=9, category_id=own)]
    categories = [{"id": own, "name": "cat"}, {"id": 1, "name": "dog"}]
    file = write_coco(tmp_path / "train.json", images=images, annotations=annotations, categories=categories)
    dataset = open_dataset(file)
    named = {record.file.name: [dataset.classes[label] for label in record.labels] for record in dataset.records}
    assert named == {"a.png": ["dog"], "b.png": ["cat"]}
    assert [record.ids for record in dataset.records] == [(own,), (9,)]
    assert set(dataset.own_category_ids) == {own, 1}
    assert all(abs(number) < 2**63 for number in (*dataset.category_ids, *(r.image_id for r in dataset.records)))
    assert dataset.problems == ()


@pytest.mark.parametrize(("in_images", "in_annotations"), [(7, "7"), ("7", 7), (7.0, 7), (7, 7.0), ("7", 7.0)])
def test_numbers_as_texts_or_fractions_are_the_same_ids(tmp_path, write_coco, in_images, in_annotations):
    images, annotations = [{"id": in_images, "file_name": "a.png"}], [annotation(image_id=in_annotations)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert (len(dataset.records[0].boxes), dataset.problems) == (1, ())


@pytest.mark.parametrize("image", [None, {"id": None, "file_name": "a.png"}, {"id": 2}, {"id": True, "file_name": "a"}])
def test_image_without_usable_id_or_name_is_reported(tmp_path, write_coco, image):
    images = [{"id": 1, "file_name": "a.png"}, image]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert only_problem(dataset).record == "image 2"


def test_missing_image_is_left_out_with_its_objects_in_one_report(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "gone.png"}]
    file = write_coco(tmp_path / "train.json", images=images, annotations=[annotation(), annotation(id=2, image_id=2)])
    dataset = open_dataset(file)
    assert len(dataset) == 1
    assert (only_problem(dataset).severity, only_problem(dataset).record) == ("error", "image id 2")
    assert "'gone.png' is missing" in only_problem(dataset).message


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\a.png", "C:\\a.png", "", "a\0.png"])
def test_file_name_that_leads_elsewhere_is_refused(tmp_path, write_coco, write_image, name):
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "a.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": name}]
    dataset = open_dataset(write_coco(tmp_path / "data" / "train.json", images=images))
    assert len(dataset) == 1
    assert "is refused" in only_problem(dataset).message


def test_name_too_long_for_the_system_is_missing(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a" * 5000}]
    assert "is missing" in only_problem(open_dataset(write_coco(tmp_path / "train.json", images=images))).message


@pytest.mark.parametrize("size", [(-64, 48), ("64", "48"), (64, None), (64.5, 48)])
def test_stated_size_that_is_no_size_is_reported(tmp_path, write_coco, size):
    images = [{"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert only_problem(dataset).severity == "warning"
    assert (dataset.records[0].width, dataset.records[0].height) == (64, 48)


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


@pytest.mark.parametrize(
    "prefix",
    [
        *("/somewhere/else/", "https://host.example/bucket/", "C:\\data\\", "gs://bucket/x/", "../lsx/w/"),
        *("/data/local-files/?d=deep/", "https://host.example/data/local-files/?d=x%2Fdeep%2F"),
    ],
)
def test_names_of_elsewhere_are_found_by_their_last_parts(tmp_path, write_coco, write_image, prefix):
    for folder in ("one", "two"):
        write_image(tmp_path / "deep" / folder / "0.png")
    images = [{"id": n, "file_name": f"{prefix}{folder}/0.png"} for n, folder in ((1, "one"), (2, "two"))]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert [record.file.parent.name for record in dataset.records] == ["one", "two"]
    assert "2 images were found by the last parts of their names" in only_problem(dataset).message


def test_a_name_of_elsewhere_that_fits_two_files_is_left_out(tmp_path, write_coco, write_image):
    for folder in ("one", "two"):
        write_image(tmp_path / folder / "0.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "/else/three/0.png"}]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert len(dataset) == 1
    assert "may be" in only_problem(dataset).message


def test_two_names_of_elsewhere_for_one_file_are_both_left_out(tmp_path, write_coco, write_image):
    write_image(tmp_path / "0.png")
    images = [{"id": 1, "file_name": "a.png"}, *({"id": n, "file_name": f"/cam{n}/0.png"} for n in (2, 3))]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert [record.file.name for record in dataset.records] == ["a.png"]
    assert [problem.record for problem in dataset.problems] == ["image id 2", "image id 3"]


@pytest.mark.parametrize(
    "name", ["{here}/images/0.png", "../images/0.png", "..\\images\\0.png", "images/../images/0.png"]
)
def test_names_that_lead_into_the_data_sets_own_folder_are_read(tmp_path, write_coco, write_image, name):
    write_image(tmp_path / "images" / "0.png")
    (tmp_path / "annotations").mkdir()
    images = [{"id": 1, "file_name": name.format(here=tmp_path)}]
    dataset = open_dataset(write_coco(tmp_path / "annotations" / "train.json", images=images))
    assert (len(dataset), dataset.problems) == (1, ())


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_default.json", "images/default"),
        ("labels.json", "data"),
        ("annotations/coco.json", "images"),
        ("result.json", "images"),
        ("_annotations.coco.json", "."),
        ("annotations/instances_val2017.json", "val2017"),
    ],
)
def test_images_lie_where_tools_put_them(tmp_path, write_coco, write_image, file, folder):
    write_image(tmp_path / folder / "0.png")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    write_coco(tmp_path / file, images=[{"id": 1, "file_name": "0.png"}])
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.problems) == (1, ())


def test_pictures_are_not_needed_where_sizes_are_stated(tmp_path, write_coco):
    images = [{"id": n, "file_name": f"gone/{n}.png", "width": 64, "height": 48} for n in (1, 2)]
    file = write_coco(tmp_path / "train.json", images=[*images, {"id": 3, "file_name": "gone/3.png"}])
    dataset = open_dataset(file, need_pictures=False)
    assert [(record.image_id, record.width, record.height) for record in dataset.records] == [(1, 64, 48), (2, 64, 48)]
    assert only_problem(dataset).record == "image id 3"


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
