"""Any data set that is read here, in a folder as frameworks want it: YOLO's for ultralytics, COCO's for RF-DETR.

    OUT/data.yaml, images/SPLIT/NAME, labels/SPLIT/NAME.txt                      yolo
    OUT/train/_annotations.coco.json, OUT/train/NAME, OUT/valid/..., OUT/test/... coco
    OUT/Annotations/NAME.xml, JPEGImages/NAME, ImageSets/Main/SPLIT.txt          voc, see `exporting_voc`

Images are linked, not copied, under the names they have below the folder of their split, by which a folder of
`hardmine mine` finds them again. Written anew, as PNG, is what has no file (the built-in scenes), what frameworks do
not open, what a camera left turned, which some of them turn and others do not, and tiles.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from hardmine.data.exporting_voc import PICTURES, write_annotation, write_names
from hardmine.data.images import read_header
from hardmine.data.opening import available_splits, open_dataset
from hardmine.data.paths import stem_of
from hardmine.data.records import DetectionDataset, ImageRecord
from hardmine.data.tiles import tiled
from hardmine.errors import ConfigError, RunError, check_name, what_failed
from hardmine.files.writing import is_taken, write_atomically, write_lists

__all__ = ["FORMS", "export", "splits_to_export"]

logger = logging.getLogger("hardmine")

FORMS = ("yolo", "coco", "voc")
COCO_FILE = "_annotations.coco.json"
COCO_FOLDERS = {"val": "valid"}
"""How RF-DETR calls a split, where it is not by its usual name."""
USUAL = ("train", "val", "test")
LINKED = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Images that every framework opens."""
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff<>:"|?*\\/]')
"""Control characters, halves of surrogate pairs, and what a name cannot hold on every system."""
UNSHOWN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
IMAGES, LABELS = "images", "labels"


def export(
    data: str | Path | Mapping[str, DetectionDataset],
    form: str,
    out: Path | str,
    *,
    split: str | None = None,
    images: Path | None = None,
    allow_unlabelled: bool = False,
    tile: int | None = None,
    overlap: int = 0,
) -> Path:
    """Writes a data set in another form and returns the file that a framework is given.

    Crowds, difficult objects and places that could not be read are no objects and no background. YOLO cannot say so:
    there they are left out, and a warning says how many. Of splits, "trainval" is left out where its two parts are
    there; a lone split with a name of its own becomes "train".

    Args: data: "scenes", the path of a data set, or data sets by the names of splits.  form: "yolo", "coco" or "voc".
        out: a new folder.  split: only this one.  images, allow_unlabelled: as `open_dataset`.
        tile, overlap: cut the images into tiles of so many pixels a side, see `tiled`.
    Raises: ConfigError: another form, or no such tiles.  DataError: the data cannot be used, or an image not decoded.
        RunError: the folder is not empty, or cannot be written.
    """
    check_name("form", form, FORMS)
    out = Path(out)
    if overlap and tile is None:
        raise ConfigError(f"an overlap of {overlap} pixels, but no tiles; give the side of the tiles (--tile)")
    if is_taken(out):
        raise RunError(f"{out} exists already; choose another folder")
    if isinstance(data, Mapping):
        datasets = {_safe(name): dataset for name, dataset in data.items()}
    else:
        datasets = splits_to_export(data, split, images, allow_unlabelled=allow_unlabelled)
    if tile is not None:
        datasets = {name: tiled(dataset, tile, overlap) for name, dataset in datasets.items()}
    try:
        return _WRITERS[form](out, datasets)
    except OSError as error:
        raise RunError(f"cannot write {out}: {what_failed(error)}") from error


def splits_to_export(
    data: str | Path, split: str | None = None, images: Path | None = None, *, allow_unlabelled: bool = False
) -> dict[str, DetectionDataset]:
    """The splits of a data set by the names they are written under, all with the classes of the first.

    Raises: DataError: as `open_dataset`.
    """
    names = available_splits(data) if split is None else (split,)
    if {"train", "val"} <= set(names):
        names = tuple(name for name in names if name != "trainval")
    opened: dict[str, DetectionDataset] = {}
    classes = None
    for name in names:
        dataset = open_dataset(data, name, classes=classes, images=images, allow_unlabelled=allow_unlabelled)
        classes = dataset.classes
        opened[_safe(dataset.split) if dataset.split in USUAL or len(names) > 1 else "train"] = dataset
    return opened


def _write_yolo(out: Path, datasets: Mapping[str, DetectionDataset]) -> Path:
    left_out = 0
    for split, dataset in datasets.items():
        places = _place_images(dataset, out / IMAGES / split, refused=IMAGES)
        for record, place in zip(dataset.records, places, strict=True):
            file = out / LABELS / split / place.with_suffix(".txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(_yolo_lines(record)))
            left_out += int(record.is_crowd.sum()) + len(record.regions)
    if left_out:
        logger.warning(
            "%d crowd, difficult or unreadable objects are left out: YOLO cannot say that something is neither object "
            "nor background, so a detector will be told that it is background",
            left_out,
        )
    _tell_missing(datasets)
    file = out / "data.yaml"
    write_atomically(file, "".join(_yaml_lines(datasets)).encode())
    return file


def _yolo_lines(record: ImageRecord) -> Iterator[str]:
    """Class, and centre, width and height as fractions of the image."""
    boxes = record.boxes[~record.is_crowd].astype(float)
    corner, other = boxes[:, :2], boxes[:, 2:]
    fractions = np.concatenate([(corner + other) / 2, other - corner], 1) / ([record.width, record.height] * 2)
    for label, values in zip(record.labels[~record.is_crowd], fractions, strict=True):
        yield f"{label} {' '.join(f'{value:.9f}' for value in values)}\n"


def _yaml_lines(datasets: Mapping[str, DetectionDataset]) -> Iterator[str]:
    """Paths are relative to the file, so the folder can be moved."""
    yield from (f"{_quoted(split)}: {_quoted(f'{IMAGES}/{split}')}\n" for split in datasets)
    yield "names:\n"
    classes = next(iter(datasets.values())).classes
    yield from (f"  {label}: {_quoted(name)}\n" for label, name in enumerate(classes))


def _quoted(text: str) -> str:
    """As JSON has it, which is YAML too, once what YAML cannot show is escaped."""
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _write_coco(out: Path, datasets: Mapping[str, DetectionDataset]) -> Path:
    _tell_missing(datasets)
    for split, dataset in datasets.items():
        folder = out / COCO_FOLDERS.get(split, split)
        places = _place_images(dataset, folder)
        truth: dict[str, list[dict[str, Any]]] = dataset.coco_ground_truth()
        for image, place in zip(truth["images"], places, strict=True):
            image["file_name"] = place.as_posix()
        write_lists(folder / COCO_FILE, truth)
    return out


def _write_voc(out: Path, datasets: Mapping[str, DetectionDataset]) -> Path:
    _tell_missing(datasets)
    taken = set[str]()  # images of all splits lie together
    for split, dataset in datasets.items():
        places = _place_images(dataset, out / PICTURES, taken=taken)
        for record, place in zip(dataset.records, places, strict=True):
            write_annotation(out, record, place, dataset)
        write_names(out, split, places)
    return out


def _tell_missing(datasets: Mapping[str, DetectionDataset]) -> None:
    if "val" not in datasets:
        logger.warning("there is no split val, which frameworks measure on")


def _place_images(
    dataset: DetectionDataset, folder: Path, refused: str = "", taken: set[str] | None = None
) -> list[PurePosixPath]:
    """Links or writes the images below a folder, beside those whose names are taken; returns what each is called."""
    placed, taken = [], set[str]() if taken is None else taken
    for index, (record, name) in enumerate(zip(dataset.records, dataset.file_names, strict=True)):
        is_linked = record.file is not None and _opens_everywhere(record.file)
        shown = name if is_linked else f"{stem_of(name) or record.image_id}.png"
        place = _apart(_safe_path(shown, refused), taken)
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if record.file is not None and is_linked:
            _link(record.file.resolve(), file)
        else:
            Image.fromarray(dataset.pixels(index)).save(file)
        placed.append(place)
    return placed


def _opens_everywhere(file: Path) -> bool:
    return file.suffix.lower() in LINKED and read_header(file).orientation == 1


def _link(file: Path, place: Path) -> None:
    """Links where the system can; copies where it cannot."""
    for link in (os.symlink, os.link):
        with suppress(OSError, NotImplementedError):
            return link(file, place)
    shutil.copyfile(file, place)
    return None


def _safe_path(name: str, refused: str) -> PurePosixPath:
    """The name below its folder, which is made of parts that are no more than names.

    refused: no folder may be called so: ultralytics looks for labels in the place of the last folder called "images".
    """
    *folders, file = map(_safe, name.split("/"))
    return PurePosixPath(*(f"{part}_" if part == refused else part for part in folders), file)


def _safe(part: str) -> str:
    r"""A name that every system can hold, and that no search for files passes over: ".a\n" is "_.a_"."""
    part = UNSAFE.sub("_", part)
    return f"_{part}" if part.startswith(".") or not part else part


def _apart(path: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """The path, or where another with the same stem is taken, one beside it: labels are found by the stem."""
    stem, number = stem_of(path.name), 1
    suffix, apart = path.name[len(stem) :], path
    while (key := str(apart.with_name(stem_of(apart.name))).casefold()) in taken:
        number += 1
        apart = path.with_name(f"{stem}-{number}{suffix}")
    taken.add(key)
    return apart


_WRITERS = {"yolo": _write_yolo, "coco": _write_coco, "voc": _write_voc}
