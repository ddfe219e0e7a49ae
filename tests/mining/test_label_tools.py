"""Files that label tools take, read back as those tools read them."""

from xml.etree import ElementTree

import pytest

from hardmine.mining.label_tools import cvat, label_studio
from hardmine.mining.tables import mine


@pytest.fixture
def tables(two_images, results):
    mined = mine(two_images, results)
    return (
        mined.images.with_columns(file_name=mined.images["image_id"].cast(str) + ".png"),
        mined.objects,
        mined.suspects,
    )


def test_cvat_gets_every_label_of_the_suspect_images(tables):
    root = ElementTree.fromstring(cvat(*tables))
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
    (box,) = ElementTree.fromstring(cvat(*tables)).findall("image")[2]
    assert [box.get(name) for name in ("label", "xtl", "ytl", "xbr", "ybr")] == [
        "cat",
        "60.00",
        "0.00",
        "70.00",
        "10.00",
    ]
    assert [attribute.text for attribute in box] == ["missing", "0.50"]


def test_label_studio_gets_tasks_the_most_suspect_first(tables):
    tasks = label_studio(*tables)
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
    cat = label_studio(*tables)[1]["predictions"][0]["result"][0]
    assert "meta" not in cat
    assert "score" not in cat


def test_nothing_suspect_is_no_work(tables):
    images, objects, suspects = tables
    assert label_studio(images, objects, suspects.head(0)) == []
    assert ElementTree.fromstring(cvat(images, objects, suspects.head(0))).findall("image") == []
