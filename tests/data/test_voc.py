import pytest

from hardmine.data import available_splits, check, open_dataset
from hardmine.errors import DataError

LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""


def write_list(tree, split, names):
    folder = tree / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.txt").write_text("\n".join(names))


def test_reads_a_tree_with_splits_and_the_same_classes_in_each(tmp_path, write_voc):
    write_voc(tmp_path, "a", [("dog", (1, 2, 30, 40), 0), ("cat", (5, 5, 9, 9), 1)])
    write_voc(tmp_path, "b", [("bird", (1, 1, 3, 3), 0)])
    write_list(tmp_path, "train", ["a"])
    write_list(tmp_path, "val", ["b"])
    write_list(tmp_path, "cat_train", ["a -1"])  # VOC's lists per class are not splits
    assert available_splits(tmp_path) == ("train", "val")
    dataset = open_dataset(tmp_path, "train")
    record = dataset.records[0]
    assert dataset.classes == open_dataset(tmp_path, "val").classes == ("bird", "cat", "dog")
    assert dataset.category_ids == (1, 2, 3)
    assert record.boxes.tolist() == [[1, 2, 30, 40], [5, 5, 9, 9]]  # as written, nothing subtracted
    assert record.labels.tolist() == [2, 1]
    assert record.is_crowd.tolist() == [False, True]


def test_tree_is_found_one_level_down(tmp_path, write_voc):
    write_voc(tmp_path / "VOC2007")
    assert open_dataset(tmp_path).classes == ("cat",)
    write_voc(tmp_path / "VOC2012")
    with pytest.raises(DataError, match=r"several VOC trees: .*VOC2007, .*VOC2012; give the path of one"):
        open_dataset(tmp_path)


def test_flat_folder_of_xml_and_images(tmp_path, write_voc, write_image):
    xml = write_voc(tmp_path / "tree", "a")
    flat = tmp_path / "flat"
    write_image(flat / "a.png")
    (flat / "a.xml").write_text(xml.read_text())
    assert available_splits(flat) == ("all",)
    assert open_dataset(flat).records[0].boxes.tolist() == [[10, 10, 30, 30]]
    assert open_dataset(flat / "a.xml").classes == open_dataset(xml).classes


def test_ids_follow_names_and_records_follow_the_list(tmp_path, write_voc):
    for name in ("a", "b", "c"):
        write_voc(tmp_path, name)
    write_list(tmp_path, "train", ["c", "a"])
    dataset = open_dataset(tmp_path)
    assert [(record.file.stem, record.image_id) for record in dataset.records] == [("c", 2), ("a", 1)]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (("cat", (30, 10, 10, 30), 0), "is inverted or has no area"),
        (("cat", (10, 10, 10, 30), 0), "is inverted or has no area"),
        (("cat", (70, 10, 80, 30), 0), "lies outside the image"),
        (("cat", ("nan", 10, 80, 30), 0), "is not finite"),
        (("cat", ("x", 10, 80, 30), 0), "expected numbers xmin, ymin, xmax, ymax"),
        (("cat", ("", 10, 80, 30), 0), "expected numbers xmin, ymin, xmax, ymax"),
        (("", (10, 10, 30, 30), 0), "it has no name"),
    ],
)
def test_object_that_cannot_be_used_is_left_out_and_reported(tmp_path, write_voc, item, message):
    file = write_voc(tmp_path, "a", [("cat", (1, 1, 5, 5), 0), item])
    dataset = open_dataset(tmp_path)
    (problem,) = dataset.problems
    assert len(dataset.records[0].boxes) == 1
    assert (problem.severity, problem.file, problem.record) == ("error", file, "object 2")
    assert message in problem.message


def test_size_of_zero_means_not_stated(tmp_path, write_voc):
    write_voc(tmp_path, size=(0, 0))
    dataset = open_dataset(tmp_path)
    assert (dataset.records[0].width, dataset.problems) == (64, ())


def test_image_without_objects_is_background(tmp_path, write_voc):
    write_voc(tmp_path, "a")
    write_voc(tmp_path, "b", [])
    dataset = open_dataset(tmp_path)
    assert [len(record.boxes) for record in dataset.records] == [1, 0]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "declares entities"),
        ("<annotation>", "not readable as xml"),
        ("", "not readable as xml"),
        ("<html/>", "root is <html>, expected <annotation>"),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "not readable as xml"),
    ],
)
def test_xml_that_cannot_be_used_leaves_its_image_out(tmp_path, write_voc, text, message):
    write_voc(tmp_path, "a")
    broken = write_voc(tmp_path, "b")
    broken.write_text(text)
    dataset = open_dataset(tmp_path)
    (problem,) = dataset.problems
    assert len(dataset) == 1
    assert (problem.severity, problem.file) == ("error", broken)
    assert message in problem.message


def test_broken_xml_belongs_to_the_split_that_lists_it(tmp_path, write_voc):
    write_voc(tmp_path, "a")
    write_voc(tmp_path, "b").write_text("<")
    write_list(tmp_path, "train", ["a"])
    write_list(tmp_path, "val", ["b"])
    assert open_dataset(tmp_path, "train").problems == ()
    with pytest.raises(DataError, match=r"no usable image.*not readable as xml"):
        open_dataset(tmp_path, "val")


def test_list_with_a_name_twice_or_without_xml_is_reported(tmp_path, write_voc):
    write_voc(tmp_path, "a")
    write_list(tmp_path, "train", ["a", "a", "", "gone", "../a"])
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    assert [(p.severity, p.record) for p in dataset.problems] == [
        ("warning", "name 'a'"),
        ("error", "name 'gone'"),
        ("error", "name '../a'"),
    ]


def test_missing_image_is_reported(tmp_path, write_voc):
    write_voc(tmp_path, "a")
    file = write_voc(tmp_path, "b")
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    (problem,) = open_dataset(tmp_path).problems
    assert problem.file == file
    assert "its image 'b.jpg' is missing" in problem.message


def test_image_is_found_by_the_filename_in_the_xml(tmp_path, write_voc):
    file = write_voc(tmp_path, "a")
    file.rename(file.with_stem("renamed"))
    dataset = open_dataset(tmp_path)
    assert dataset.records[0].file == tmp_path / "JPEGImages" / "a.jpg"


def test_filename_that_leads_elsewhere_is_refused(tmp_path, write_voc, write_image):
    write_voc(tmp_path / "data", "a")
    file = write_voc(tmp_path / "data", "b")
    (tmp_path / "data" / "JPEGImages" / "b.jpg").unlink()
    write_image(tmp_path / "data" / "secret.jpg")
    file.write_text("<annotation><filename>../secret.jpg</filename></annotation>")
    (problem,) = open_dataset(tmp_path / "data").problems
    assert "is refused" in problem.message


def test_image_without_xml_is_reported(tmp_path, write_voc, write_image):
    write_voc(tmp_path, "a")
    image = write_image(tmp_path / "JPEGImages" / "z.jpg")
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.severity, problem.file) == ("error", image)


def xml_of(*names, filename="a.png", **others):
    items = "".join(
        f"<object><name>{name}</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object>"
        for name in names
    )
    fields = "".join(f"<{key}>{value}</{key}>" for key, value in {"filename": filename, **others}.items())
    return f"<annotation>{fields}{items}</annotation>"


def names_in(dataset):
    return [[dataset.classes[label] for label in record.labels] for record in dataset.records]


@pytest.mark.parametrize(
    ("image", "xml"),
    [
        ("images/a.png", "annotations/a.xml"),
        ("Images/a.png", "ANNOTATIONS/a.xml"),
        ("images/cam1/a.png", "annotations/cam1/a.xml"),
        ("JPEGImages/cam1/a.png", "Annotations/cam1/a.xml"),
        ("images/a.png", "annotations/xmls/a.xml"),
        ("images/a.png", "labels/a.xml"),
        ("a.png", "a.xml"),
        ("cam1/a.png", "cam1/a.xml"),
        ("a b/day 1/a.png", "a b/day 1/a.xml"),
        ("data/a.png", "labels/a.xml"),
        ("set/images/a.png", "set/annotations/a.xml"),
    ],
)
def test_layouts_of_other_tools(tmp_path, write_tree, image, xml):
    write_tree(tmp_path, image, **{xml: xml_of("cat")})
    dataset = open_dataset(tmp_path)
    assert (dataset.split, names_in(dataset), dataset.problems) == ("all", [["cat"]], ())
    assert dataset.records[0].file == tmp_path / image


@pytest.mark.parametrize("image", ["pictures/a.png", "images/cam2/a.png"])
def test_image_in_a_folder_of_another_name_is_a_guess_that_is_reported(tmp_path, write_tree, image):
    write_tree(tmp_path, image, **{"Annotations/cam1/a.xml": xml_of("cat")})
    (problem,) = open_dataset(tmp_path).problems
    assert (problem.severity, "found by the last parts of their names" in problem.message) == ("warning", True)


def test_folders_of_splits_with_xml_beside_the_images(tmp_path, write_tree):
    xmls = {"train/a.xml": xml_of("dog"), "valid/a.xml": xml_of("cat"), "test/a.xml": xml_of("cat", "bird")}
    write_tree(tmp_path, "train/a.png", "valid/a.png", "test/a.png", **xmls)
    assert available_splits(tmp_path) == ("train", "val", "test")
    assert names_in(open_dataset(tmp_path, "valid")) == [["cat"]]
    assert open_dataset(tmp_path, "train").classes == ("bird", "cat", "dog")
    assert check(tmp_path).problems == ()


def test_folders_of_splits_that_are_trees(tmp_path, write_tree):
    xmls = {"train/annotations/a.xml": xml_of("dog"), "val/annotations/b.xml": xml_of("cat", filename="b.png")}
    write_tree(tmp_path, "train/images/a.png", "val/images/b.png", **xmls)
    assert available_splits(tmp_path) == ("train", "val")
    assert names_in(open_dataset(tmp_path, "val")) == [["cat"]]


def test_folder_far_above_a_file_is_not_its_tree(tmp_path, write_tree):
    folder = tmp_path / "xml" / "sets" / "mine"
    write_tree(folder, "a.png", **{"a.xml": xml_of("cat")})
    write_tree(tmp_path / "xml", "other.png", **{"other.xml": xml_of("dog", filename="other.png")})
    assert open_dataset(folder / "a.xml").classes == ("cat",)


def test_xml_of_another_kind_is_no_data_set(tmp_path, write_tree):
    write_tree(tmp_path, "images/a.png", **{"project/settings.xml": "<settings/>"})
    with pytest.raises(DataError, match=r"no data set of a known format.*found 1 .png, 1 .xml files"):
        open_dataset(tmp_path)


def test_lists_hold_names_with_folders_spaces_quotes_and_suffixes(tmp_path, write_tree):
    names = ("cam1/a", "my image", "b", " c ")
    xmls = {f"Annotations/{name}.xml": xml_of("cat", filename=f"{name}.png") for name in names}
    write_tree(tmp_path, *(f"JPEGImages/{name}.png" for name in names), **xmls)
    write_list(tmp_path, "train", ["\ufeffcam1/a", "my image", "b.png", " c "])
    write_list(tmp_path, "val", ['"my image"', "b 1"])
    assert [record.file.stem for record in open_dataset(tmp_path, "train").records] == ["a", "my image", "b", " c "]
    assert [record.file.stem for record in open_dataset(tmp_path, "val").records] == ["my image", "b"]
    assert check(tmp_path).problems == ()


def test_classes_are_not_lost_where_an_object_is_unreadable(tmp_path, write_voc):
    write_voc(tmp_path, "a", [("cat", ("x", 10, 30, 30), 0), ("", (10, 10, 30, 30), 0), ("cat", (1, 1, 5, 5), 0)])
    record = open_dataset(tmp_path).records[0]
    assert (record.is_complete, record.unreadable.tolist(), len(record.boxes)) == (False, [[10, 10, 30, 30]], 1)


def test_images_may_lie_elsewhere(tmp_path, write_tree):
    xmls = {"a.xml": xml_of("cat"), "b.xml": xml_of("dog", filename="c.png")}
    write_tree(tmp_path / "labels only", **xmls)
    images = write_tree(tmp_path / "pictures", "day/a.png", "c.png", "more.png")
    dataset = open_dataset(tmp_path / "labels only", images=images)
    assert names_in(dataset) == [["cat"], ["dog"]]
    assert [problem.severity for problem in dataset.problems] == ["warning"]  # "day/" is a guess, "more.png" no fault
    with pytest.raises(DataError, match=r"its image 'a.png' is missing.*--images"):
        open_dataset(tmp_path / "labels only")


def test_pictures_are_not_needed_where_the_size_is_stated(tmp_path, write_tree):
    size = "<width>64</width><height>48</height>"
    xmls = {"Annotations/a.xml": xml_of("cat", size=size), "Annotations/b.xml": xml_of("cat", filename="b.png")}
    write_tree(tmp_path, **xmls)
    dataset = open_dataset(tmp_path, need_pictures=False)
    assert [(record.width, record.height) for record in dataset.records] == [(64, 48)]
    assert dataset.records[0].file.name == "a.png"
    assert "'b.png' is missing" in dataset.problems[0].message
