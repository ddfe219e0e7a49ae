import numpy as np
import pytest

from hardmine.claims.claim import cell
from hardmine.claims.gains import average_precisions, gain, gains, named
from tests.claims.made import MadeRuns

BETTER, WORSE = cell("fasterrcnn", "ohem"), cell("fasterrcnn", "random")
RUNS = MadeRuns({"fasterrcnn-ohem": [0.3, 0.32, 0.31]})


def test_a_gain_is_the_difference_of_each_draw_and_seed():
    contrast = gain(RUNS, (BETTER, WORSE))
    assert contrast.values.shape == (101, 3)
    np.testing.assert_allclose(contrast.values, np.broadcast_to([0.1, 0.11, 0.12], (101, 3)))
    assert (contrast.text, contrast.claimed) == ("AP: ohem - random", "above")


def test_average_precisions_stand_beside_the_gains():
    measurement = gains((BETTER, WORSE))(RUNS)
    assert len(measurement.contrasts) == 1
    assert {name: list(of) for name, of in measurement.numbers.items()} == {
        "AP of ohem": pytest.approx([0.3, 0.32, 0.31]),
        "AP of random": pytest.approx([0.2, 0.21, 0.19]),
    }
    assert list(average_precisions(RUNS, (WORSE, WORSE))) == ["AP of random"]


def test_only_the_usual_detector_is_left_out_of_a_name():
    assert named(WORSE) == "random"
    assert named(cell("fcos", "random")) == "fcos-random"
