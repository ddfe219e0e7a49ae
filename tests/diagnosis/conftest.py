"""The small data set and the configurations of `tests/training`, and runs to look through."""

from tests.training.conftest import dense, few, one_thread, others, run_of, small, small_data, stand_in, two_stage

__all__ = ["dense", "few", "one_thread", "others", "run_of", "small", "small_data", "stand_in", "two_stage"]
