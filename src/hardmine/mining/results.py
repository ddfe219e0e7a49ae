"""Anybody's predictions as a table to mine, each known to fit the labels.

prediction (number in the results, from 0), image_id, category_id, category, x1, y1, x2, y2 in pixels, score
"""

from collections.abc import Callable

import polars as pl

from hardmine.data import DetectionDataset
from hardmine.errors import DataError
from hardmine.predictions import Confirmed, Found, resolve

__all__ = ["IS_NO_PROBABILITY", "ROUNDING", "refuse_no_probability", "results_table", "scores_in_range"]

ROUNDING = 1e-3
"""By how much half precision and sums of weights bring a score over 1, or under 0."""
IS_NO_PROBABILITY = ~pl.col("score").is_between(-ROUNDING, 1 + ROUNDING)


def results_table(dataset: DetectionDataset, found: Found, confirmed: Confirmed | None = None) -> pl.DataFrame:
    """Predictions as a table; those of images in which an object could not be read or placed are left out.

    Raises: DataError: no result, one that does not fit the data set, or a score outside 0..1; the message names the
        source and the record.  ConfigError: as `resolve`.
    """
    if not len(found.rows):
        raise DataError(
            f"{found.source}: no prediction in it; expected at least one, so that there is something to mine"
        )
    table = resolve(found, dataset, confirmed)
    refuse_no_probability(table, found.where)
    incomplete = [record.image_id for record in dataset.records if not record.is_complete]
    return scores_in_range(table.filter(~pl.col("image_id").is_in(incomplete)))


def refuse_no_probability(table: pl.DataFrame, where: Callable[[int], str]) -> None:
    """Raises: DataError: a score that is not from 0 to 1, but for rounding. where: says which record a number is."""
    outside = table.filter(IS_NO_PROBABILITY)
    if len(outside):
        raise DataError(
            f"{where(outside['prediction'][0])}: score is {outside['score'][0]:g}, expected 0 to 1; bring scores there "
            f"first (a sigmoid, or a division by the largest)"
        )


def scores_in_range(table: pl.DataFrame) -> pl.DataFrame:
    """The table with scores that are over 1 or under 0 by rounding at 1 and 0."""
    return table.with_columns(pl.col("score").clip(0, 1))
