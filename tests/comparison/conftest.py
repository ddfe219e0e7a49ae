"""The small data set and the configurations of `tests/training`, and runs to look through."""

from tests.seen_masks import masked, masked_data
from tests.training.conftest import dense, few, one_thread, others, run_of, small, small_data, stand_in, two_stage

__all__ = [
    "dense",
    "few",
    "masked",
    "masked_data",
    "one_thread",
    "others",
    "run_of",
    "small",
    "small_data",
    "stand_in",
    "two_stage",
]
