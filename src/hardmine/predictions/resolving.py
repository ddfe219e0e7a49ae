"""From what a tool wrote to the data set's own images and classes, and boxes as corners in pixels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hardmine.data import DetectionDataset
from hardmine.data.identity import as_key
from hardmine.errors import ConfigError, DataError
from hardmine.predictions.found import Found, to_corners
from hardmine.predictions.reading import read_found
from hardmine.predictions.sanity import OFFSETS, Sample, check_boxes, check_classes, check_images, surest_on_labels
from hardmine.tables.columns import SIDES

__all__ = ["ClassNames", "Confirmed", "as_coco_results", "read_results", "resolve", "written_results", "written_table"]

IMAGE, CATEGORY = ("image_id", "file_name"), ("category_id", "category")
"""What the image and the class of a prediction are called by."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the user says of the predictions, which is then not questioned.

    box_format: one of `BOX_FORMATS`.  category_offset: added to each category id.  None: as the form says.
    """

    box_format: str | None = None
    category_offset: int | None = None


def resolve(found: Found, dataset: DetectionDataset, confirmed: Confirmed | None = None) -> pl.DataFrame:
    """Predictions of a data set: prediction (number, from 0), image_id, category_id, category, x1, y1, x2, y2, score.

    Raises: DataError: an image or class that the data set does not have, or that may be several; predictions that fit
        its labels far better in another box format or with other class ids. The message names the record.
        ConfigError: no such box format, or an offset for ids that are no numbers.
    """
    confirmed = confirmed or Confirmed()
    called, classes = _Called.by(found, IMAGE), _Called.by(found, CATEGORY)
    images = called.spread(dataset.image_names.find(called.names, called.where))
    sizes = np.array([(record.width, record.height) for record in dataset.records], dtype=float)[images]
    box_format, offset = confirmed.box_format or found.box_format, confirmed.category_offset
    sample = surest_on_labels(dataset, images, found.rows["score"].to_numpy())
    if confirmed.box_format is None:
        check_images(sample, _other_samples(found, called, dataset), found.boxes(), box_format, found.source)
        check_boxes(sample, found.boxes()[sample.prediction], box_format, found.source)
    corners = to_corners(found.boxes(), box_format, sizes)
    if offset is None:
        in_sample = corners[sample.prediction]
        check_classes(sample, in_sample, lambda moved: _labels(classes, dataset, moved)[0], found.source)
    labels, misnamed = _labels(classes, dataset, offset or 0)
    if misnamed is not None:
        raise type(misnamed)(f"{misnamed}{_would_fit(classes, dataset) if offset is None else ''}")
    ids, category_ids = (np.array(own, dtype=np.int64) for own in (_image_ids(dataset), dataset.category_ids))
    return pl.DataFrame(
        {
            "prediction": np.arange(len(images)),
            "image_id": ids[images],
            "category_id": category_ids[labels],
            "category": np.array(dataset.classes)[labels],
            **dict(zip(SIDES, corners.T, strict=True)),
            "score": found.rows["score"],
        }
    )


def as_coco_results(table: pl.DataFrame) -> list[dict]:
    """The predictions of `resolve` as COCO results, whose ids are those of `DetectionDataset.coco_ground_truth`."""
    sizes = [(pl.col(f"{axis}2") - pl.col(f"{axis}1")) for axis in "xy"]
    box = pl.concat_list("x1", "y1", *sizes).alias("bbox")
    return table.select("image_id", "category_id", box, "score").to_dicts()


def written_results(dataset: DetectionDataset, results: Iterable[dict]) -> list[dict]:
    """COCO results as they are written for others: with the data set's own ids, and file names where it has none."""
    named = {record.image_id: dataset.called(place) for place, record in enumerate(dataset.records)}
    category = dict(zip(dataset.category_ids, dataset.own_category_ids, strict=True))
    return [
        {**named[result["image_id"]], "category_id": category[result["category_id"]]}
        | {name: result[name] for name in ("bbox", "score")}
        for result in results
    ]


def written_table(dataset: DetectionDataset, table: pl.DataFrame) -> pl.DataFrame:
    """Predictions in a table as they are written for others, as `written_results`; ids that are no numbers as text."""
    called = [dataset.called(place) for place in range(len(dataset))]
    images = pl.DataFrame({"image_id": _image_ids(dataset), "own_image": _ids([name["image_id"] for name in called])})
    if any("file_name" in name for name in called):
        images = images.with_columns(file_name=pl.Series([name.get("file_name") for name in called]))
    classes = pl.DataFrame({"category_id": dataset.category_ids, "own_class": _ids(dataset.own_category_ids)})
    joined = table.join(images, on="image_id", how="left", maintain_order="left")
    joined = joined.join(classes, on="category_id", how="left", maintain_order="left")
    own = {"own_image": "image_id", "own_class": "category_id"}
    return joined.drop(own.values()).rename(own).select(*own.values(), pl.exclude(own.values()))


def _ids(values: Sequence[int | str]) -> pl.Series:
    are_numbers = all(isinstance(value, int) and abs(value) < 2**63 for value in values)
    return pl.Series(values if are_numbers else list(map(str, values)), dtype=pl.Int64 if are_numbers else pl.String)


def read_results(path: Path, dataset: DetectionDataset) -> list[dict]:
    """What `written_results` gave, from its file, with the ids of `DetectionDataset.coco_ground_truth`.

    Raises: DataError: the file cannot be read, or does not fit the data set.
    """
    return as_coco_results(resolve(read_found(path), dataset, Confirmed("xywh", 0)))


def _image_ids(dataset: DetectionDataset) -> list[int]:
    return [record.image_id for record in dataset.records]


@dataclass(frozen=True, slots=True)
class _Called:
    """How the images or the classes of predictions are called. names: of each once.  rows: where it is the first time.

    group: (P,) which of them each prediction has.
    """

    names: list[tuple[str | None, str | None]]
    rows: list[int]
    group: np.ndarray
    found: Found

    @classmethod
    def by(cls, found: Found, keys: tuple[str, str]) -> "_Called":
        called = found.rows.select(keys)
        first = called.with_row_index("row").unique(keys, keep="first", maintain_order=True).with_row_index("group")
        joined = called.join(first, on=keys, how="left", nulls_equal=True, maintain_order="left")
        return cls(list(first.select(keys).iter_rows()), first["row"].to_list(), joined["group"].to_numpy(), found)

    def where(self, place: int) -> str:
        """Where the name at a place is the first time."""
        return self.found.where(self.rows[place])

    def spread(self, values: Sequence[int]) -> np.ndarray:
        """(P,) for each prediction the value that its name has; values: one for each name."""
        return np.array(values, dtype=np.int64)[self.group]


def _other_samples(found: Found, called: _Called, dataset: DetectionDataset) -> Iterator[tuple[str, Sample]]:
    """The surest predictions, if the ids of images meant something else; and what."""
    names = dataset.image_names if dataset.folder is not None else None
    for words, places in names.other_readings(called.names) if names else ():
        yield words, surest_on_labels(dataset, called.spread(places), found.rows["score"].to_numpy())


def _labels(
    called: _Called, dataset: DetectionDataset, offset: int
) -> tuple[np.ndarray, DataError | ConfigError | None]:
    """(P,) labels 0..C-1, -1 where a class is unknown; and then the error that says so of the first."""
    classes, labels, error = ClassNames(dataset), [], None
    for place, (key, name) in enumerate(called.names):
        try:
            labels.append(classes.find(key, name, offset))
        except (DataError, ConfigError) as fault:
            error = error or type(fault)(f"{called.where(place)}: {fault}")
            labels.append(-1)
    return called.spread(labels), error


def _would_fit(called: _Called, dataset: DetectionDataset) -> str:
    """A word on ids that are all known once they are moved by one: some tools count YOLO's classes from 1."""
    fits = next((moved for moved in OFFSETS if _labels(called, dataset, moved)[1] is None), None)
    return (
        "" if fits is None else f"; with {fits:+d} on each id all are: if that is meant, give --category-offset={fits}"
    )


class ClassNames:
    """Finds the classes of a data set by id or name."""

    def __init__(self, dataset: DetectionDataset):
        self._by_key: Mapping[str, int] = {
            key: label for label, own in enumerate(dataset.own_category_ids) if (key := as_key(own)) is not None
        }
        self._by_name = {name: label for label, name in enumerate(dataset.classes)}
        are_numbered = any(map(_is_number, self._by_key))  # then a number is an id, even if a class is called so
        self._by_name_as_id = {
            name: label for name, label in self._by_name.items() if not (are_numbered and _is_number(name))
        }

    def find(self, key: str | None, name: str | None, offset: int) -> int:
        """The label of a class, 0..C-1, that is called by id (as `as_key` writes it), name, or both.

        Raises: DataError: there is no such class, or id and name are those of two.
        """
        by_key = None if key is None else self._by_key.get(_moved(key, offset), self._by_name_as_id.get(key))
        by_name = None if name is None else self._by_name.get(name)
        if by_name is not None and by_key not in (None, by_name):
            raise DataError(f"category_id {key} and category {name!r} are two classes; correct one, or leave one out")
        label = by_key if by_name is None else by_name
        if label is None or (name is not None and by_name is None):
            called = f"category {name!r}" if name is not None else f"category_id {key}"
            raise DataError(f"{called} is not in the ground truth (it has {self._known(name is not None)})")
        return label

    def _known(self, by_name: bool) -> str:
        return f"{list(self._by_name if by_name else self._by_key)!s:.120}".replace("'", "")


def _is_number(key: str) -> bool:
    return key.isascii() and key.removeprefix("-").isdecimal()


def _moved(key: str, offset: int) -> str:
    if offset and not _is_number(key):
        raise ConfigError(f"category id {key!r} is no number to which {offset} could be added")
    return str(int(key) + offset) if offset else key
