"""FiftyOne's exports."""

import pytest

from hardmine.errors import DataError
from hardmine.predictions import fiftyone

DETECTION = {"label": "cat", "bounding_box": [0.25, 0.25, 0.5, 0.5], "confidence": 0.5}


def test_labels_by_image_may_be_numbers_or_names():
    document = {"classes": ["cat", "dog"], "labels": {"a": [DETECTION | {"label": 1}, DETECTION], "b": None}}
    rows = fiftyone.read(document, "x", None).rows
    assert rows.select("file_name", "category", "score").rows() == [("a", "dog", 0.5), ("a", "cat", 0.5)]


def test_of_the_fields_of_a_sample_the_one_with_confidences_is_read():
    truth = {"detections": [{"label": "cat", "bounding_box": [0, 0, 1, 1]}]}
    samples = [{"filepath": "/d/a.jpg", "truth": truth, "found": {"detections": [DETECTION]}}, {"filepath": "/d/b.jpg"}]
    assert fiftyone.read({"samples": samples}, "x", None).rows["file_name"].to_list() == ["/d/a.jpg"]
    both = [samples[0] | {"others": {"detections": [DETECTION]}}]
    with pytest.raises(DataError, match="several fields, found, others"):
        fiftyone.read({"samples": both}, "x", None)


def test_a_label_is_no_prediction():
    with pytest.raises(DataError, match=r"x, 'a', detection 1: no confidence"):
        fiftyone.read({"labels": {"a": [DETECTION, DETECTION | {"confidence": None}]}}, "x", None)


@pytest.mark.parametrize("detection", [3, {}, DETECTION | {"bounding_box": None}, DETECTION | {"label": None}])
def test_what_is_no_detection_is_named(detection):
    with pytest.raises(DataError, match=r"x, 'a', detection 0: "):
        fiftyone.read({"labels": {"a": [detection]}}, "x", None)
