"""The mined folder: tables for analysis, COCO files for other tools, weights for the next round.

images.parquet, objects.parquet, predictions.parquet    everything, as `MinedTables` says
suspects.parquet, categories.parquet                    labels that are perhaps at fault; the names of the classes
hard_positives.json, hard_negatives.json, suspects.json COCO, hardest or most suspect first
suspects_cvat.xml, suspects_label_studio.json           the same as work for those tools
label_studio_config.xml                                 the labelling interface that the latter needs
image_weights.csv                                       image_id, file_name, weight
mined.json                                              what was mined, and where its images are, for programs
README.md                                               what each is, and what was mined
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import polars as pl

from hardmine.errors import RunError, what_failed
from hardmine.files.versions import version_of
from hardmine.files.writing import is_taken, write_json, write_list, write_lists
from hardmine.mining.label_tools import (
    CVAT_NAMES,
    HAS_FILE,
    alike_in_cvat,
    check_cvat_names,
    cvat,
    label_studio,
    label_studio_config,
    visible,
)
from hardmine.mining.suspect_table import SUGGESTED
from hardmine.mining.tables import TABLES, MinedTables, hardest, largest
from hardmine.tables.columns import SIDES

__all__ = ["coco_of", "refuse_existing", "write_made_of_tables", "write_mined"]

FORMULA = r"^([=+\-@\t\r\n＝＋－＠])"
"""How a text begins that a spreadsheet takes for a formula."""
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
| `label_studio_config.xml` | the labelling interface for these tasks |
| `image_weights.csv` | how often each image should be drawn, with mean 1 |
| `mined.json` | what was mined, and where its images are, for programs: `hardmine report` |

File names are relative to the folder of the images ({folder}),
which FiftyOne takes as `data_path` and `hardmine.data.open_dataset` as `images`. FiftyOne keeps what is suspect when
`suspects.json` is loaded with `extra_attrs=True`. In `image_weights.csv` a `'` stands before a name that a spreadsheet
would take for a formula (`=`, `+`, `-`, `@`, a tab or a line break first).

{label_tools}

A model repeats the labels that it has learnt, faults included: suspects are worth as much as the predictions are of
models that did not learn from these images (`hardmine mine --run RUN --folds 3`).
"""


IN_CVAT = """## In CVAT

Give the labels text attributes `suspect` and `probability` to see them, and upload `suspects_cvat.xml` as "CVAT 1.1".
The task must hold every image of the file under its name there; if not, CVAT refuses the file. `--cvat-names` of
`hardmine mine` says how the task calls its images, here `{names}`: `{{name}}` is the path below the folder of the
images, `{{file}}` the bare file name. CVAT cannot tell images apart whose names differ in nothing but the suffix; left
out for this: {num_alike} with a suspect.
"""
IN_LABEL_STUDIO = """## In Label Studio

    LOCAL_FILES_SERVING_ENABLED=true LOCAL_FILES_DOCUMENT_ROOT={root} label-studio start

Make a project with the interface in `label_studio_config.xml`. Add local files as its source storage, with the absolute
path `{folder}`: the document root is the folder above it. Then import `suspects_label_studio.json`; the storage need
not be synchronised. Export as JSON or COCO: YOLO and VOC forget folders, and of two images of one name keep one.
"""
ESCAPED = "Control characters in the names of classes, and for CVAT of files, are written as `\\n` or `\\x01`."
GENERATED = "The images are generated: there is no file to show, so the files for label tools hold none of them."
UNKNOWN = """## In Label Studio

Where the images are is not known, so the links in `suspects_label_studio.json` lack their folder, and no picture is
shown: mine again with `--images FOLDER`.
"""


class Annotation(msgspec.Struct, omit_defaults=True, gc=False):
    """What an annotation says: COCO's own fields, and beside them what is known."""

    id: int
    image_id: int
    category_id: int | None
    bbox: list[float]
    area: float
    iscrowd: int
    score: float | None = None
    hardness: float | None = None
    reason: str | None = None
    error: str | None = None
    kind: str | None = None
    probability: float | None = None
    suggested_category_id: int | None = None
    suggested_category: str | None = None
    suggested_x1: float | None = None
    suggested_y1: float | None = None
    suggested_x2: float | None = None
    suggested_y2: float | None = None
    suggested_score: float | None = None


def write_mined(
    out: Path | str, tables: MinedTables, source: str, top: int | None = None, *, cvat_names: str = CVAT_NAMES
) -> None:
    """Writes the mined folder, whole or not at all; the COCO files hold the ``top`` hardest, or all.

    Args: cvat_names: how a task of CVAT calls its images, as `check_cvat_names` says.
    Raises: RunError: `out` exists and is not empty, or cannot be written.  ConfigError: no name can be made so.
    """
    check_cvat_names(cvat_names)
    with new_folder(Path(out)) as folder:
        for name in TABLES:
            getattr(tables, name).write_parquet(folder / f"{name}.parquet")
        in_memory = {name: getattr(tables, name).lazy() for name in TABLES}
        named = tables.categories, tables.folder, source
        write_made_of_tables(folder, in_memory, *named, top, cvat_names, tables.origin)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill that becomes `out` when that is done without an error.

    Raises: RunError: `out` exists and is not empty, or cannot be written.
    """
    refuse_existing(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name[:60]}.", dir=out.parent) as parent:
            unfinished = Path(parent) / out.name
            unfinished.mkdir()
            yield unfinished
            unfinished.replace(out)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(f"cannot write {out}: {what_failed(error)}, or give another --out") from error


def refuse_existing(out: Path) -> None:
    """Raises: RunError: `out` is a file, or a folder with something in it, or a name that is no text."""
    try:
        str(out).encode()
    except UnicodeEncodeError as error:  # which Polars cannot write to
        raise RunError(f"{out} is no text in UTF-8; choose another folder with --out") from error
    if is_taken(out):
        raise RunError(f"{out} exists already; choose another folder with --out")


def write_made_of_tables(
    folder: Path,
    tables: Mapping[str, pl.LazyFrame],
    categories: Mapping[int, str],
    images_in: Path | None,
    source: str,
    top: int | None,
    cvat_names: str = CVAT_NAMES,
    origin: tuple[str, str] = ("", ""),
) -> None:
    """Writes all that is made from the tables; of these no more is read at a time than is listed."""
    weights = tables["images"].select("image_id", "file_name", "weight")
    weights.with_columns(pl.col(pl.String).str.replace(FORMULA, "'$1")).sink_csv(folder / "image_weights.csv")
    names = {"category_id": list(categories), "category": [_encodable(name) for name in categories.values()]}
    pl.DataFrame(names).write_parquet(folder / "categories.parquet")
    suspects = largest(tables["suspects"], "probability", top)
    lists = {
        "hard_positives": hardest(tables["objects"], "hard positive", top),
        "hard_negatives": hardest(tables["predictions"], "hard negative", top),
        "suspects": _with_missing(suspects),
    }
    for name, rows in lists.items():
        write_lists(folder / f"{name}.json", coco_of(tables["images"], rows, categories))
    label_tools = _write_for_label_tools(folder, tables, suspects, categories, images_in, cvat_names)
    sizes = {f"num_{name}": table.select(pl.len()).collect().item() for name, table in tables.items()}
    counts = {name: len(rows) for name, rows in lists.items()}
    where = visible(str(images_in or "not known"))
    text = README.format(source=visible(source), folder=where, label_tools=label_tools, **sizes, **counts)
    (folder / "README.md").write_text(text, encoding="utf-8")
    write_json(folder / "mined.json", _facts(images_in, source, origin))


def _facts(images_in: Path | None, source: str, origin: tuple[str, str]) -> dict[str, Any]:
    """What a program must know to find the images of a mined folder."""
    data, split = origin
    return {
        "format": 1,
        "hardmine": version_of("hardmine"),
        "data": data,
        "split": split,
        "images": None if images_in is None else str(images_in.absolute()),
        "predictions": source,
    }


def _write_for_label_tools(
    folder: Path,
    tables: Mapping[str, pl.LazyFrame],
    suspects: pl.DataFrame,
    categories: Mapping[int, str],
    images_in: Path | None,
    cvat_names: str,
) -> str:
    """Writes what CVAT and Label Studio take; returns what is to be said of it."""
    images, objects = (_of_images(tables[name], suspects) for name in ("images", "objects"))
    told_apart = images.join(alike_in_cvat(tables["images"], cvat_names), on="image_id", how="anti")
    with (folder / "suspects_cvat.xml").open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(cvat(told_apart, objects, suspects, cvat_names))
    tasks = label_studio(images, objects, suspects, images_in.name if images_in else "")
    write_list(folder / "suspects_label_studio.json", tasks)
    (folder / "label_studio_config.xml").write_text(label_studio_config(categories.values()), encoding="utf-8")
    if not tables["images"].select(HAS_FILE.any()).collect().item():
        return GENERATED
    return _how_to_label(images_in, cvat_names, len(images) - len(told_apart))


def _how_to_label(images_in: Path | None, cvat_names: str, num_alike: int) -> str:
    in_label_studio = UNKNOWN
    if images_in is not None:
        root, folder = (visible(str(path)) for path in (images_in.parent, images_in))
        in_label_studio = IN_LABEL_STUDIO.format(root=shlex.quote(root), folder=folder)
    in_cvat = IN_CVAT.format(names=cvat_names, num_alike=num_alike)
    return f"{in_cvat}\n{in_label_studio}\n{ESCAPED}"


def _encodable(name: str) -> str:
    """The name with halves of surrogate pairs, which no table can hold, escaped."""
    return name.encode(errors="backslashreplace").decode()


def coco_of(images: pl.LazyFrame, rows: pl.DataFrame, categories: Mapping[int, str]) -> dict[str, Iterable[Any]]:
    """Rows of the objects or of the predictions as a COCO data set of the images that they are on."""
    on_them = _of_images(images, rows).select(pl.col("image_id").alias("id"), "file_name", "width", "height")
    return {
        "images": on_them.iter_rows(named=True),
        "annotations": _annotations(rows),
        "categories": [{"id": category_id, "name": name} for category_id, name in categories.items()],
    }


def _of_images(table: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """What a table says of the images that the rows are on."""
    ids = rows.lazy().select("image_id").unique()
    return table.join(ids, on="image_id", how="semi", maintain_order="left").collect()


def _with_missing(suspects: pl.DataFrame) -> pl.DataFrame:
    """Each where its label is, or where it is missing, where the label should be."""
    return suspects.with_columns(pl.coalesce(name, SUGGESTED[name]) for name in ("category_id", *SIDES))


def _annotations(rows: pl.DataFrame) -> Iterator[Annotation]:
    x1, y1, x2, y2 = map(pl.col, SIDES)
    width, height = x2 - x1, y2 - y1
    columns = {
        "id": pl.int_range(1, pl.len() + 1),
        "bbox": pl.concat_list(x1, y1, width, height),
        "area": width * height,
        "iscrowd": pl.lit(0),
    }
    given = {name: pl.lit(None) for name in Annotation.__struct_fields__ if name not in rows.columns}
    table = rows.with_columns(**(given | columns)).select(Annotation.__struct_fields__)
    return (Annotation(*row) for row in table.iter_rows())
