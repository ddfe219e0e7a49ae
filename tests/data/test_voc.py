import pytest

from hardmine.data import available_splits, open_dataset
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
