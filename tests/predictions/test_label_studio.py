"""Label Studio's tasks."""

import pytest

from hardmine.errors import DataError
from hardmine.predictions import label_studio


def task(link="a.jpg", model="m", **region):
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rectanglelabels": ["cat"]} | region.pop("value", {})
    region = {"type": "rectanglelabels", "score": 0.5, "value": value, **region}
    return {"data": {"image": link}, "predictions": [{"model_version": model, "score": 0.25, "result": [region]}]}


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("/data/local-files/?d=blood%2Fimages/a%20%231.jpg", "blood/images/a #1.jpg"),
        ("/data/upload/3/0a1b2c3d-a.jpg", "a.jpg"),
        ("https://host.example/bucket/a%20b.jpg?X-Sig=1", "/bucket/a b.jpg"),
        ("s3://bucket/folder/a.jpg", "/folder/a.jpg"),
    ],
)
def test_links_become_names(link, name):
    row = label_studio.read([task(link)], "x", None).rows.row(0, named=True)
    assert (row["file_name"], row["category"], row["score"]) == (name, "cat", 0.5)
    assert [row[f"box{n}"] for n in (1, 2, 3, 4)] == [0.25, 0.5, 0.5, 0.25]


def test_a_region_without_a_score_has_that_of_its_prediction():
    document = task()
    del document["predictions"][0]["result"][0]["score"]
    assert label_studio.read([document], "x", None).rows["score"].to_list() == [0.25]


def test_a_turned_rectangle_becomes_the_box_around_it():
    document = [task(value={"rotation": 90}, original_width=200, original_height=100)]
    found = label_studio.read(document, "x", None).boxes()[0].tolist()
    assert found == pytest.approx([0.25 - 0.125, 0.5, 0.125, 1.0])


def test_predictions_of_two_models_are_refused():
    document = task()
    document["predictions"] += task(model="other")["predictions"]
    with pytest.raises(DataError, match="x, task 0: predictions of m, other"):
        label_studio.read([document], "x", None)


@pytest.mark.parametrize(
    "value",
    [
        *({"x": None}, {"x": "25"}, {"x": True}, {"rectanglelabels": []}, {"rectanglelabels": None}),
        *({"rotation": "x"}, {"rotation": [1]}, {"rotation": 10}),  # turned, in an image whose sides are not known
    ],
)
def test_a_region_that_is_no_box_is_named(value):
    with pytest.raises(DataError, match="x, task 1, region 0: "):
        label_studio.read([task(), task(value=value)], "x", None)


def test_only_tasks_fit():
    assert label_studio.fits([task()])
    assert not any(label_studio.fits(document) for document in ([], [{"image_id": 1}], {"data": {}}, None))
