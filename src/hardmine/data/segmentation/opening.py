"""Which form a segmentation data set has, and the door to all of them: `open_segmentation`.

A .json file is COCO's. In a folder masks come first, in the layouts of `folders.py`; a COCO file beside them then only
says which image is in which split. Without masks it is painted from.
"""

from pathlib import Path

from hardmine.data.problems import ProblemLog
from hardmine.data.scenes import SCENE_SPLITS, SCENES
from hardmine.data.segmentation.classes import CLASS_SUFFIXES, Wanted, read_class_list
from hardmine.data.segmentation.coco import find_coco_masks
from hardmine.data.segmentation.folders import find_mask_folders
from hardmine.data.segmentation.records import SegmentationDataset
from hardmine.data.segmentation.scenes import SEGMENTATION_CLASSES, open_segmentation_scenes
from hardmine.data.segmentation.sources import Asked, SegmentationSource
from hardmine.data.splits import choose_split
from hardmine.data.telling import say_once
from hardmine.errors import DataError
from hardmine.launch import is_first

__all__ = ["find_segmentation", "open_segmentation", "read_segmentation"]

_Given = Wanted | Path | str | None


def open_segmentation(
    data: str | Path,
    split: str | None = None,
    *,
    classes: _Given = None,
    images: Path | None = None,
    instances: bool = False,
) -> SegmentationDataset:
    """Opens "scenes" or the data set at a path; only headers are read, and one mask at most.

    What had to be left out is in `problems`, and one line of the log says so.

    Args: split: may be left out where there is only one, or where the path names it.
        classes: names in the order of the values of pixels, or a mapping from value, or from colour (r, g, b), to name,
            where `ignored` is no class; a file of such; or names with commas between. Where it is left out, the data
            set itself has to say. Of COCO files, the names of the categories to be used, in order.
        images: the folder of the images, where they do not lie where layouts have them.
        instances: masks number the objects, from 1 on: all are of the second of two classes, and 0 is the first.
    Raises: DataError: nothing usable there, no such split, nothing that says the classes, or masks in unknown colours.
    """
    if data == SCENES:
        chosen = choose_split(split, None, SCENE_SPLITS, SCENES)
        asked = _read_classes(classes)
        if asked is not None and tuple(asked) != SEGMENTATION_CLASSES:
            raise DataError(f"the scenes' classes are {', '.join(SEGMENTATION_CLASSES)}, asked for were {classes}")
        return open_segmentation_scenes(chosen)
    source = find_segmentation(data, classes=classes, images=images, instances=instances)
    dataset = read_segmentation(source, choose_split(split, source.default_split, source.splits, str(data)))
    _tell_problems(dataset, data)
    return dataset


def read_segmentation(source: SegmentationSource, split: str) -> SegmentationDataset:
    """One split of a data set that was found. Raises: DataError: as `open_segmentation`."""
    report = ProblemLog(source.path)
    records = source.read(split, report)
    name = source.path.stem if source.path.is_file() else source.path.resolve().name
    return SegmentationDataset(name, split, source.classes, records, report.problems)


def find_segmentation(
    data: str | Path, *, classes: _Given = None, images: Path | None = None, instances: bool = False
) -> SegmentationSource:
    """The data set at a path, recognised but not read; arguments as of `open_segmentation`.

    Raises: DataError: there is none of a known form.
    """
    path, asked = Path(data), Asked(_read_classes(classes), images, instances)
    if path.is_file() and path.suffix.lower() == ".json":
        return _found(find_coco_masks(path, asked), path)
    if not path.is_dir():
        raise DataError(f"there is no folder or .json file '{path}'; give the path of a data set, or {SCENES!r}")
    return _found(find_mask_folders(path, asked) or find_coco_masks(path, asked), path)


def _found(source: SegmentationSource | None, path: Path) -> SegmentationSource:
    if source is None:
        raise DataError(
            f"{path} holds no masks in a known layout; expected images/ beside masks/, JPEGImages/ beside "
            "SegmentationClass/ (Pascal VOC), stuffthingmaps/, a.jpg beside a_mask.png, or COCO json files with shapes"
        )
    return source


def _read_classes(given: _Given) -> Wanted | None:
    if isinstance(given, Path):
        return read_class_list(given)
    if isinstance(given, str):
        is_a_file = Path(given).is_file() or Path(given).suffix.lower() in CLASS_SUFFIXES
        return read_class_list(Path(given)) if is_a_file else [part.strip() for part in given.split(",")]
    return given


def _tell_problems(dataset: SegmentationDataset, data: str | Path) -> None:
    num, first = len(dataset.problems), next(iter(dataset.problems), None)
    if first is not None and is_first():
        say_once(
            f"{dataset.name}, split {dataset.split!r}: "
            f"{num} {'record has a problem' if num == 1 else 'records have problems'}; the first is: {first}; "
            f"`hardmine check {data} --task segmentation` lists them all"
        )
