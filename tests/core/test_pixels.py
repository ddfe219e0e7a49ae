import numpy as np

from hardmine.core.pixels import IGNORED


def test_it_is_the_last_value_of_a_mask_in_bytes():
    assert np.iinfo(np.uint8).max == IGNORED
