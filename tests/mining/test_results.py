"""Records that do not fit the labels, or one another."""

import pytest

from hardmine.errors import DataError
from hardmine.mining.tables import mine


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"score": 1.5}, r"mine\.json, record 6: score is 1\.5, expected 0 to 1"),
        ({"score": -0.5}, r"mine\.json, record 6: score is -0\.5, expected 0 to 1"),
        ({"image_id": 8}, r"mine\.json, record 6: image_id 8 is not in the ground truth"),
    ],
)
def test_records_that_cannot_be_mined(two_images, results, record, message):
    with pytest.raises(DataError, match=message):
        mine(two_images, [*results, results[0] | record], "mine.json")


def test_no_prediction_at_all(two_images):
    with pytest.raises(DataError, match=r"mine\.json: no prediction in it"):
        mine(two_images, [], "mine.json")
