"""The mined folder of a segmentation data set: tables, a picture of what is hard for each image, weights to draw by.

images.parquet     a row an image, in the order of the data set
regions.parquet    a row a suspect region, the most suspect first
classes.parquet    a row a class
hardness/*.png     (H, W) grey, how hard each pixel is: 0 where it is sure of its label, 255 where its loss is ln 100
                   or more, that is p[label] at most .01; ignored pixels are 0
labels/*.png       (H, W), of each pixel its label, 255 where it is ignored
predicted/*.png    (H, W), the most probable class
regions/*.png      (H, W) 16 bits, the number of the suspect region, 0 in none
image_weights.csv  image_id, file_name, weight
mined.json         what was mined, and where its images are, for programs
README.md          what each is, and what was mined

Images come one at a time, in any order, and of none is anything kept but its row. The pictures of an image are all
called as `picture` in images.parquet says: its place in the data set and what of its name any file system can hold.
"""

import logging
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from hardmine.core.pixels import IGNORED
from hardmine.data import SegmentationDataset
from hardmine.errors import DataError
from hardmine.evaluation.segmentation import JudgedMasks, MaskJudge
from hardmine.files.printable import escaped
from hardmine.files.versions import version_of
from hardmine.files.writing import write_json
from hardmine.mining.folder import FORMULA, new_folder
from hardmine.mining.masks import numbered_regions, self_confidence
from hardmine.mining.tables import image_weight

__all__ = ["MASK_PICTURES", "SATURATED", "SEGMENTATION", "SUSPECT_SCORE", "hardness_map", "mine_masks"]

logger = logging.getLogger("hardmine")

SEGMENTATION = "segmentation"
"""The task that `mined.json` names, by which these folders are told from others."""
MASK_PICTURES = ("hardness", "labels", "predicted", "regions")
SATURATED = 0.01
"""The probability of the label up to which a pixel is as hard as can be."""
SUSPECT_SCORE = 0.5
"""The score from which a region is doubted: half of it is margin .75 and a depth of 4 pixels, or 1 and 2."""
HARDLY_FOUND = 0.1
"""The IoU of a class below which its suspects are no news of its labels."""
LONGEST_NAME = 80
SCHEMA: Mapping[str, Any] = {
    "image_id": pl.Int64, "file_name": pl.String, "width": pl.Int64, "height": pl.Int64, "picture": pl.String,
    "self_confidence": pl.Float64, "hardness": pl.Float64, "miou": pl.Float64, "hardest_class": pl.String,
    "regions": pl.Int64, "suspects": pl.Int64, "suspect_pixels": pl.Int64, "score": pl.Float64,
}  # fmt: skip
REGION_SCHEMA: Mapping[str, Any] = {
    "image_id": pl.Int64, "file_name": pl.String, "number": pl.Int64, "label": pl.String, "predicted": pl.String,
    **dict.fromkeys(("x1", "y1", "x2", "y2", "pixels"), pl.Int64),
    **dict.fromkeys(("depth", "margin", "score"), pl.Float64), "is_suspect": pl.Boolean,
}  # fmt: skip
README = """# What was mined

{num_images} images of {name} (split {split}) with {classes}, against predictions: {source}.
Their mIoU to the labels is {miou}.

| file | what |
|---|---|
| `images.parquet` | a row an image, see below |
| `regions.parquet` | {num_regions} suspect regions, the most suspect first, see below |
| `classes.parquet` | a row a class: its pixels, mean probability of the label, IoU, suspects that are labelled so |
| `hardness/` | how hard each pixel is: 255 · min(1, -ln p / ln 100), p the probability of its label |
| `labels/` | the label of each pixel as it was mined, 255 where it is ignored |
| `predicted/` | the most probable class of each pixel |
| `regions/` | the number of the suspect region that a pixel is in, 0 in none; 16 bits |
| `image_weights.csv` | how often each image should be drawn, with mean 1 |
| `mined.json` | what was mined, and where its images are, for programs: `hardmine report`, `hardmine train` |

Labels are 0, 1, ... in the order of `classes.parquet`. File names are relative to the folder of the images
({folder}). In `image_weights.csv` a `'` stands before a name that a spreadsheet would take for a formula.

In `hardness/` 0 is certain, 38 an even chance, and 255 a probability of .01 or less, where the loss saturates; ignored
pixels are 0.

## images.parquet

`picture` is the name of the image's pictures. `self_confidence` is the mean probability of its labels, `hardness` 1 -
that, `miou` that of its prediction, `hardest_class` the one whose pixels have the lowest mean probability. `regions`
are suspect, `suspects` of them with a score of {suspect} or more, which have `suspect_pixels`; `score` is that of the
most suspect. `weight` is how often the image should be drawn: one half the same for all, one half by hardness.

## regions.parquet

A region is suspect where one class is labelled (`label`) and one other is the most probable (`predicted`). `x1`, `y1`,
`x2`, `y2` is the box around it; `number` its value in `regions/`. Its score is `margin`, the mean difference of the two
probabilities, times depth / (depth + 2), `depth` being how many pixels its innermost is away from the rest: contours
differ a little between any two annotators, and slivers along them are no faults. {num_suspects} have a score of
{suspect} or more: `is_suspect`, which `hardmine train --mined ... --suspects drop` leaves out.

A model repeats the labels that it has learnt, faults included: suspects are worth as much as the predictions are of
models that did not learn from these images (`hardmine mine --run RUN --folds 3`).
"""


def hardness_map(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(H, W) uint8, how hard each pixel is: 255 · min(1, -ln p[label] / ln 100); 0 where the label is ignored.

    Args: labels: (H, W), 0..C-1 or 255.  probabilities: (C, H, W), of each class.
    Raises: DataError: as `pixel_suspicion`.
    """
    found = np.zeros(labels.shape, dtype=np.uint8)
    confidence = self_confidence(labels, probabilities).astype(np.float64)
    loss = np.log(confidence.clip(SATURATED, 1)) / math.log(SATURATED)
    found[labels != IGNORED] = np.round(255 * loss)
    return found


def mine_masks(
    dataset: SegmentationDataset,
    predictions: Iterable[tuple[int, np.ndarray]],
    out: Path | str,
    source: str,
    origin: tuple[str, str] = ("", ""),
) -> None:
    """Writes the mined folder, whole or not at all.

    Args: predictions: place of an image in the data set and probabilities (C, H, W) of its classes, of each image once,
        in any order; of no more than one at a time anything is kept.  source: what the predictions are of.
        origin: the path of the data set and its split, as a command line names them.
    Raises: DataError: as `pixel_suspicion`, naming the image; an image without a prediction, or with two.  RunError:
        `out` exists and is not empty, or cannot be written.
    """
    with new_folder(Path(out)) as folder:
        for name in MASK_PICTURES:
            (folder / name).mkdir()
        mined = _Mined(dataset, folder)
        for place, probabilities in predictions:
            mined.add(place, np.asarray(probabilities))
        mined.write(source, origin)


class _Mined:
    """What is known of the images that were looked at so far."""

    def __init__(self, dataset: SegmentationDataset, folder: Path):
        self.dataset, self.folder = dataset, folder
        self.rows: dict[int, _Row] = {}
        self.regions: dict[int, pl.DataFrame] = {}
        self.judge = MaskJudge(dataset.classes, boundaries=False)

    def add(self, place: int, probabilities: np.ndarray) -> None:
        record, labels = self.dataset.records[place], self.dataset.mask(place)
        name = self.dataset.file_names[place] or f"image id {record.image_id}"
        if place in self.rows:
            raise DataError(f"{self.dataset.name}, {name}: two predictions; expected one of each image")
        try:
            columns, numbers = numbered_regions(labels, probabilities)
        except DataError as error:
            raise DataError(f"{self.dataset.name}, {name}: {error}") from error
        predicted = probabilities.argmax(axis=0).astype(np.uint8)
        self.judge.add(labels, predicted)
        picture = _picture_name(place, len(self.dataset), self.dataset.file_names[place])
        pictures = hardness_map(labels, probabilities), labels, predicted, numbers
        for kind, pixels in zip(MASK_PICTURES, pictures, strict=True):
            (self.folder / kind / picture).write_bytes(_png(pixels))
        self.rows[place] = _Row.of(picture, labels, probabilities)
        self.regions[place] = self._region_table(place, columns)

    def _region_table(self, place: int, columns: Mapping[str, np.ndarray]) -> pl.DataFrame:
        names = pl.Series(self.dataset.classes, dtype=pl.String)
        called = {"image_id": self.dataset.records[place].image_id, "file_name": self.dataset.file_names[place]}
        table = pl.DataFrame(dict(columns)).with_columns(
            **{column: names.gather(columns[column]) for column in ("label", "predicted")},
            **{name: pl.lit(value) for name, value in called.items()},
            number=pl.int_range(1, pl.len() + 1),
            is_suspect=pl.col("score") >= SUSPECT_SCORE,
        )
        return table.select(pl.col(name).cast(kind) for name, kind in REGION_SCHEMA.items())

    def write(self, source: str, origin: tuple[str, str]) -> None:
        """Tables and texts, once all images were looked at. Raises: DataError: some were not."""
        dataset = self.dataset
        if len(self.rows) < len(dataset):
            raise DataError(f"{dataset.name}: got predictions of {len(self.rows)} images; expected {len(dataset)}")
        judged = self.judge.result()
        images = self._image_table(judged)
        regions = pl.concat([self.regions[place] for place in range(len(dataset))])
        regions = regions.sort("score", descending=True, maintain_order=True)
        images.write_parquet(self.folder / "images.parquet")
        regions.write_parquet(self.folder / "regions.parquet")
        classes = self._class_table(judged, regions)
        classes.write_parquet(self.folder / "classes.parquet")
        weights = images.select("image_id", "file_name", "weight")
        weights.with_columns(pl.col(pl.String).str.replace(FORMULA, "'$1")).write_csv(self.folder / "image_weights.csv")
        self._write_texts(classes, regions, judged, source, origin)
        self._warn_of_unfound(classes)

    def _warn_of_unfound(self, classes: pl.DataFrame) -> None:
        """Says which classes the model hardly finds: that their regions are suspect says little of the labels."""
        unfound = classes.filter((pl.col("pixels") > 0) & (pl.col("iou") < HARDLY_FOUND))["class"].to_list()
        if unfound:
            logger.warning(
                "the predictions hardly find %s (IoU below %g): regions that are labelled so are suspect for that",
                escaped(", ".join(unfound)),
                HARDLY_FOUND,
            )

    def _image_table(self, judged: JudgedMasks) -> pl.DataFrame:
        order = list(self.rows)  # in which images were judged
        miou = dict(zip(order, map(_mean, judged.iou_by_image), strict=True))
        rows = []
        for place, record in enumerate(self.dataset.records):
            row, table = self.rows[place], self.regions[place]
            is_suspect = table["is_suspect"]
            hardest = None if row.hardest is None else self.dataset.classes[row.hardest]
            numbers = len(table), int(is_suspect.sum()), int(table.filter(is_suspect)["pixels"].sum())
            known = record.image_id, self.dataset.file_names[place], record.width, record.height, row.picture
            score = float(table["score"][0]) if len(table) else 0.0
            rows.append((*known, row.confidence, 1 - row.confidence, miou[place], hardest, *numbers, score))
        images = pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")
        return images.with_columns(image_weight(math.fsum(images["hardness"])))

    def _class_table(self, judged: JudgedMasks, regions: pl.DataFrame) -> pl.DataFrame:
        sums = np.sum([self.rows[place].sums for place in sorted(self.rows)], axis=0)
        overlap = judged.pixels.on(np.ones((1, judged.num_images), dtype=np.int64))
        suspects = regions.filter("is_suspect")["label"].to_list()
        return pl.DataFrame(
            {
                "class": self.dataset.classes,
                "pixels": sums[0].astype(np.int64),
                "self_confidence": [_share(part, whole) for whole, part in sums.T],
                "iou": [None if math.isnan(iou) else float(iou) for iou in overlap.iou[0]],
                "suspects": [suspects.count(name) for name in self.dataset.classes],
            },
            schema={"class": pl.String, "pixels": pl.Int64, "self_confidence": pl.Float64, "iou": pl.Float64,
                    "suspects": pl.Int64},
        )  # fmt: skip

    def _write_texts(
        self, classes: pl.DataFrame, regions: pl.DataFrame, judged: JudgedMasks, source: str, origin: tuple[str, str]
    ) -> None:
        dataset = self.dataset
        miou = float(judged.measures(np.ones((1, judged.num_images), dtype=np.int64), ["miou"])["miou"][0])
        text = README.format(
            num_images=len(dataset), name=escaped(dataset.name), split=escaped(dataset.split),
            classes=f"{len(classes)} classes ({escaped(', '.join(dataset.classes[:8]))}"
            f"{', ...' if len(classes) > 8 else ''})",
            source=escaped(source), miou=f"{miou:.3f}", num_regions=len(regions), suspect=f"{SUSPECT_SCORE:g}",
            num_suspects=int(regions["is_suspect"].sum()),
            folder=escaped(str(dataset.folder or "none: they are generated")),
        )  # fmt: skip
        (self.folder / "README.md").write_text(text, encoding="utf-8")
        facts = {
            "format": 1,
            "task": SEGMENTATION,
            "hardmine": version_of("hardmine"),
            "data": origin[0] or dataset.name,
            "split": origin[1] or dataset.split,
            "images": None if dataset.folder is None else str(dataset.folder),
            "classes": list(dataset.classes),
            "predictions": source,
            "miou": None if math.isnan(miou) else miou,
        }
        write_json(self.folder / "mined.json", facts)


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of an image. sums: (2, C) pixels labelled with each class, and the sum of their p[label]."""

    picture: str
    confidence: float
    hardest: int | None
    sums: np.ndarray

    @classmethod
    def of(cls, picture: str, labels: np.ndarray, probabilities: np.ndarray) -> "_Row":
        num = len(probabilities)
        known = labels[labels != IGNORED].astype(np.int64)
        confidence = self_confidence(labels, probabilities).astype(np.float64)
        sums = np.stack([np.bincount(known, minlength=num), np.bincount(known, confidence, minlength=num)])
        by_class = np.divide(sums[1], sums[0], out=np.full(num, np.inf), where=sums[0] > 0)
        hardest = int(by_class.argmin()) if len(known) else None
        return cls(picture, float(confidence.mean()) if len(known) else 1.0, hardest, sums)


def _picture_name(place: int, num_images: int, file_name: str) -> str:
    """Its number, from 1 on, and what of its name is safe: of no two images the same, and never a path."""
    number = f"{place + 1:0{len(str(num_images))}d}"
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", file_name.rpartition(".")[0] or file_name)[-LONGEST_NAME:].strip("_")
    return f"{number}_{safe}.png" if safe else f"{number}.png"


def _png(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def _mean(iou: np.ndarray) -> float | None:
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if len(known) else None


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
