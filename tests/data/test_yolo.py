import os

import pytest

from hardmine.data import available_splits, check, open_dataset
from hardmine.errors import DataError


def test_reads_boxes_and_names_in_the_order_of_the_yaml(tmp_path, write_yolo):
    dataset = open_dataset(write_yolo(tmp_path, "1 0.5 0.5 0.25 0.5\n\n0 .125 .25 .25 .5\n"))
    assert dataset.classes == ("cat", "dog")
    assert dataset.category_ids == (0, 1)
    assert dataset.records[0].boxes.tolist() == [[24, 12, 40, 36], [0, 0, 16, 24]]
    assert dataset.records[0].labels.tolist() == [1, 0]
    assert dataset.problems == ()


def test_names_as_a_mapping_keep_the_files_own_ids(tmp_path, write_yolo):
    yaml = "path: .\ntrain: images/train\nnames: {7: dog, 3: cat}\n"
    dataset = open_dataset(write_yolo(tmp_path, "7 .5 .5 .2 .2", yaml))
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (3, 7))
    assert dataset.records[0].labels.tolist() == [1]


def test_background_images_have_an_empty_label_file_or_none(tmp_path, write_yolo, write_image):
    write_yolo(tmp_path, "")
    write_image(tmp_path / "images" / "train" / "b.png")
    dataset = open_dataset(tmp_path)
    assert [len(record.boxes) for record in dataset.records] == [0, 0]
    assert [record.image_id for record in dataset.records] == [1, 2]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .2", "4 fields, expected 5"),
        ("0 .5 .5 .2 .2 -.9", "6 fields, of which the last number is neither a confidence nor an id"),
        ("0 .5 .5 .2 .2 .1 .2 40", "8 fields, expected 5"),
        ("cat .5 .5 .2 .2", "is not all numbers"),
        ("0 .5 .5 x .2", "is not all numbers"),
        ("0.5 .5 .5 .2 .2", "class 0.5 is not an integer"),
        ("nan .5 .5 .2 .2", "class nan is not an integer"),
        ("0 nan .5 .2 .2", "is not finite"),
        ("0 inf .5 .2 .2", "is not finite"),
        ("0 .5 .5 0 .2", "is inverted or has no area"),
        ("0 .5 .5 -.2 .2", "is inverted or has no area"),
        ("0 40 30 10 10", "lies outside the image"),
        ("2 .5 .5 .2 .2", "class id 2 is unknown, expected one of 0, 1"),
        ("-1 .5 .5 .2 .2", "class id -1 is unknown"),
    ],
)
def test_line_that_cannot_be_used_is_left_out_and_reported(tmp_path, write_yolo, line, message):
    dataset = open_dataset(write_yolo(tmp_path, f"1 .5 .5 .1 .1\n{line}\n"))
    (problem,) = dataset.problems
    assert len(dataset.records[0].boxes) == 1
    assert (problem.severity, problem.record) == ("error", "line 2")
    assert problem.file == tmp_path / "labels" / "train" / "a.txt"
    assert message in problem.message


def test_box_over_the_border_is_clipped_and_reported(tmp_path, write_yolo):
    dataset = open_dataset(write_yolo(tmp_path, "0 1.0 0.5 0.5 0.5"))
    assert dataset.records[0].boxes.tolist() == [[48, 12, 64, 36]]
    assert [problem.severity for problem in dataset.problems] == ["warning"]


def test_polygon_becomes_its_bounding_box_and_is_reported(tmp_path, write_yolo):
    dataset = open_dataset(write_yolo(tmp_path, "0 .25 .25 .5 .25 .375 .75"))
    assert dataset.records[0].boxes.tolist() == [[16, 12, 32, 36]]
    assert "polygon" in dataset.problems[0].message


def test_label_file_without_image_is_reported(tmp_path, write_yolo):
    write_yolo(tmp_path)
    lonely = tmp_path / "labels" / "train" / "lonely.txt"
    lonely.write_text("0 .5 .5 .1 .1")
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.severity, problem.file) == ("error", lonely)


def test_label_file_that_is_not_text_leaves_its_image_out(tmp_path, write_yolo, write_image):
    write_yolo(tmp_path)
    write_image(tmp_path / "images" / "train" / "b.png")
    (tmp_path / "labels" / "train" / "b.txt").write_bytes(b"\xff\xfe\x00")
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    assert "labels cannot be read" in dataset.problems[0].message


def test_split_as_a_list_of_images(tmp_path, write_yolo):
    write_yolo(tmp_path, yaml="names: [cat]\ntrain: train.txt\n")
    (tmp_path / "train.txt").write_text("./images/train/a.png\n\nimages/train/gone.png\n../../secret.png\n")
    dataset = open_dataset(tmp_path)
    assert len(dataset.records[0].boxes) == 1
    assert [problem.record for problem in dataset.problems] == ["line 3", "line 4"]
    assert "is refused" in dataset.problems[1].message


def test_roboflow_folders_beside_the_yaml(tmp_path, write_image):
    for folder in ("train", "valid"):
        write_image(tmp_path / folder / "images" / "a.png")
        (tmp_path / folder / "labels").mkdir()
        (tmp_path / folder / "labels" / "a.txt").write_text("0 .5 .5 .5 .5")
    (tmp_path / "data.yaml").write_text("names: [cat]\nnc: 1\ntrain: ../train/images\nval: ../valid/images\n")
    assert available_splits(tmp_path) == ("train", "val")
    assert len(open_dataset(tmp_path, "val").records[0].boxes) == 1
    (tmp_path / "data.yaml").unlink()
    assert available_splits(tmp_path) == ("train", "val")
    assert open_dataset(tmp_path, "valid").classes == ("0",)


def test_folders_without_yaml(tmp_path, write_yolo):
    write_yolo(tmp_path, "2 .5 .5 .5 .5")
    (tmp_path / "data.yaml").unlink()
    assert open_dataset(tmp_path).split == "train"
    assert open_dataset(tmp_path).classes == ("0", "1", "2")
    (tmp_path / "classes.txt").write_text("cat\ndog\nbird\n")
    assert open_dataset(tmp_path).classes == ("cat", "dog", "bird")


def test_flat_folders_without_yaml(tmp_path, write_image):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .5 .5")
    assert available_splits(tmp_path) == ("all",)
    assert len(open_dataset(tmp_path).records[0].boxes) == 1


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [", "is not readable YAML"),
        ("- a list", "is not a YOLO data file"),
        ("train: images/train", "names is not usable"),
        ("train: images/train\nnames: {a: b}", "names is not usable"),
        ("train: images/train\nnames: [cat]\nnc: 3", "nc is 3, but there are 1 names"),
        ("train: images/train\nnames: [cat]\npath: /etc", "'/etc' is refused"),
        ("train: ../../elsewhere\nnames: [cat]", "is refused"),
        ("train: !!python/object/apply:os.getcwd []", "is not readable YAML"),
        ("train: images/none\nnames: [cat]", "no usable image.*there is no such folder"),
    ],
)
def test_yaml_that_cannot_be_used_is_one_clear_error(tmp_path, write_yolo, yaml, message):
    write_yolo(tmp_path, yaml=yaml)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


def test_number_of_classes_stands_for_names(tmp_path, write_yolo):
    assert open_dataset(write_yolo(tmp_path, yaml="train: images/train\nnc: 2")).classes == ("0", "1")


LABEL = "0 .5 .5 .25 .5"
BOX = [24, 12, 40, 36]


def opened(path, split=None, **options):
    """By name of the image below the data set, its boxes."""
    dataset = open_dataset(path, split, **options)
    return {record.file.relative_to(path).as_posix(): record.boxes.tolist() for record in dataset.records}


@pytest.mark.parametrize("yaml", ["names: [cat]\ntrain: images/train\nval: images/val\n", None])
def test_folders_are_read_with_all_that_is_in_them(tmp_path, write_tree, yaml):
    images = ("images/train/a.png", "images/train/cam1/a.png", "images/train/cam2/day 1/b.png", "images/val/cam1/c.png")
    labels = {image.replace("images", "labels").replace(".png", ".txt"): LABEL for image in images}
    write_tree(tmp_path, *images, **labels, **({"data.yaml": yaml} if yaml else {}))
    (tmp_path / "images" / "train" / "cam1" / "again").symlink_to(tmp_path / "images" / "train")
    assert available_splits(tmp_path) == ("train", "val")
    assert opened(tmp_path, "train") == {image: [BOX] for image in images[:3]}
    assert opened(tmp_path, "val") == {images[3]: [BOX]}
    assert open_dataset(tmp_path, "train").problems == ()


def test_folders_that_are_no_splits_are_one(tmp_path, write_tree):
    images = ("images/cam1/a.png", "images/cam2/a.png", "images/b.png")
    write_tree(tmp_path, *images, **{i.replace("images", "labels").replace(".png", ".txt"): LABEL for i in images})
    assert opened(tmp_path, "all") == {image: [BOX] for image in images}


@pytest.mark.parametrize(
    ("image", "other"),
    [("images/a.png", "images/train/b.png"), ("a.png", "train/b.png"), ("a.png", "images/b.png")],
)
def test_images_beside_the_folders_of_splits_are_reported(tmp_path, write_tree, image, other):
    texts = {"a.txt": "", other.replace(".png", ".txt"): LABEL}
    write_tree(tmp_path, image, other, **texts)
    *_, problem = sorted(open_dataset(tmp_path).problems, key=lambda problem: problem.severity == "error")
    assert (problem.severity, problem.message) == (
        "error",
        f"left out: 1 images in no split, the first is '{tmp_path / image}'; move them",
    )


def test_two_folders_of_a_split_are_both_read(tmp_path, write_tree):
    images = ("images/train2014/a.png", "images/train2017/b.png")
    write_tree(tmp_path, *images, **{i.replace("images", "labels").replace(".png", ".txt"): LABEL for i in images})
    assert opened(tmp_path, "train") == {image: [BOX] for image in images}


def test_folder_of_another_split_is_left_to_it(tmp_path, write_tree):
    images = ("images/a.png", "images/val/b.png")
    labels = {i.replace("images", "labels").replace(".png", ".txt"): LABEL for i in images}
    write_tree(tmp_path, *images, **labels, **{"data.yaml": "names: [cat]\ntrain: images\nval: images/val"})
    assert list(opened(tmp_path, "train")) == ["images/a.png"]
    assert list(opened(tmp_path, "val")) == ["images/val/b.png"]
    (problem,) = open_dataset(tmp_path, "train").problems
    assert "are not of split 'train'" in problem.message


def test_nested_label_file_without_image_is_reported(tmp_path, write_yolo, write_tree):
    write_tree(write_yolo(tmp_path), **{"labels/train/cam1/lonely.txt": LABEL})
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.severity, problem.file.name) == ("error", "lonely.txt")


def test_split_without_any_label_file_is_refused_unless_it_is_meant(tmp_path, write_yolo, write_tree):
    write_tree(write_yolo(tmp_path, yaml="names: [cat]\ntrain: images/train\nval: images/val\n"), "images/val/a.png")
    with pytest.raises(DataError, match=r"none of its 1 images has a label file.*looked in .*labels/val") as raised:
        open_dataset(tmp_path, "val")
    assert "label files of these names" not in str(raised.value)
    assert opened(tmp_path, "val", allow_unlabelled=True) == {"images/val/a.png": []}
    report = check(tmp_path)
    assert (report.num_errors, report.faults) == (1, ("no image of val can be used",))
    assert check(tmp_path, allow_unlabelled=True).is_usable


def test_folder_of_a_split_without_labels_is_not_passed_over(tmp_path, write_tree):
    texts = {"train/labels/a.txt": LABEL, "classes.txt": "cat"}
    write_tree(tmp_path, "train/images/a.png", "test/images/b.png", "other/images/c.png", **texts)
    assert available_splits(tmp_path) == ("train", "test")
    report = check(tmp_path)
    assert (report.is_usable, report.num_errors) == (True, 1)


def test_where_labels_lie_instead_is_said(tmp_path, write_tree):
    texts = {"data.yaml": "names: [cat]\ntrain: pictures", "txt/a.txt": LABEL, "captions/a.txt": "a cat"}
    write_tree(tmp_path, "pictures/a.png", **texts)
    with pytest.raises(DataError, match=r"label files of these names are in .*/txt: move them there"):
        open_dataset(tmp_path)


def test_labels_beside_images_in_a_folder_called_images(tmp_path, write_tree):
    texts = {"data.yaml": "names: [cat]\ntrain: images/train", "images/train/a.txt": LABEL, "images/train/b.txt": LABEL}
    write_tree(tmp_path, "images/train/a.png", "images/train/b.png", **texts)
    assert opened(tmp_path) == {"images/train/a.png": [BOX], "images/train/b.png": [BOX]}
    (problem,) = open_dataset(tmp_path).problems
    assert "this and 1 other label files are taken from beside their images" in problem.message


def test_folder_of_images_without_labels_among_others_is_reported(tmp_path, write_yolo, write_tree):
    yaml = "names: [cat]\ntrain: [images/train, images/empty]"
    write_tree(write_yolo(tmp_path, yaml=yaml), "images/empty/b.png")
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.severity, problem.file) == ("warning", tmp_path / "images" / "empty")


def test_two_images_with_the_same_labels_are_reported(tmp_path, write_yolo, write_tree):
    write_tree(write_yolo(tmp_path), "images/train/a.jpg")
    (problem,) = open_dataset(tmp_path).problems
    assert "the labels of 2 images, a.jpg, a.png" in problem.message


def test_split_that_is_named_but_absent_does_not_hinder_the_others(tmp_path, write_yolo):
    write_yolo(tmp_path, yaml="names: [cat]\ntrain: images/train\ntest: images/test")
    assert open_dataset(tmp_path, "train").problems == ()
    report = check(tmp_path)
    assert (report.is_usable, report.num_errors) == (True, 1)
    with pytest.raises(DataError, match="there is no such folder"):
        open_dataset(tmp_path, "test")
    assert not check(tmp_path, "test").is_usable


def test_part_of_a_split_that_is_absent_is_reported(tmp_path, write_yolo):
    write_yolo(tmp_path, yaml="names: [cat]\ntrain: [images/train, images/more]")
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.severity, problem.file) == ("error", tmp_path / "images" / "more")


@pytest.mark.parametrize("name", ["dataset.yaml", "blood.yaml", "blood.yml"])
def test_any_yaml_with_names_declares_the_folder(tmp_path, write_yolo, write_tree, name):
    write_tree(write_yolo(tmp_path), **{"hyp.yaml": "lr0: 0.01"})
    (tmp_path / "data.yaml").rename(tmp_path / name)
    assert open_dataset(tmp_path).classes == ("cat", "dog")
    assert open_dataset(tmp_path / name).classes == ("cat", "dog")
    write_tree(tmp_path, **{"another.yaml": "names: [bird]"})
    with pytest.raises(DataError, match=r"several files that may declare it.*give one of them"):
        open_dataset(tmp_path)


def test_yaml_with_names_only_declares_what_the_folders_show(tmp_path, write_tree):
    texts = {"labels/a.txt": LABEL, "data.yaml": "nc: 2\nnames: [cat, dog]"}
    write_tree(tmp_path, "images/a.png", **texts)
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.classes, len(dataset.records[0].boxes)) == ("all", ("cat", "dog"), 1)
    write_tree(tmp_path / "alone", **{"data.yaml": "names: [cat]"})
    with pytest.raises(DataError, match="names no split"):
        open_dataset(tmp_path / "alone")


def test_layout_of_cvat_and_darknet(tmp_path, write_tree):
    texts = {
        "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
        "obj.names": "cat\ndog\n",
        "train.txt": "data/obj_train_data/a 1.png\ndata/obj_train_data/sub/b.png\n",
        "obj_train_data/a 1.txt": "1 .5 .5 .25 .5\n",
        "obj_train_data/sub/b.txt": "",
    }
    write_tree(tmp_path, "obj_train_data/a 1.png", "obj_train_data/sub/b.png", **texts)
    for path in (tmp_path, tmp_path / "obj.data"):
        dataset = open_dataset(path)
        assert (dataset.split, dataset.classes, dataset.problems) == ("train", ("cat", "dog"), ())
        assert [record.labels.tolist() for record in dataset.records] == [[1], []]


@pytest.mark.parametrize("folder", ["", "images/"])
@pytest.mark.parametrize("names", ["classes.txt", "obj.names"])
def test_labels_beside_images_without_anything_else(tmp_path, write_tree, folder, names):
    texts = {f"{folder}a.txt": "1 .5 .5 .25 .5", f"{folder}{names}": "cat\ndog", f"{folder}README.txt": "about it"}
    write_tree(tmp_path, f"{folder}a.png", **texts)
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.classes, dataset.records[0].labels.tolist()) == ("all", ("cat", "dog"), [1])
    assert not [problem for problem in dataset.problems if problem.severity == "error"]


def test_layout_of_darknet_without_its_data_file(tmp_path, write_tree):
    texts = {"data/a.txt": LABEL, "obj.names": "cat\ndog", "images.txt": "data/a.png\n"}
    write_tree(tmp_path, "data/a.png", **texts)
    assert (open_dataset(tmp_path).classes, opened(tmp_path)) == (("cat", "dog"), {"data/a.png": [BOX]})


def test_labels_beside_images_in_folders_of_splits(tmp_path, write_tree):
    texts = {f"{split}/{name}": text for split in ("train", "valid", "test") for name, text in
             (("a.txt", LABEL), ("_darknet.labels", "cat"))}  # fmt: skip
    write_tree(tmp_path, "train/a.png", "valid/a.png", "test/a.png", **texts)
    assert available_splits(tmp_path) == ("train", "val", "test")
    assert open_dataset(tmp_path, "val").classes == ("cat",)
    assert opened(tmp_path, "test") == {"test/a.png": [BOX]}
    assert check(tmp_path).problems == ()


def test_label_studios_export(tmp_path, write_tree):
    notes = '{"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}], "info": {}}'
    write_tree(tmp_path, "images/a.png", **{"labels/a.txt": LABEL, "classes.txt": "cat\ndog\n", "notes.json": notes})
    assert open_dataset(tmp_path).classes == ("cat", "dog")
    (tmp_path / "classes.txt").unlink()
    assert open_dataset(tmp_path).classes == ("cat", "dog")


def test_equal_names_are_told_apart_and_reported(tmp_path, write_yolo):
    dataset = open_dataset(write_yolo(tmp_path, yaml="names: [cat, cat]\ntrain: images/train"))
    assert dataset.classes == ("cat", "cat (id 1)")
    assert "used twice" in dataset.problems[0].message


def test_pose_boxes_are_read_as_the_yaml_declares(tmp_path, write_yolo):
    yaml = "names: [cat]\ntrain: images/train\nkpt_shape: [2, 3]"
    dataset = open_dataset(write_yolo(tmp_path, f"{LABEL} .5 .4 2 .5 .6 0", yaml))
    assert (dataset.records[0].boxes.tolist(), dataset.problems) == ([BOX], ())


def test_lines_with_as_many_numbers_are_of_one_kind_in_all_splits(tmp_path, write_tree):
    texts = {
        "data.yaml": "names: [cat]\ntrain: images/train\nval: images/val",
        "labels/train/a.txt": f"{LABEL} .9 1",  # alone it could be a triangle at the border
        "labels/val/b.txt": "0 .1 .1 .3 .1 .2 .4",
    }
    write_tree(tmp_path, "images/train/a.png", "images/val/b.png", **texts)
    for split, lines in (("train", 1), ("val", 1)):
        (problem,) = open_dataset(tmp_path, split).problems
        assert f"{lines} lines of labels have 7 fields: polygons" in problem.message


@pytest.mark.parametrize(
    ("line", "is_complete", "places"),
    [
        ("cat .5 .5 .25 .5", True, [BOX]),
        ("0 .5 .5 .25 .5 -3", True, [BOX]),
        ("7 .5 .5 .25 .5", True, [BOX]),
        ("0 .5 .5 .25", False, []),
        ("0 .5 .5 x .5", False, []),
    ],
)
def test_what_cannot_be_read_is_no_background(tmp_path, write_yolo, line, is_complete, places):
    record = open_dataset(write_yolo(tmp_path, f"{line}\n1 .5 .5 .1 .1")).records[0]
    assert (record.is_complete, record.unreadable.tolist(), len(record.boxes)) == (is_complete, places, 1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, write_yolo, encoding):
    write_yolo(tmp_path, yaml="names: [cat]\ntrain: train.txt")
    texts = {
        "labels/train/a.txt": LABEL,
        "data.yaml": "names: [Käfer]\ntrain: train.txt",
        "train.txt": "images/train/a.png",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding=encoding)
    dataset = open_dataset(tmp_path)
    assert (dataset.classes, dataset.records[0].boxes.tolist(), dataset.problems) == (("Käfer",), [BOX], ())


def test_label_file_that_is_no_file_leaves_its_image_out(tmp_path, write_yolo, write_image):
    write_yolo(tmp_path)
    for name in ("pipe", "link"):
        write_image(tmp_path / "images" / "train" / f"{name}.png")
    os.mkfifo(tmp_path / "labels" / "train" / "pipe.txt")
    (tmp_path / "labels" / "train" / "link.txt").symlink_to(tmp_path / "gone.txt")
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    assert [problem.file.name for problem in dataset.problems] == ["link.txt", "pipe.txt"]
