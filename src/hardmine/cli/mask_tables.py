"""What `mine` prints of masks: the classes, and the regions that are perhaps labelled wrong."""

from pathlib import Path

import polars as pl

from hardmine.cli.layout import Column, Table, table_of
from hardmine.core.pixels import ARROW

__all__ = ["mined_masks_table", "suspect_regions_table"]

LISTED = 10
UNDEFINED = "-"


def mined_masks_table(mined: Path) -> Table:
    """Of each class its pixels, the mean probability of its labels, its IoU and how many suspects are labelled so."""
    titles = ("pixels", "mean p", "IoU", "suspects")
    rows = [
        (name, f"{pixels:,}", _number(confidence), _number(iou), f"{suspects:,}")
        for name, pixels, confidence, iou, suspects in pl.read_parquet(mined / "classes.parquet").iter_rows()
    ]
    return table_of("class", *(Column(title, "number") for title in titles), rows=rows)


def suspect_regions_table(mined: Path, top: int | None = None) -> Table:
    """The most suspect regions: where each is, how it is labelled and what is predicted."""
    regions = pl.read_parquet(mined / "regions.parquet")
    rows = [
        (
            row["file_name"] or f"image id {row['image_id']}",
            f"{row['label']}{ARROW}{row['predicted']}",
            f"{row['x1']}, {row['y1']}, {row['x2']}, {row['y2']}",
            f"{row['pixels']:,}",
            _number(row["score"]),
        )
        for row in regions.head(top or LISTED).iter_rows(named=True)
    ]
    columns = Column("image", "file"), f"labelled{ARROW}predicted", "x1, y1, x2, y2"
    numbers = Column("pixels", "number"), Column("score", "number")
    return table_of(*columns, *numbers, rows=rows, caption=f"suspect regions, {len(rows)} of {len(regions):,}:")


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"
