"""What is kept of label errors that were planted for a run: each label as it is learnt, and as it would be right.

RUN/label_errors.parquet, an error a row, in the order of the images:

    image_id, file_name                  which image; the name is relative to the folder of all images that are learnt
                                         from, as in `images.parquet` of a mined folder, empty for the scenes
    kind                                 dropped, shifted, swapped or spurious
    category, x1, y1, x2, y2             the label as it is, in pixels; null where it was dropped
    true_category, true_x1, ..., true_y2 as it would be right; null where there is no object

Of masks a row is a region: category is what its wrong pixels are now, true_category what they would be, x1, y1, x2, y2
the box around the pixels that changed, num_pixels how many these are. The file name is without folder there.
"""

from io import BytesIO
from pathlib import Path

import polars as pl

from hardmine.data import DetectionDataset, PlantedError, SegmentationDataset, WithMaskErrors
from hardmine.data.identity import as_text
from hardmine.data.label_errors import WithLabelErrors, planted_in
from hardmine.files.writing import write_atomically
from hardmine.tables.columns import SIDES

__all__ = ["planted_masks_table", "planted_table", "write_planted", "write_planted_masks"]

LABEL = {"category": pl.String, **dict.fromkeys(SIDES, pl.Float64)}
SCHEMA = {
    "image_id": pl.Int64,
    "file_name": pl.String,
    "kind": pl.String,
    **LABEL,
    **{f"true_{name}": kind for name, kind in LABEL.items()},
}
MASK_SCHEMA = {
    "image_id": pl.Int64,
    "file_name": pl.String,
    "kind": pl.String,
    "category": pl.String,
    "true_category": pl.String,
    **dict.fromkeys(SIDES, pl.Int64),
    "num_pixels": pl.Int64,
}


def write_planted(file: Path, train_data: DetectionDataset) -> None:
    """Writes the errors that were planted in what is learnt from; nothing where none were asked for.

    Raises: RunError: it cannot be written.
    """
    erroneous = planted_in(train_data)
    if erroneous is not None:
        content = BytesIO()
        planted_table(erroneous).write_parquet(content)
        write_atomically(file, content.getvalue())


def planted_table(dataset: WithLabelErrors) -> pl.DataFrame:
    """The errors of the data set as a table, an error a row."""
    names = {record.image_id: name for record, name in zip(dataset.records, dataset.file_names, strict=True)}
    rows = [_row(error, names[error.image_id], dataset.classes) for error in dataset.planted]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _row(error: PlantedError, file_name: str, classes: tuple[str, ...]) -> tuple[object, ...]:
    category, true_category = (None if of is None else classes[of] for of in (error.label, error.true_label))
    nowhere = (None,) * len(SIDES)
    box, true_box = error.box or nowhere, error.true_box or nowhere
    return error.image_id, file_name, error.kind, category, *box, true_category, *true_box


def write_planted_masks(file: Path, train_data: SegmentationDataset) -> None:
    """The same of errors in masks, whose box is around the pixels that changed; nothing where none were asked for.

    Raises: RunError: it cannot be written.  DataError: a mask cannot be read.
    """
    if isinstance(train_data, WithMaskErrors):
        content = BytesIO()
        planted_masks_table(train_data).write_parquet(content)
        write_atomically(file, content.getvalue())


def planted_masks_table(dataset: WithMaskErrors) -> pl.DataFrame:
    """The errors of the masks as a table, an error a row. Raises: DataError: a mask cannot be read."""
    rows = []
    for place, record in enumerate(dataset.records):
        for error in dataset.planted(place):
            labels = dataset.classes[error.label], dataset.classes[error.true_label]
            name = as_text(record.file.name) if record.file else ""
            rows.append((record.image_id, name, error.kind, *labels, *error.box, error.num_pixels))
    return pl.DataFrame(rows, schema=MASK_SCHEMA, orient="row")
