"""What is said of a data set, once: a comparison opens the same data for each of its runs."""

import logging
from functools import cache

__all__ = ["say_once"]

logger = logging.getLogger("hardmine")


@cache
def say_once(message: str, level: int = logging.WARNING) -> None:
    """Logs a message the first time only."""
    logger.log(level, message)
