"""The mined folder: tables for analysis, COCO files for other tools, weights for the next round.

images.parquet, objects.parquet, predictions.parquet    everything, as `MinedTables` says
suspects.parquet, categories.parquet                    labels that are perhaps at fault; the names of the classes
hard_positives.json, hard_negatives.json, suspects.json COCO, hardest or most suspect first
suspects_cvat.xml, suspects_label_studio.json           the same as work for those tools
image_weights.csv                                       image_id, file_name, weight
README.md                                               what each is, and what was mined
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from hardmine.boxes import SIDES
from hardmine.errors import RunError
from hardmine.mining.label_tools import cvat, label_studio
from hardmine.mining.suspect_table import SUGGESTED
from hardmine.mining.tables import TABLES, MinedTables, hardest, largest
from hardmine.training.files import is_taken, write_json

__all__ = ["coco_of", "refuse_existing", "write_lists", "write_mined"]

GIVEN = ("score", "hardness", "reason", "error", "kind", "probability", *SUGGESTED.values())
"""What an annotation says beside COCO's own fields, where it is known."""
README = """# What was mined

{num_images} images with {num_objects} objects, against {num_predictions} predictions ({source}).

| file | what |
|---|---|
| `images.parquet` | a row an image: hard positives and hard negatives on it, and how often it should be drawn |
| `objects.parquet` | a row an object: how hard it is and why, the prediction that takes it |
| `predictions.parquet` | a row a prediction: what is wrong with it, its nearest object, how hard it is |
| `suspects.parquet` | a row a label that is perhaps at fault: missing, spurious, of the wrong class or badly located |
| `categories.parquet` | the name of each category id |
| `hard_positives.json` | {hard_positives} objects missed, or found with a low score or IoU; COCO, hardest first |
| `hard_negatives.json` | {hard_negatives} mistaken predictions with a high score; COCO, hardest first |
| `suspects.json` | {suspects} suspect labels; COCO, most suspect first, each with what it should perhaps be |
| `suspects_cvat.xml` | the images with a suspect, all labels on them and the missing ones; for CVAT (format 1.1) |
| `suspects_label_studio.json` | the same as pre-annotated tasks for Label Studio |
| `image_weights.csv` | how often each image should be drawn, with mean 1 |

File names are relative to the folder of the images ({folder}),
which FiftyOne takes as `data_path` and `hardmine.data.open_dataset` as `images`.

In CVAT give the labels text attributes `suspect` and `probability` to see them. In Label Studio serve the folder of
the images as local storage, and call the image `image` and the rectangle labels `label` in the interface. FiftyOne
keeps what is suspect when `suspects.json` is loaded with `extra_attrs=True`.

A model repeats the labels that it has learnt, faults included: suspects are worth as much as the predictions are of
models that did not learn from these images (`hardmine mine --run RUN --folds 3`).
"""


def write_mined(out: Path | str, tables: MinedTables, source: str, top: int | None = None) -> None:
    """Writes the mined folder, whole or not at all; the COCO files hold the ``top`` hardest, or all.

    Raises: RunError: `out` exists and is not empty, or cannot be written.
    """
    with new_folder(Path(out)) as folder:
        for name in TABLES:
            getattr(tables, name).write_parquet(folder / f"{name}.parquet")
        write_lists(folder, tables.categories, tables.folder, source, top)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill that becomes `out` when that is done without an error.

    Raises: RunError: `out` exists and is not empty, or cannot be written.
    """
    refuse_existing(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as parent:
            unfinished = Path(parent) / out.name
            unfinished.mkdir()
            yield unfinished
            unfinished.replace(out)
    except OSError as error:
        raise RunError(f"cannot write {out} ({error.strerror or error}); make room, or choose another --out") from error


def refuse_existing(out: Path) -> None:
    """Raises: RunError: `out` is a file, or a folder with something in it."""
    if is_taken(out):
        raise RunError(f"{out} exists already; choose another folder with --out")


def write_lists(
    folder: Path, categories: Mapping[int, str], images_in: Path | None, source: str, top: int | None
) -> None:
    """Writes all that is made from the tables in a folder; of these no more is read at a time than is listed."""
    tables = {name: pl.scan_parquet(folder / f"{name}.parquet") for name in TABLES}
    tables["images"].select("image_id", "file_name", "weight").sink_csv(folder / "image_weights.csv")
    names = {"category_id": list(categories), "category": list(categories.values())}
    pl.DataFrame(names).write_parquet(folder / "categories.parquet")
    suspects = largest(tables["suspects"], "probability", top)
    lists = {
        "hard_positives": hardest(tables["objects"], "hard positive", top),
        "hard_negatives": hardest(tables["predictions"], "hard negative", top),
        "suspects": _with_missing(suspects),
    }
    for name, rows in lists.items():
        write_json(folder / f"{name}.json", coco_of(tables["images"], rows, categories))
    images, objects = (_of_images(tables[name], suspects) for name in ("images", "objects"))
    write_json(folder / "suspects_label_studio.json", label_studio(images, objects, suspects))
    (folder / "suspects_cvat.xml").write_bytes(cvat(images, objects, suspects))
    sizes = {f"num_{name}": table.select(pl.len()).collect().item() for name, table in tables.items()}
    counts = {name: len(rows) for name, rows in lists.items()}
    where = images_in or "nowhere, since the images are generated"
    (folder / "README.md").write_text(README.format(source=source, folder=where, **sizes, **counts), encoding="utf-8")


def coco_of(images: pl.LazyFrame, rows: pl.DataFrame, categories: Mapping[int, str]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the objects or of the predictions as a COCO data set of the images that they are on."""
    on_them = _of_images(images, rows).select(pl.col("image_id").alias("id"), "file_name", "width", "height")
    return {
        "images": on_them.to_dicts(),
        "annotations": [_annotation(number, row) for number, row in enumerate(rows.iter_rows(named=True), start=1)],
        "categories": [{"id": category_id, "name": name} for category_id, name in categories.items()],
    }


def _of_images(table: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """What a table says of the images that the rows are on."""
    ids = rows.lazy().select("image_id").unique()
    return table.join(ids, on="image_id", how="semi", maintain_order="left").collect()


def _with_missing(suspects: pl.DataFrame) -> pl.DataFrame:
    """Each where its label is, or where it is missing, where the label should be."""
    return suspects.with_columns(pl.coalesce(name, SUGGESTED[name]) for name in ("category_id", *SIDES))


def _annotation(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = (row[side] for side in SIDES)
    return {
        "id": number,
        "image_id": row["image_id"],
        "category_id": row["category_id"],
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
        **_given(row, GIVEN),
    }


def _given(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}
