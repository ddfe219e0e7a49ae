import pytest

from hardmine.augmentation import AUGMENT, parse_chances
from hardmine.errors import ConfigError


def test_what_is_not_named_is_never_made():
    assert parse_chances("paste=.5, mosaic=1") == {"paste": 0.5, "distractors": 0, "crop": 0, "mosaic": 1}


def test_the_default_is_one():
    assert any(parse_chances(AUGMENT).values())


@pytest.mark.parametrize(
    "text", ["", "paste", "paste=", "paste=x", "paste=2", "paste=-1", "paste=nan", "glue=.5", "paste=.1,paste=.2",
             "paste=0", "crop=.6,mosaic=.6"],
)  # fmt: skip
def test_what_are_no_probabilities_is_refused(text):
    with pytest.raises(ConfigError, match="expected probabilities such as"):
        parse_chances(text)
