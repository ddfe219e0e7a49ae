"""The small data set and the configurations of `tests/training`."""

from tests.training.conftest import one_thread, small, small_data, stand_in

__all__ = ["one_thread", "small", "small_data", "stand_in"]
