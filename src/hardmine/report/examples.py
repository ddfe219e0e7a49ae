"""Which mined samples and suspects a page shows: so many of each kind, the worst first, with the boxes around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from hardmine.data.parquet import reading
from hardmine.errors import ConfigError, DataError
from hardmine.files.reading import read_pieces
from hardmine.mining.suspect_table import SUGGESTED
from hardmine.mining.tables import hardest
from hardmine.tables.columns import SIDES

__all__ = [
    "HARD_KINDS",
    "LABEL_BOX",
    "MOST_PREDICTIONS",
    "SUSPECT_KINDS",
    "Examples",
    "fingerprint",
    "in_columns",
    "read_examples",
]

SUSPECT_KINDS = ("missing", "wrong class", "badly located", "spurious", "duplicate")
HARD_KINDS = ("hard positive", "hard negative")
MOST_PREDICTIONS, LEAST_SCORE = 40, 0.05
"""The surest predictions of an image that are drawn over the whole of it, and the lowest score of one."""
LARGEST_TABLE = 2**40
LABEL_BOX = {side: f"label_{side}" for side in SIDES}
FOUND_BOX = {side: f"found_{side}" for side in SIDES}
COLUMNS = {
    "kind": pl.String,
    "row": pl.Int64,
    "image_id": pl.Int64,
    "category": pl.String,
    "found_category": pl.String,
    "value": pl.Float64,
    "score": pl.Float64,
    "iou": pl.Float64,
    "loss": pl.Float64,
    "why": pl.String,
    **dict.fromkeys((*LABEL_BOX.values(), *FOUND_BOX.values()), pl.Float64),
}


@dataclass(frozen=True, slots=True)
class Examples:
    """rows: a row an example, the suspects first, within a kind the worst first: kind; row in `suspects.parquet` (null
    for what is hard); image_id; category of the label and found_category, of the prediction; value, the probability of
    a suspect or the hardness; score; iou; loss (mean over the epochs, where it was recorded); why; the corners of the
    label and of the prediction, `label_x1`, `found_x1`, ... (null where there is none).
    images: image_id, file_name, width, height of those they are on, in the order of the data set.
    labels: image_id, category, corners; predictions: the same with score, the surest of each image.
    totals: kind -> how many there are, of which `rows` may have fewer.  fingerprint: tells these suspects from others.
    """

    rows: pl.DataFrame
    images: pl.DataFrame
    labels: pl.DataFrame
    predictions: pl.DataFrame
    totals: Mapping[str, int]
    fingerprint: str

    @property
    def left_out(self) -> dict[str, int]:
        """Kind -> how many are not among the rows."""
        listed = dict(self.rows.group_by("kind").len().iter_rows())
        return {kind: num - listed.get(kind, 0) for kind, num in self.totals.items() if num > listed.get(kind, 0)}


def read_examples(mined: Path, most: int) -> Examples:
    """The examples in a mined folder, at most so many of a kind.

    Raises: ConfigError: none of a kind.  DataError: a table cannot be read, or is not one of `hardmine mine`.
    """
    if most < 1:
        raise ConfigError(f"most is {most}; expected at least 1 example of a kind")
    tables = {name: mined / f"{name}.parquet" for name in ("images", "objects", "predictions", "suspects")}
    scans = {name: pl.scan_parquet(file, glob=False) for name, file in tables.items()}
    try:
        with reading(mined):
            rows, totals = _rows(scans, most)
            ids = rows.select("image_id").unique().lazy()
            images = scans["images"].join(ids, on="image_id", how="semi", maintain_order="left")
            images = images.select("image_id", pl.col("file_name").fill_null(""), "width", "height").collect()
            labels, predictions = _labels_on(scans["objects"], ids), _predictions_on(scans["predictions"], ids)
    except DataError as error:
        raise DataError(f"{mined}: {error}; mine again") from error
    return Examples(rows, images, labels, predictions, totals, fingerprint(tables["suspects"]))


def fingerprint(file: Path) -> str:
    """Tells a table of suspects from others."""
    digest = sha256()
    for piece in read_pieces(file, LARGEST_TABLE):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _rows(scans: Mapping[str, pl.LazyFrame], most: int) -> tuple[pl.DataFrame, dict[str, int]]:
    suspects = scans["suspects"].with_row_index("row")
    counted = dict(suspects.group_by("kind").len().collect().iter_rows())
    parts = [_suspects(suspects.filter(pl.col("kind") == kind), most) for kind in SUSPECT_KINDS]
    positives, negatives = _hard_positives(scans, most), _hard_negatives(scans, most)
    totals = {kind: counted[kind] for kind in SUSPECT_KINDS if counted.get(kind)}
    for kind, table in zip(HARD_KINDS, (scans["objects"], scans["predictions"]), strict=True):
        if num := table.filter(pl.col("kind") == kind).select(pl.len()).collect().item():
            totals[kind] = num
    return pl.concat([in_columns(part) for part in (*parts, positives, negatives)]), totals


def in_columns(rows: pl.DataFrame) -> pl.DataFrame:
    """With the columns of `Examples.rows`, those that are not there null."""
    lacking = [pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in rows.columns]
    return rows.with_columns(lacking).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


def _suspects(rows: pl.LazyFrame, most: int) -> pl.DataFrame:
    found = {SUGGESTED[side]: name for side, name in FOUND_BOX.items()}
    names = {"probability": "value", SUGGESTED["category"]: "found_category", SUGGESTED["score"]: "score"}
    table = rows.head(most).collect().rename(names | found | LABEL_BOX)
    return table.with_columns(why=pl.lit(""))


def _hard_positives(scans: Mapping[str, pl.LazyFrame], most: int) -> pl.DataFrame:
    """Objects, with the prediction that takes each."""
    rows = hardest(scans["objects"], "hard positive", most)
    found = _numbered(scans["predictions"], "prediction", rows, FOUND_BOX | {"category": "found_category"})
    loss = pl.col("loss_mean") if "loss_mean" in rows.columns else pl.lit(None)
    rows = rows.with_columns(loss.alias("loss")).rename(LABEL_BOX | {"hardness": "value", "reason": "why"})
    return rows.join(found, on="prediction", how="left", maintain_order="left")


def _hard_negatives(scans: Mapping[str, pl.LazyFrame], most: int) -> pl.DataFrame:
    """Predictions, with the object that is nearest to each."""
    rows = hardest(scans["predictions"], "hard negative", most)
    nearest = _numbered(scans["objects"], "object", rows, LABEL_BOX)
    names = FOUND_BOX | {"hardness": "value", "error": "why", "category": "found_category"}
    rows = rows.rename(names)
    category = _numbered(scans["objects"], "object", rows, {"category": "category"})
    joined = rows.join(nearest, on="object", how="left", maintain_order="left")
    return joined.join(category, on="object", how="left", maintain_order="left")


def _numbered(table: pl.LazyFrame, key: str, rows: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Some columns, renamed, of the objects or predictions that rows name by their number."""
    wanted = rows.lazy().select(pl.col(key).cast(pl.Int64)).unique()
    columns = [pl.col(column).alias(name) for column, name in names.items()]
    return (
        table.with_columns(pl.col(key).cast(pl.Int64))
        .join(wanted, on=key, how="semi")
        .select(key, *columns)
        .collect()
        .with_columns(pl.col(key).cast(rows.schema[key]))
    )


def _labels_on(objects: pl.LazyFrame, ids: pl.LazyFrame) -> pl.DataFrame:
    on_them = objects.join(ids, on="image_id", how="semi", maintain_order="left")
    return on_them.select("image_id", pl.col("category").fill_null(""), *SIDES).collect(engine="streaming")


def _predictions_on(predictions: pl.LazyFrame, ids: pl.LazyFrame) -> pl.DataFrame:
    on_them = predictions.filter(pl.col("score") >= LEAST_SCORE).join(ids, on="image_id", how="semi")
    surest = on_them.sort("image_id", "score", descending=[False, True]).group_by("image_id", maintain_order=True)
    return surest.head(MOST_PREDICTIONS).select("image_id", "category", "score", *SIDES).collect()
