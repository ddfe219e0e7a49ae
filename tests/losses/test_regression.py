"""Arguments; the numbers are compared in oracle/ and golden/."""

import pytest

from hardmine import SmoothL1
from hardmine.errors import ConfigError


def test_a_negative_beta_is_refused():
    with pytest.raises(ConfigError, match="SmoothL1 needs beta >= 0, got -1"):
        SmoothL1(-1)
