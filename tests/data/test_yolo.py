import pytest

from hardmine.data import available_splits, open_dataset
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
