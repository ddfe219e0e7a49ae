import numpy as np
import pytest

from hardmine.data import IGNORED
from hardmine.data.segmentation.classes import Classes, find_class_list, read_class_list
from hardmine.errors import DataError


def label(wanted, values):
    return Classes.of(wanted).label(np.array(values), "a.png").tolist()


def test_names_are_in_the_order_of_the_values_and_255_is_ignored():
    classes = Classes.of(("road", "sky"))
    assert classes.names == ("road", "sky")
    assert label(("road", "sky"), [[0, 1], [255, 1]]) == [[0, 1], [IGNORED, 1]]


def test_a_mapping_gives_labels_in_order_of_first_mention():
    wanted = {7: "road", 23: "sky", 8: "road", 0: "ignored"}
    assert Classes.of(wanted).names == ("road", "sky")
    assert label(wanted, [[7, 8, 23, 0, 255]]) == [[0, 0, 1, IGNORED, IGNORED]]


def test_ignored_is_no_class_wherever_it_stands():
    assert Classes.of(("ignored", "road", "sky")).names == ("road", "sky")
    assert label(("ignored", "road", "sky"), [[0, 1, 2]]) == [[IGNORED, 0, 1]]


def test_255_can_be_a_class():
    assert label({0: "ground", 255: "cell"}, [[0, 255]]) == [[0, 1]]


def test_values_of_16_bits_are_mapped():
    assert label({0: "ground", 40_000: "cell"}, np.array([[0, 40_000]], np.uint16)) == [[0, 1]]


def test_colours_are_mapped():
    colours = np.array([[[128, 64, 128], [70, 130, 180], [0, 0, 0]]], np.uint8)
    wanted = {(128, 64, 128): "road", (70, 130, 180): "sky", (0, 0, 0): "ignored"}
    assert label(wanted, colours) == [[0, 1, IGNORED]]


def test_grey_that_was_saved_as_rgb_is_read_as_grey():
    assert label(("road", "sky"), np.repeat(np.array([[[0], [1]]]), 3, axis=2)) == [[0, 1]]


def test_every_number_but_0_is_an_object_where_masks_number_them():
    classes = Classes.of_instances(("ground", "cell"), "classes")
    assert classes.label(np.array([[0, 1], [255, 40_000]]), "a.png").tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [[0, 7, 7, 9]],
            r"a\.png: the value 7 of 2 pixels .*\(1 other values .*0 \(road\), 1 \(sky\), 255 \(ignored\)",
        ),
        ([list(range(2, 20))], "if the masks number objects, say so"),
    ],
)
def test_a_value_that_is_no_class_is_named_with_what_was_expected(values, message):
    with pytest.raises(DataError, match=message):
        label(("road", "sky"), values)


def test_colours_without_a_list_of_them_are_named_with_the_remedy():
    with pytest.raises(DataError, match=r"a\.png is in colours, such as \(0, 0, 0\), \(1, 2, 3\).*class_dict\.csv"):
        label(("road", "sky"), [[[1, 2, 3], [0, 0, 0]]])
    with pytest.raises(DataError, match=r"the colour \(0, 0, 9\) of 1 pixels .*expected \(1, 2, 3\) \(road\)"):
        label({(1, 2, 3): "road"}, [[[1, 2, 3], [0, 0, 9]]])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ((), "at least one class"),
        (("ignored",), "at least one class"),
        (("road", "road"), "'road' is used twice"),
        ({-1: "road"}, "pixel values from 0 to 65535"),
        ({70_000: "road"}, "pixel values from 0"),
        ({(1, 2, 300): "road"}, "colours"),
        ({(1, 2, 3): "road", 5: "sky"}, "pixel values"),
        ({0: ""}, "the name of at least one class"),
    ],
)
def test_what_cannot_be_classes_is_named(wanted, message):
    with pytest.raises(DataError, match=message):
        Classes.of(wanted)


def test_objects_need_two_classes():
    with pytest.raises(DataError, match="two classes"):
        Classes.of_instances(("one",), "classes")
    with pytest.raises(DataError, match="two classes"):
        Classes.of_instances({0: "ground", 1: "cell"}, "classes")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("classes.txt", "traffic light\nroad\n\n", ["traffic light", "road"]),
        ("classes.txt", "\ufeffroad\r\nsky\r\n", ["road", "sky"]),
        ("labels.txt", "0: unlabeled\n2: traffic light\n", {0: "unlabeled", 2: "traffic light"}),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n", {0: "background", 1: "cat"}),
        ("class_dict.csv", "name,r,g,b\nroad,128,64,128\nsky,0, 0,7\n", {(128, 64, 128): "road", (0, 0, 7): "sky"}),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:1,2,3::\n", {(1, 2, 3): "road"}),
        ("label_colors.txt", "64 128 64\tA\n192 0 128\t\tArch\n", {(64, 128, 64): "A", (192, 0, 128): "Arch"}),
        ("data.yaml", "names: [road, sky]\n", {0: "road", 1: "sky"}),
    ],
)  # fmt: skip
def test_files_of_classes_are_read_as_tools_write_them(tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    assert read_class_list(tmp_path / name) == found
    assert find_class_list([tmp_path / "nowhere", tmp_path]) == (tmp_path / name, found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0: road\nsky\n", 'the line "sky", expected a value and a name'),
        ("0: road\n0: sky\n", "got 0 again"),
        ("1 2 3 road\n1 2 3 sky\n", r"got \(1, 2, 3\) again"),
    ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, text, message):
    file = tmp_path / "classes.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_class_list(file)


def test_a_yaml_without_names_is_named(tmp_path):
    (tmp_path / "data.yaml").write_text("train: images\n")
    with pytest.raises(DataError, match="names is not usable"):
        read_class_list(tmp_path / "data.yaml")


def test_no_file_of_classes_is_none(tmp_path):
    assert find_class_list([tmp_path]) is None
