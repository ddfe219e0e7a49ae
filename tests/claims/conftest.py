"""Finished runs to look through, as in `tests/training`."""

from tests.training.conftest import dense, few, one_thread, others, run_of, small, small_data, stand_in, two_stage

__all__ = ["dense", "few", "one_thread", "others", "run_of", "small", "small_data", "stand_in", "two_stage"]
