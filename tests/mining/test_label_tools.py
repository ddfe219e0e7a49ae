"""Files that label tools take, read back as those tools read them."""

from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import polars as pl
import pytest

from hardmine.errors import ConfigError
from hardmine.mining.label_tools import (
    LABEL_STUDIO_FILES,
    alike_in_cvat,
    check_cvat_names,
    cvat,
    label_studio,
    label_studio_config,
    visible,
)
from hardmine.mining.tables import mine


@pytest.fixture
def tables(two_images, results):
    mined = mine(two_images, results)
    return (
        mined.images.with_columns(file_name=mined.images["image_id"].cast(str) + ".png"),
        mined.objects,
        mined.suspects,
    )


def tasks_of(*tables, **options):
    return list(label_studio(*tables, **options))


def test_cvat_gets_every_label_of_the_suspect_images(tables):
    root = ElementTree.fromstringlist(cvat(*tables))
    assert root.findtext("version") == "1.1"
    assert [image.attrib for image in root.iter("image")] == [
        {"id": str(number), "name": name, "width": "100", "height": "100"}
        for number, name in enumerate(["9.png", "7.png", "11.png"], start=10**9)
    ]
    assert [name.text for name in root.findall("meta/task/labels/label/name")] == ["cat", "dog"]
    attributes = root.findall("meta/task/labels/label/attributes/attribute/name")
    assert [name.text for name in attributes] == ["suspect", "probability"] * 2
    second = root.findall("image")[1]
    boxes = [(box.get("label"), box.get("xtl"), box.get("ybr")) for box in second]
    assert boxes == [("cat", "0.00", "10.00"), ("dog", "20.00", "10.00"), ("cat", "0.00", "90.00")]
    assert [a.attrib | {"value": a.text} for a in second[1]] == [
        {"name": "suspect", "value": "wrong class"},
        {"name": "probability", "value": "0.56"},
    ]
    assert len(second[0]) == 0


def test_cvat_gets_the_missing_label(tables):
    (box,) = ElementTree.fromstringlist(cvat(*tables)).findall("image")[2]
    assert [box.get(name) for name in ("label", "xtl", "ytl", "xbr", "ybr")] == [
        "cat",
        "60.00",
        "0.00",
        "70.00",
        "10.00",
    ]
    assert [attribute.text for attribute in box] == ["missing", "0.50"]


def test_label_studio_gets_tasks_the_most_suspect_first(tables):
    tasks = tasks_of(*tables)
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d={name}" for name in ("9.png", "7.png", "11.png")
    ]
    assert [task["predictions"][0]["score"] for task in tasks] == pytest.approx([1.0, 0.5625, 0.5])
    _, dog, _ = tasks[1]["predictions"][0]["result"]
    assert dog["value"] == {"x": 20, "y": 0, "width": 10, "height": 10, "rotation": 0, "rectanglelabels": ["dog"]}
    assert (dog["type"], dog["from_name"], dog["to_name"]) == ("rectanglelabels", "label", "image")
    assert dog["meta"] == {"text": ["wrong class, 0.56"]}
    assert len({region["id"] for region in tasks[1]["predictions"][0]["result"]}) == 3


def test_labels_that_are_not_suspect_say_nothing(tables):
    cat = tasks_of(*tables)[1]["predictions"][0]["result"][0]
    assert "meta" not in cat
    assert "score" not in cat


def test_nothing_suspect_is_no_work(tables):
    images, objects, suspects = tables
    assert tasks_of(images, objects, suspects.head(0)) == []
    assert ElementTree.fromstringlist(cvat(images, objects, suspects.head(0))).findall("image") == []


def test_a_place_of_no_class_is_not_shown(tables):
    """Where an object could not be read: neither tool has a box without a label."""
    images, objects, suspects = tables
    unreadable = objects.head(1).with_columns(category=pl.lit(None, pl.String), object=pl.lit(99, pl.Int64))
    more = pl.concat([objects, unreadable])
    assert list(cvat(images, more, suspects)) == list(cvat(*tables))
    assert tasks_of(images, more, suspects) == tasks_of(*tables)


NAMES = ["a b+c#d&e%20.png", "sub/ü.png", "-1?.png"]


def named(tables, names):
    images, objects, suspects = tables
    return images.with_columns(file_name=pl.Series(names)), objects, suspects


def test_label_studio_finds_a_file_of_any_name_below_the_folder_above(tables):
    tasks = tasks_of(*named(tables, NAMES), folder="my images+1")
    queries = [urlsplit(task["data"]["image"]) for task in tasks]
    assert {(query.path, query.fragment) for query in queries} == {("/data/local-files/", "")}
    assert [parse_qs(query.query)["d"] for query in queries] == [
        [f"my images+1/{NAMES[place]}"]
        for place in (1, 0, 2)  # images 9, 7 and 11
    ]


def test_folders_that_are_not_in_utf_8_do_not_stop_it(tables):
    tasks = tasks_of(*tables, folder="caf\udce9")  # as Python decodes a name in Latin-1
    assert tasks[0]["data"]["image"] == f"{LABEL_STUDIO_FILES}caf%E9/9.png"


def test_the_interface_knows_every_class_by_the_name_that_the_tasks_have(tables):
    images, objects, suspects = tables
    odd = 'a < "b" & \x01\n'
    objects = objects.with_columns(category=pl.col("category").replace("cat", odd))
    config = label_studio_config([odd, "dog"])
    assert not config.startswith("<?xml")
    root = ElementTree.fromstring(config)
    assert [(element.tag, element.get("name"), element.get("value")) for element in root.iter()] == [
        ("View", None, None),
        ("Image", "image", "$image"),
        ("RectangleLabels", "label", None),
        ("Label", None, r'a < "b" & \x01\n'),
        ("Label", None, "dog"),
    ]
    assert root[1].get("toName") == "image"
    results = [region for task in tasks_of(images, objects, suspects) for region in task["predictions"][0]["result"]]
    used = {label for region in results for label in region["value"]["rectanglelabels"]}
    assert used == {r'a < "b" & \x01\n', "dog", "cat"}  # cat: suggested by a prediction


def test_cvat_reads_back_every_name_that_xml_can_hold(tables):
    root = ElementTree.fromstringlist(cvat(*named(tables, ['<"&>\u2028.png', "sub/ü 1.png", "\ue000.png"])))
    assert [image.get("name") for image in root.iter("image")] == ["sub/ü 1.png", '<"&>\u2028.png', "\ue000.png"]


def test_no_character_breaks_the_file_for_cvat(tables):
    images, objects, suspects = named(tables, ["a\x00\x1b[31m.png", "b\ufffe\x85.png", "c\t\r\n.png"])
    objects = objects.with_columns(category=pl.col("category") + "\x08")
    root = ElementTree.fromstringlist(cvat(images, objects, suspects))
    assert [image.get("name") for image in root.iter("image")] == [
        r"b\ufffe\x85.png",
        r"a\x00\x1b[31m.png",
        r"c\t\r\n.png",
    ]
    labels = {name.text for name in root.findall("meta/task/labels/label/name")}
    assert labels == {r"cat\x08", r"dog\x08", "cat"}
    assert {box.get("label") for box in root.iter("box")} == labels


@pytest.mark.parametrize(
    ("names", "expected"),
    [("images/{name}", "images/sub/9.png"), ("{file}", "9.png"), ("{{x}}/{file}", "{x}/9.png")],
)
def test_cvat_is_told_what_the_task_calls_an_image(tables, names, expected):
    check_cvat_names(names)
    root = ElementTree.fromstringlist(cvat(*named(tables, ["sub/7.png", "sub/9.png", "sub/11.png"]), names))
    assert root.find("image").get("name") == expected


@pytest.mark.parametrize(
    "names",
    ["", "frame", "{", "{name", "{}", "{0}", "{stem}", "{name!r}", "{name:>9}", "{name.x}", "{name[0]}", "a\n{name}"],
)
def test_names_that_cannot_be_made_are_refused(names):
    with pytest.raises(ConfigError, match=r"cvat_names is .* expected how CVAT calls an image"):
        check_cvat_names(names)


def test_images_that_cvat_cannot_tell_apart_are_found():
    names = ["a.png", "a.jpg", "sub/a.png", "b.c.png", "b.png", "", ""]
    images = pl.LazyFrame({"image_id": range(len(names)), "file_name": names})
    assert alike_in_cvat(images, "{name}")["image_id"].to_list() == [0, 1]
    assert alike_in_cvat(images, "{file}")["image_id"].to_list() == [0, 1, 2]


def test_boxes_lie_in_the_image_and_have_an_area(tables):
    images, objects, suspects = tables
    beyond = {"x1": [-5.0, 90.0, 100.0, 0.0], "y1": [-5.0, 10.0, 0.0, 5.0]}
    beyond |= {"x2": [50.0, 140.3, 130.0, 50.0], "y2": [120.0, 20.0, 10.0, 5.0]}
    objects = objects.with_columns(pl.Series(name, values) for name, values in beyond.items())
    expected = [[0, 0, 50, 100], [90, 10, 100, 20], [60, 0, 70, 10]]  # the third is beside, the fourth flat
    regions = [region["value"] for task in tasks_of(images, objects, suspects) for region in boxes_of(task)]
    found = [[r["x"], r["y"], r["x"] + r["width"], r["y"] + r["height"]] for r in regions]
    assert found == expected
    assert all(0 <= side <= 100 for box in found for side in box)
    boxes = ElementTree.fromstringlist(cvat(images, objects, suspects)).iter("box")
    assert [[float(box.get(side)) for side in ("xtl", "ytl", "xbr", "ybr")] for box in boxes] == expected


def boxes_of(task):
    return task["predictions"][0]["result"]


def test_an_image_whose_boxes_lie_beside_it_is_shown_without_any(tables):
    images, objects, suspects = tables
    beside = objects.filter(image_id=9).with_columns(x1=200.0, x2=300.0)
    task = tasks_of(images, beside, suspects.filter(image_id=9))[0]
    assert task["predictions"] == [{"model_version": "hardmine", "score": 0, "result": []}]


def test_images_without_a_file_are_no_work(tables):
    without = named(tables, ["", "a.png", ""])
    assert len(tasks_of(*without)) == 1
    assert [image.get("name") for image in ElementTree.fromstringlist(cvat(*without)).iter("image")] == ["a.png"]


def test_halves_of_surrogate_pairs_are_visible():
    assert visible("a\udcff\ud800é") == r"a\udcff\ud800é"
