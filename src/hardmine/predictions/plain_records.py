"""Records of the commonest kind, checked and turned into columns at once: what `checked_record` takes as it is.

Any other record goes through that function, which also says what is wrong: both read alike, and this is fast.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import numpy as np
import polars as pl
from msgspec import Meta

from hardmine.predictions.found import make_rows

__all__ = ["LARGEST", "NAMES_OF_CLASSES", "PlainRecord", "plain_list", "plain_record", "plain_rows", "rows_if_plain"]

LARGEST = 1e9  # of any number in a prediction: far beyond every image, and its square is still exact enough
NAMES_OF_CLASSES = ("category", "category_name", "label", "class_name")

Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Size = Annotated[float, Meta(ge=0, le=LARGEST)]
Id = int | Annotated[str, Meta(min_length=1)] | None
Box = TypeVar("Box")


class PlainRecord(msgspec.Struct, Generic[Box], gc=False):
    """A record as `checked_record` takes it, whose numbers are numbers and whose ids are whole numbers or texts."""

    bbox: Box
    score: Number
    image_id: Id = None
    file_name: str | None = None
    category_id: Id = None
    category: str | None = None
    category_name: str | None = None
    label: str | None = None
    class_name: str | None = None

    def __post_init__(self) -> None:
        if self.image_id is None and self.file_name is None:
            raise ValueError("no image")
        if self.category_id is None and all(getattr(self, name) is None for name in NAMES_OF_CLASSES):
            raise ValueError("no class")


WithSides = PlainRecord[tuple[Number, Number, Size, Size]]
WithCorners = PlainRecord[tuple[Number, Number, Number, Number]]


def plain_record(box_format: str) -> Any:
    """The type of records with such boxes."""
    return WithCorners if box_format.startswith("xyxy") else WithSides


def plain_list(box_format: str) -> Any:
    """The type of a list of them."""
    return list[WithCorners] if box_format.startswith("xyxy") else list[WithSides]


def rows_if_plain(records: Sequence[Any], box_format: str) -> pl.DataFrame | None:
    """Rows of `Found` from records as Python has JSON, if all are plain."""
    try:
        return plain_rows(msgspec.convert(records, plain_list(box_format)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def plain_rows(records: list[PlainRecord]) -> pl.DataFrame:
    """Rows of `Found`."""
    columns = {
        "image_id": [None if record.image_id is None else str(record.image_id) for record in records],
        "file_name": [record.file_name for record in records],
        "category_id": [None if record.category_id is None else str(record.category_id) for record in records],
        "category": _first_given([[getattr(record, name) for record in records] for name in NAMES_OF_CLASSES]),
        "score": np.fromiter((record.score for record in records), float, len(records)),
    }
    numbers = chain.from_iterable(record.bbox for record in records)
    return make_rows(columns, np.fromiter(numbers, float, 4 * len(records)))


def _first_given(columns: Sequence[list[str | None]]) -> pl.Series:
    """In each row the first that is not null."""
    table = pl.DataFrame([pl.Series(str(number), column, dtype=pl.String) for number, column in enumerate(columns)])
    return table.select(pl.coalesce(table.columns)).to_series()
