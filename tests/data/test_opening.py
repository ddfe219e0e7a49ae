import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from hardmine.data import available_splits, check, open_dataset
from hardmine.data.opening import find_source
from hardmine.errors import DataError


def test_precedence_of_formats_in_one_folder(tmp_path, write_yolo, write_coco, write_voc):
    def found():
        return find_source(tmp_path).format

    write_yolo(tmp_path)
    write_coco(tmp_path / "coco.json")
    xml = write_voc(tmp_path)
    assert found() == "YOLO"
    (tmp_path / "data.yaml").rename(tmp_path / "other.yaml")
    assert found() == "COCO"
    (tmp_path / "coco.json").rename(tmp_path / "coco.txt")
    assert found() == "Pascal VOC"
    xml.unlink()
    assert found() == "YOLO"


def test_a_file_chooses_its_format(tmp_path, write_yolo, write_coco, write_voc):
    write_yolo(tmp_path)
    files = [tmp_path / "data.yaml", write_coco(tmp_path / "coco.json"), write_voc(tmp_path)]
    assert [find_source(file).format for file in files] == ["YOLO", "COCO", "Pascal VOC"]


def test_what_declares_less_comes_later(tmp_path, write_tree):
    """A yaml by another name and folders that are laid out otherwise do not hide what was found before them."""

    def found():
        return find_source(tmp_path).format

    box = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>"
    xml, texts = f"<annotation>{box}</annotation>", {"labels/a.txt": "0 .5 .5 .2 .2"}
    write_tree(tmp_path, "images/a.png", **texts, **{"annotations/a.xml": xml, "set.yaml": "names: [cat]"})
    assert found() == "YOLO"
    (tmp_path / "set.yaml").unlink()
    assert found() == "YOLO"
    (tmp_path / "labels" / "a.txt").rename(tmp_path / "labels" / "a.xml")
    assert found() == "Pascal VOC"
    (tmp_path / "annotations" / "a.xml").rename(tmp_path / "Annotations.xml")
    assert found() == "Pascal VOC"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "there is no file or folder .*gone'; give the path of a data set, or 'scenes'"),
        ("empty", "holds no data set of a known format.*found no file"),
        ("notes.txt", "is not a data set; expected a .json"),
    ],
)
def test_paths_without_a_data_set(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    for function in (open_dataset, available_splits, check):
        with pytest.raises(DataError, match=message):
            function(tmp_path / name)


def test_what_was_found_instead_is_listed(tmp_path, write_tree):
    write_tree(tmp_path, "a.png", "b.png", **{"c/notes.md": "", "LICENSE": ""})
    with pytest.raises(DataError, match=r"found 2 \.png, 1 (\.md, 1 nameless|nameless, 1 \.md) files$"):
        open_dataset(tmp_path)


def test_folder_of_images_is_not_for_yolo(tmp_path, write_yolo):
    with pytest.raises(DataError, match="is YOLO, whose images lie beside it"):
        open_dataset(write_yolo(tmp_path), images=tmp_path)


def test_no_split_among_several_names_them(tmp_path, write_coco):
    write_coco(tmp_path / "train.json")
    write_coco(tmp_path / "val.json")
    with pytest.raises(DataError, match="no split was asked for; choose one of train, val"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, "validation").split == "val"


def corners(limit):
    return st.tuples(st.integers(0, limit - 1), st.integers(0, limit - 1)).map(sorted).map(lambda p: (p[0], p[1] + 1))


@given(st.lists(st.tuples(corners(64), corners(48), st.sampled_from(["ape", "bee"])), max_size=5, unique=True))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_same_boxes_in_every_format(tmp_path_factory, objects):
    root = tmp_path_factory.mktemp("formats")
    Image.new("RGB", (64, 48)).save(root / "a.png")
    boxes = [(x[0], y[0], x[1], y[1]) for x, y, _ in objects]
    names = [name for *_, name in objects]
    write_all_formats(root, boxes, names)
    for form in ("coco", "voc", "yolo"):
        dataset = open_dataset(root / form, classes=("ape", "bee"))
        assert dataset.problems == ()
        assert [dataset.classes[label] for label in dataset.records[0].labels] == names
        np.testing.assert_allclose(dataset.records[0].boxes, np.reshape(boxes, (-1, 4)), atol=1e-4)


def write_all_formats(root, boxes, names):
    """Class "ape" has one more object in a second image, so that every format knows at least one class."""
    order = ["ape", "bee"]
    annotations = [
        {"id": n, "image_id": 1, "category_id": order.index(name), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for n, ((x1, y1, x2, y2), name) in enumerate(zip(boxes, names, strict=True))
    ]
    elements = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for (x1, y1, x2, y2), name in zip(boxes, names, strict=True)
    )
    lines = [
        f"{order.index(name)} {(x1 + x2) / 128} {(y1 + y2) / 96} {(x2 - x1) / 64} {(y2 - y1) / 48}"
        for (x1, y1, x2, y2), name in zip(boxes, names, strict=True)
    ]
    files = {
        "coco/train.json": json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png"}],
                "annotations": annotations,
                "categories": [{"id": n, "name": name} for n, name in enumerate(order)],
            }
        ),
        "voc/a.xml": f"<annotation>{elements}</annotation>",
        "voc/b.xml": "<annotation><object><name>ape</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
        "<ymax>2</ymax></bndbox></object></annotation>",
        "yolo/labels/a.txt": "\n".join(lines),
        "yolo/data.yaml": "train: images\nnames: [ape, bee]",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for place in ("coco/a.png", "voc/a.png", "voc/b.png", "yolo/images/a.png"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes((root / "a.png").read_bytes())


FOLDERS = ("", "cam1/", "cam 2/day 1/")
NAMES = ("ape", "no")


def yolo_lines(objects, form="boxes"):
    lines = []
    for (x1, x2), (y1, y2), name in objects:
        box = [(x1 + x2) / 128, (y1 + y2) / 96, (x2 - x1) / 64, (y2 - y1) / 48]
        corners = [value for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)) for value in (x / 64, y / 48)]
        numbers = {"boxes": box, "oriented": corners, "poses": [*box, *box[:2], 2]}[form]
        lines.append(" ".join(map(str, [NAMES.index(name), *numbers])))
    return "\n".join(lines)


def voc_xml(objects):
    items = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>"
        "</object>"
        for (x1, x2), (y1, y2), name in objects
    )
    return f"<annotation>{items}</annotation>"


def coco_json(images, name_of):
    return json.dumps(
        {
            "images": [{"id": n, "file_name": name_of(place)} for n, place in enumerate(images)],
            "annotations": [
                {"id": f"{n}-{m}", "image_id": n, "category_id": NAMES.index(name), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                for n, objects in enumerate(images.values())
                for m, ((x1, x2), (y1, y2), name) in enumerate(objects)
            ],
            "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES)],
        }
    )


def yolo(pictures, labels, form="boxes", **texts):
    """A layout: where pictures and labels are, by their place without a suffix; and further files."""
    return lambda images, root: (
        {place: f"{pictures}{place}.png" for place in images},
        {f"{labels}{place}.txt": yolo_lines(objects, form) for place, objects in images.items()}
        | {name: text(images, root) if callable(text) else text for name, text in texts.items()},
    )


def voc(pictures, xmls, **texts):
    return lambda images, root: (
        {place: f"{pictures}{place}.png" for place in images},
        {f"{xmls}{place}.xml": voc_xml(objects) for place, objects in images.items()}
        | {name: text(images, root) for name, text in texts.items()},
    )


def coco(pictures, file, name_of):
    return lambda images, root: (
        {place: f"{pictures}{place}.png" for place in images},
        {file: coco_json(images, lambda place: name_of.format(place=place, root=root))},
    )


def listed(name_of):
    return lambda images, root: "\n".join(name_of.format(place=place, root=root) for place in images)


YAML = "names: [ape, no]\ntrain: "
LAYOUTS = {
    "yaml": yolo("images/train/", "labels/train/", **{"data.yaml": f"{YAML}images/train"}),
    "yaml, oriented": yolo("images/train/", "labels/train/", "oriented", **{"data.yaml": f"{YAML}images/train"}),
    "yaml, poses": yolo("images/", "labels/", "poses", **{"data.yaml": f"{YAML}images\nkpt_shape: [1, 3]"}),
    "yaml, roboflow": yolo("train/images/", "train/labels/", **{"data.yaml": f"{YAML}../train/images"}),
    "yaml, absolute": yolo("images/", "labels/", **{"set.yaml": lambda _, root: f"{YAML}images\npath: {root}"}),
    "yaml, elsewhere": yolo("images/", "labels/", **{"data.yaml": f"{YAML}images\npath: /home/me/set"}),
    "yaml, list": yolo(
        "images/", "labels/", **{"data.yaml": f"{YAML}a.txt", "a.txt": listed("{root}/images/{place}.png")}
    ),
    "names only": yolo("images/", "labels/", **{"data.yaml": "names: {0: ape, 1: no}"}),
    "folders": yolo("images/", "labels/", **{"classes.txt": "\ufeffape\nno\n"}),
    "beside": yolo("images/", "images/", **{"classes.txt": "ape\nno\n"}),
    "beside, flat": yolo("", "", **{"_darknet.labels": "ape\nno\n"}),
    "darknet": yolo(
        "obj_train_data/",
        "obj_train_data/",
        **{
            "obj.data": "train = data/train.txt\nnames = data/obj.names",
            "obj.names": "ape\nno",
            "train.txt": listed("data/obj_train_data/{place}.png"),
        },
    ),
    "voc": voc("JPEGImages/", "Annotations/", **{"ImageSets/Main/train.txt": listed("{place}")}),
    "voc, kaggle": voc("images/", "annotations/"),
    "voc, roboflow": voc("train/", "train/"),
    "voc, flat": voc("", ""),
    "coco": coco("", "train.json", "{place}.png"),
    "coco, cvat": coco("images/default/", "annotations/instances_default.json", "{place}.png"),
    "coco, fiftyone": coco("data/", "labels.json", "{place}.png"),
    "coco, absolute": coco("images/", "train.json", "{root}/images/{place}.png"),
    "coco, elsewhere": coco("images/", "train.json", "/home/me/set/images/{place}.png"),
}
OBJECTS = st.lists(st.tuples(corners(64), corners(48), st.sampled_from(NAMES)), max_size=4, unique=True)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@given(st.dictionaries(st.builds("{}{}".format, st.sampled_from(FOLDERS), st.sampled_from("abc")), OBJECTS, min_size=1))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_layout_is_read_back(tmp_path_factory, layout, images):
    images = images | {"z": [((0, 9), (0, 9), "ape"), ((9, 20), (5, 7), "no")]}  # every class is there, and a label
    root = tmp_path_factory.mktemp("layouts")
    pictures, texts = layout(images, root)
    for place in pictures.values():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(root / place)
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    dataset = open_dataset(root)
    assert not [problem for problem in dataset.problems if problem.severity == "error"]
    assert dataset.classes == NAMES
    by_file = {record.file.relative_to(root).as_posix(): record for record in dataset.records if record.file}
    assert set(by_file) == set(pictures.values())
    for place, objects in images.items():
        record = by_file[pictures[place]]
        boxes = np.reshape([(x[0], y[0], x[1], y[1]) for x, y, _ in objects], (-1, 4))
        np.testing.assert_allclose(record.boxes, boxes, atol=1e-4)
        assert [dataset.classes[label] for label in record.labels] == [name for *_, name in objects]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_bccd_is_the_same_in_voc_and_coco_form(shared, split):
    coco, voc = open_dataset(shared / "bccd", split), open_dataset(shared / "bccd" / "BCCD", split)
    assert coco.classes == voc.classes == ("Platelets", "RBC", "WBC")
    assert coco.category_ids == voc.category_ids
    assert [record.file.name for record in coco.records] == [record.file.name for record in voc.records]
    for one, other in zip(coco.records, voc.records, strict=True):
        assert one.image_id == other.image_id
        assert np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.labels, other.labels)


def test_bccd_zero_area_boxes_are_reported(shared):
    problems = check(shared / "bccd" / "BCCD").problems
    assert {(problem.file.name, problem.record) for problem in problems} == {
        ("BloodImage_00338.xml", "object 13"),
        ("BloodImage_00343.xml", "object 4"),
    }


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco128_is_the_same_in_yolo_and_coco_form(shared, split):
    """The json has two decimals and only the 76 names that occur, so boxes agree to a hundredth and ids do not."""
    coco = open_dataset(shared / "coco128" / "coco_train2017.json", split)
    yolo = open_dataset(shared / "coco128", split)
    assert len(yolo.classes) == 80
    by_name = {record.file.name: record for record in coco.records}
    assert set(by_name) == {record.file.name for record in yolo.records}
    for record in yolo.records:
        other = by_name[record.file.name]
        assert [yolo.classes[label] for label in record.labels] == [coco.classes[label] for label in other.labels]
        np.testing.assert_allclose(record.boxes, other.boxes, atol=0.0151)


def test_neon_trees_is_read_as_a_flat_folder_of_xml(shared):
    dataset = open_dataset(shared / "neon_trees" / "SOAP_061.xml")
    assert (dataset.split, dataset.classes, len(dataset)) == ("all", ("Alive", "Dead", "Tree"), 4)
    assert sum(len(record.boxes) for record in dataset.records) == 951


def test_nuclei_finds_its_images(shared):
    train, val = (open_dataset(shared / "nuclei", split) for split in ("train", "val"))
    assert (len(train), len(val), train.problems + val.problems) == (379, 159, ())
    assert tuple(train[0][0].shape) == (3, train.records[0].height, train.records[0].width)


def test_relabelled_bccd_takes_its_images_from_bccd(shared):
    images = shared / "bccd" / "BCCD" / "JPEGImages"
    folder = shared / "bccd_relabelled"
    one, other = (open_dataset(folder / f"{kind}_train.json", images=images) for kind in ("original", "relabelled"))
    assert [record.file for record in one.records] == [record.file for record in other.records]
    assert available_splits(folder / "original_train.json") == ("train", "val")
    assert [sum(len(record.boxes) for record in dataset.records) for dataset in (one, other)] == [1628, 3189]
