import logging
import math

import numpy as np
import pytest

from hardmine.augmentation import RepeatRule, parse_repeat_rule, repeat_factors
from hardmine.data import DetectionDataset, ImageRecord
from hardmine.errors import ConfigError


def labelled(*images, crowds=()):
    """A data set of three classes, with these labels on its images; crowds: (image, object)."""
    records = [
        ImageRecord(
            image_id=place,
            file=None,
            width=10,
            height=10,
            boxes=np.tile(np.array([[0, 0, 5, 5]], dtype=np.float32), (len(labels), 1)),
            labels=np.array(labels, dtype=np.int64),
            is_crowd=np.array([(place, n) in crowds for n in range(len(labels))], dtype=bool),
        )
        for place, labels in enumerate(images)
    ]
    return DetectionDataset("made", "train", ("a", "b", "c"), (1, 2, 3), records)


IMAGES = [[0, 0], [0], [0, 1], [], [0, 0, 2, 2, 2, 2], [0]]


def by_hand(images, threshold, counts_objects):
    factors = []
    num_objects = sum(map(len, images))
    for labels in images:
        largest = 1.0
        for label in labels:
            frequency = sum(label in of for of in images) / len(images)
            if counts_objects:
                frequency = math.sqrt(frequency * sum(of.count(label) for of in images) / num_objects)
            largest = max(largest, math.sqrt(threshold / frequency))
        factors.append(largest)
    return factors


@pytest.mark.parametrize("threshold", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("counts_objects", [False, True])
def test_factors_are_those_of_a_loop(threshold, counts_objects):
    found = repeat_factors(labelled(*IMAGES), RepeatRule(counts_objects, threshold))
    assert found.tolist() == pytest.approx(by_hand(IMAGES, threshold, counts_objects))


def test_of_two_classes_on_as_many_images_irfs_draws_the_one_with_fewer_objects():
    rfs, irfs = (repeat_factors(labelled(*IMAGES), RepeatRule(counts, 0.5)) for counts in (False, True))
    assert rfs[2] == rfs[4]
    assert irfs[2] > irfs[4] > 1


def test_crowds_are_no_objects():
    with_crowd = labelled(*IMAGES[:3], [1], *IMAGES[4:], crowds={(3, 0)})
    rule = RepeatRule(True, 0.5)
    assert repeat_factors(with_crowd, rule).tolist() == repeat_factors(labelled(*IMAGES), rule).tolist()


def test_without_any_object_all_images_are_alike():
    assert repeat_factors(labelled([], []), RepeatRule(True, 1.0)).tolist() == [1, 1]


def test_a_threshold_that_changes_nothing_is_told(caplog):
    with caplog.at_level(logging.WARNING, "hardmine"):
        assert set(repeat_factors(labelled(*IMAGES), RepeatRule(False))) == {1.0}
    assert "the rarest has a frequency of 0.167" in caplog.text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rfs", RepeatRule(False, 1e-3)),
        ("irfs", RepeatRule(True, 1e-3)),
        ("irfs:t=.3", RepeatRule(True, 0.3)),
        ("rfs:t=1e-2", RepeatRule(False, 0.01)),
    ],
)
def test_rules_are_read(text, rule):
    assert parse_repeat_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "RFS", "rfs:", "rfs:t=", "rfs:t=0", "rfs:t=2", "rfs:t=-1", "rfs:t=.", "xrfs", "rfs:t=nan"]
)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ConfigError, match="expected rfs, irfs"):
        parse_repeat_rule(text)
