"""Which format a path holds, and the door to all of them: `open_dataset`.

A file says its format by its suffix: `.json` COCO, `.yaml` or `.data` YOLO, `.xml` VOC. A folder is searched in the
order below; the first that fits wins, because each is rarer by accident than the next. To read another form that lies
in the same folder, give one of its files, or the folder that only it uses (`bccd/BCCD` for the VOC tree beside
`bccd/coco_train.json`).

    1. data.yaml                                     YOLO: a file made to declare the data set
    2. *.json, annotations/*.json, */*.json          COCO, recognised by its three lists
    3. Annotations/*.xml here or one below, *.xml    Pascal VOC
    4. another yaml with names, *.data,              YOLO
       images/ beside labels/, labels beside images
    5. other folders of xml files                    Pascal VOC
    6. images                                        only where they are to be predicted, and the classes are known
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hardmine.data.coco import find_coco
from hardmine.data.entries import Id, Reading, Source, build_dataset
from hardmine.data.image_folder import find_images
from hardmine.data.paths import IMAGE_SUFFIXES
from hardmine.data.records import DetectionDataset
from hardmine.data.scenes import SCENE_CLASSES, SCENE_SPLITS, SCENES, open_scenes
from hardmine.data.splits import choose_split
from hardmine.data.telling import say_once
from hardmine.data.voc import find_voc, find_voc_folders
from hardmine.data.yolo import find_yolo, find_yolo_folders
from hardmine.errors import DataError
from hardmine.launch import is_first

__all__ = ["available_splits", "find_source", "open_dataset"]


def open_dataset(
    data: str | Path,
    split: str | None = None,
    *,
    classes: Sequence[str] | Mapping[Id, str] | None = None,
    images: Path | None = None,
    need_pictures: bool = True,
    allow_unlabelled: bool = False,
    image_field: str | None = None,
) -> DetectionDataset:
    """Opens "scenes" or the data set at a path, whatever its format; no image is decoded.

    What had to be left out or corrected is in `problems`, and one line of the log says so.

    Args: split: may be left out where there is only one, or where the path names it.
        classes: the order of the labels, by name, as a trained detector has it; objects of other classes are left out.
            As a mapping also their category ids, which images without labels then have.
        images: the folder of the images, for annotations that do not lie beside them.
        need_pictures: False: images whose size the annotations state are not opened, and need not be there.
        allow_unlabelled: a split without any label is meant to be all background; with `classes`, so is a folder of
            images alone.
        image_field: a field of COCO's image entries to keep in `ImageRecord.fields`, such as video_id.
    Raises: DataError: nothing usable there, no such split, or none of the classes; the message says what there is.
    """
    by_id = classes if isinstance(classes, Mapping) else _numbered(classes or ())
    names = None if classes is None else tuple(by_id.values())
    if data == SCENES:
        return _open_scenes(choose_split(split, None, SCENE_SPLITS, SCENES), names)
    reading = Reading(images, need_pictures, allow_unlabelled, image_field)
    source = find_source(data, images, by_id if allow_unlabelled and classes is not None else None)
    chosen = choose_split(split, source.default_split, source.splits, str(data))
    dataset = build_dataset(source, chosen, names, reading)
    _tell_problems(dataset, data)
    return dataset


def _tell_problems(dataset: DetectionDataset, data: str | Path) -> None:
    errors = [problem for problem in dataset.problems if problem.severity == "error"]
    num, first = len(dataset.problems), next(iter([*errors, *dataset.problems]), None)
    counts = {"left out or cannot be trusted": len(errors), "corrected": num - len(errors)}
    told = " and ".join(
        f"{count} {'record was' if count == 1 else 'records were'} {what}" for what, count in counts.items() if count
    )
    if first is not None and is_first():
        say_once(
            f"{dataset.name}, split {dataset.split!r}: {told}; the first is: {first}; "
            f"`hardmine check {data}` lists them all"
        )


def _numbered(classes: Sequence[str]) -> dict[Id, str]:
    return dict(enumerate(classes, start=1))


def _open_scenes(split: str, classes: Sequence[str] | None) -> DetectionDataset:
    if classes is not None and tuple(classes) != SCENE_CLASSES:
        raise DataError(f"the scenes' classes are {', '.join(SCENE_CLASSES)}, asked for were {', '.join(classes)}")
    return open_scenes(split)


def available_splits(data: str | Path) -> tuple[str, ...]:
    """The names of the splits: train, val, test first, then the others.

    Raises: DataError: no data set there.
    """
    return SCENE_SPLITS if data == SCENES else find_source(data).splits


def find_source(data: str | Path, images: Path | None = None, unlabelled_as: Mapping[Id, str] | None = None) -> Source:
    """The data set at a path, recognised but not read. unlabelled_as: classes, by id, of images that have no labels.

    Raises: DataError: there is none of a known format, or one that has its own place for images although one was given.
    """
    path = Path(data)
    source = _source_of_file(path) if path.is_file() else _source_of_folder(path, unlabelled_as)
    if images is not None and not source.takes_images:
        raise DataError(f"{path} is {source.format}, whose images lie beside it; leave out the folder of images")
    return source


def _source_of_folder(path: Path, unlabelled_as: Mapping[Id, str] | None) -> Source:
    if not path.is_dir():
        raise DataError(f"there is no file or folder '{path}'; give the path of a data set, or {SCENES!r}")
    for find in (find_yolo, find_coco, find_voc, find_yolo_folders, find_voc_folders):
        source = find(path)
        if source is not None:
            return source
    images = None if unlabelled_as is None else find_images(path, unlabelled_as)
    if images is None:
        raise DataError(
            f"{path} holds no data set of a known format; expected a data.yaml (YOLO), COCO json files, "
            "Annotations/*.xml (Pascal VOC), or images/ beside labels/ (YOLO); found " + _listing(path)
        )
    return images


def _listing(path: Path) -> str:
    """How many files of which kind are in a folder and below it, the most frequent first."""
    names = (name for _, _, files in os.walk(path) for name in files)
    counts = Counter(Path(name).suffix.lower() or "nameless" for name in names)
    kinds = [f"{count} {suffix}" for suffix, count in counts.most_common(5)]
    hint = "; images without labels can be predicted only" if not counts.keys() - IMAGE_SUFFIXES else ""
    return f"{', '.join(kinds)} files{hint}" if kinds else "no file"


def _source_of_file(path: Path) -> Source:
    finders = {".json": find_coco, ".yaml": find_yolo, ".yml": find_yolo, ".data": find_yolo, ".xml": find_voc}
    finder = finders.get(path.suffix.lower())
    source = finder(path) if finder else None
    if source is None:
        raise DataError(
            f"{path} is not a data set; expected a .json (COCO), .yaml (YOLO), .xml (Pascal VOC) or a folder"
        )
    return source
