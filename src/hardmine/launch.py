"""Processes that `torchrun` or `accelerate launch` has started to work together, as their environment says."""

import os

__all__ = ["is_first", "num_started", "rank"]


def num_started() -> int:
    """How many there are, this one among them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the one that says what all have found."""
    return rank() == 0
