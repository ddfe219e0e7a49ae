"""YOLO: one text file per image in `labels/`, a line per object: class, centre x, centre y, width, height as fractions.

`data.yaml` says where the splits' images are and how classes are called. Read too: any other yaml with `names`,
darknet's and CVAT's `obj.data` with its lists, folders `images/` and `labels/` alone, and label files beside their
images; with names from `classes.txt`, `*.names` or `notes.json`, or else numbers. The labels of
`images/train/cam1/a.jpg` are in `labels/train/cam1/a.txt`. An image without a label file, or with an empty one, is a
background image, and valid; but not a split of nothing else, unless that is asked for.

Convention: class ids are the file's own, usually from 0. Folders are read with all that is in them. Unlike in
ultralytics, they must be in the folder of `data.yaml`: a downloaded file cannot make us read elsewhere.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from hardmine.data.entries import Id, ImageEntry, Reading, SplitEntries
from hardmine.data.paths import IMAGE_SUFFIXES, files_below, images_below, is_file
from hardmine.data.problems import ProblemLog
from hardmine.data.splits import SPLIT_WORD, canonical_split, order_splits
from hardmine.data.yolo_config import YoloConfig, names_in_folders, read_darknet, read_yolo_yaml
from hardmine.data.yolo_labels import LabelLine, Layout, add_objects, choose_layouts, has_labels, label_lines
from hardmine.data.yolo_places import LabelFiles, YoloPlaces
from hardmine.errors import DataError

__all__ = ["YoloSource", "find_yolo", "find_yolo_folders"]

_MOST_CLASSES = 100_000
_NAMES = ("classes.txt",)
"""Texts in a folder of labels that are none."""


def find_yolo(path: Path) -> "YoloSource | None":
    """The data set of a yaml or darknet file, or of a folder with a `data.yaml`; None if there is none.

    Raises: DataError: the file cannot be read, or there are no images where it says, or it says nothing.
    """
    file = path if path.is_file() else next((f for f in (path / "data.yaml", path / "data.yml") if f.is_file()), None)
    return None if file is None else _declared(path, file)


def find_yolo_folders(path: Path) -> "YoloSource | None":
    """The data set of a folder without `data.yaml`: of another file that declares it, or of its folders alone.

    Raises: DataError: as `find_yolo`, or several files may declare it.
    """
    files = [
        file for pattern in ("*.yaml", "*.yml", "*.data") for file in sorted(path.glob(pattern)) if _declares(file)
    ]
    if len(files) > 1:
        raise DataError(
            f"{path} holds several files that may declare it: {', '.join(map(str, files))}; give one of them"
        )
    if files:
        return _declared(path, files[0])
    places = _places_in(path)
    return YoloSource(path, YoloConfig(path, "", places, None, errors=_unsplit(path, places))) if places else None


def _declared(path: Path, file: Path) -> "YoloSource":
    config = read_darknet(file) if file.suffix == ".data" else read_yolo_yaml(file)
    if not config.places:  # as supervision writes it: names only
        places = _places_in(file.parent)
        config = replace(config, places=places, errors=_unsplit(file.parent, places))
    if not config.places:
        raise DataError(f"{file} names no split; expected train, val or test with a folder of images")
    return YoloSource(path, config)


def _declares(file: Path) -> bool:
    """Whether the file is one of a data set, and no other of its kind."""
    try:
        config = read_darknet(file) if file.suffix == ".data" else read_yolo_yaml(file)
    except DataError:
        return False
    return config.names is not None


def _places_in(path: Path) -> dict[str, list[str]]:
    """Images by split as folders show it, relative to the path; nothing if they have no labels."""
    images, beside = path / "images", [folder for folder in sorted(path.iterdir()) if (folder / "images").is_dir()]
    if images.is_dir() and _is_of_labels(path / "labels"):
        return _split_by_folder("images/", images) or {"all": ["images"]}
    if any(_is_of_labels(folder / "labels") for folder in beside):
        named = [folder for folder in beside if (folder / "labels").is_dir() or SPLIT_WORD.match(folder.name)]
        return {_split_of(folder.name): [f"{folder.name}/images"] for folder in named}
    for above, top in (("images/", images), ("", path)):
        if top.is_dir() and _has_labels_beside(top):
            return _split_by_folder(above, top) or {"all": [above or "."]}
    return {}


def _is_of_labels(folder: Path) -> bool:
    """Whether a folder is one of YOLO's labels: it may have none yet, but not xml files instead."""
    has_texts, has_xml = (next(files_below(folder, (suffix,)), None) is not None for suffix in (".txt", ".xml"))
    return folder.is_dir() and (has_texts or not has_xml)


def _split_by_folder(above: str, folder: Path) -> dict[str, list[str]]:
    """The folders in it, if some are called as splits are: then each is one."""
    folders = [f for f in sorted(folder.iterdir()) if f.is_dir() and next(images_below(f), None) is not None]
    is_split = any(SPLIT_WORD.match(f.name) for f in folders)
    places: defaultdict[str, list[str]] = defaultdict(list)
    for f in folders if is_split else ():
        places[_split_of(f.name)].append(f"{above}{f.name}")
    return places


def _unsplit(path: Path, places: Mapping[str, list[str]]) -> tuple[str, ...]:
    """What is to be said of images beside the folders of splits, and of those with a text beside them anywhere else."""
    inner = [path / text for texts in places.values() for text in texts]
    beside = {path / "images", *(folder.parent for folder in inner)} if places.keys() != {"all"} else ()
    free = (image for image in images_below(path) if not any(folder in image.parents for folder in inner))
    left = [image for image in free if image.parent in beside or is_file(image.with_suffix(".txt"))]
    return (f"left out: {len(left)} images in no split, the first is '{left[0]}'; move them",) if left else ()


def _split_of(folder_name: str) -> str:
    word = SPLIT_WORD.match(folder_name)
    return folder_name if word is None else canonical_split(word[0])


def _has_labels_beside(path: Path) -> bool:
    texts = (image.with_suffix(".txt") for image in images_below(path))
    return any(is_file(text) and has_labels(text) for text in texts)


class YoloSource:
    """The images of each split, their label files, and the names of the classes by id."""

    format = "YOLO"
    takes_images = False
    default_split = None

    def __init__(self, path: Path, config: YoloConfig):
        self.path, self._config = path, config
        self._places, self._files, self._labels = YoloPlaces(config), LabelFiles(config.folder), _Labels()
        self.splits = order_splits(config.places)

    def read(self, split: str, reading: Reading) -> SplitEntries:
        """Every image of the split by name, with ids from 1, and the objects of its label file."""
        report = ProblemLog(self._config.file)
        for warning in self._config.warnings:
            report.warning("", warning)
        for error in self._config.errors:
            report.error("", error)
        places = self._places.find(split, report)
        images = self._images(split, places, report)
        labels = {image: self._files.of(image) for image in images}
        if images and not any(map(is_file, labels.values())) and not reading.allow_unlabelled:
            self._report_unlabelled(split, images, report)
            images = []
        else:
            _report_guesses(labels, self._files, report)
            self._report_without_image(split, labels.values(), report)
        layouts = self._layouts([labels[image] for image in images], report)
        entries = [self._entry(number, image, labels[image], layouts, report) for number, image in enumerate(images, 1)]
        return SplitEntries(self._names(report), [entry for entry in entries if entry is not None], report.problems)

    def _images(self, split: str, places: Sequence[Path], report: ProblemLog) -> list[Path]:
        """Of a folder in which another split has its own, that one's images are left to it."""
        found = {file for place in places for file in self._places.images(place, report)}
        for inner in self._inner(split, places):
            left = {file for file in found if inner in file.parents}
            found -= left
            if left:
                report.warning(
                    "", f"{len(left)} images in '{inner}' are not of split {split!r}: another names that folder"
                )
        return sorted(found)

    def _inner(self, split: str, places: Sequence[Path]) -> list[Path]:
        """Folders of other splits below those of this one."""
        others = [folder for folder in self._others(split) if folder not in places]
        return [folder for folder in others if any(place in folder.parents for place in places)]

    def _others(self, split: str) -> list[Path]:
        return [folder for other in self.splits if other != split for folder in self._places.folders(other)]

    def _entry(
        self, number: int, image: Path, file: Path, layouts: Mapping[int, Layout], report: ProblemLog
    ) -> ImageEntry | None:
        report = report.within(file)
        entry = ImageEntry(number, image, file, "", is_normalized=True, is_numbered=True)
        try:
            add_objects(self._labels.lines(file), layouts, entry, report)
        except DataError as error:
            report.error("", f"the image is left out: its labels cannot be read ({error}); repair them")
            return None
        return entry

    def _layouts(self, files: Sequence[Path], report: ProblemLog) -> dict[int, Layout]:
        """What lines are; where that is to be guessed, all splits are looked at, so that it is the same in each."""
        own = list(self._labels.lines_of(files))
        layouts = choose_layouts(own, self._config.keypoints)
        if any(line.numbers and (line.num_fields not in layouts or layouts[line.num_fields].said) for line in own):
            layouts = choose_layouts(self._all_lines, self._config.keypoints)
        for fields, layout in layouts.items():
            num = sum(line.num_fields == fields and bool(line.numbers) for line in own)
            if num and layout.said and not layout.is_place_only:
                report.warning("", f"{num} lines of labels have {fields} fields: {layout.said}")
        return layouts

    @cached_property
    def _all_lines(self) -> list[LabelLine]:
        unheard = ProblemLog(self._config.file)
        places = {place for split in self.splits for place in self._places.find(split, unheard)}
        images = {image for place in places for image in self._places.images(place, unheard)}
        return list(self._labels.lines_of(sorted({self._files.of(image) for image in images})))

    def _names(self, report: ProblemLog) -> dict[Id, str]:
        if self._config.names is not None:
            return {**self._config.names}
        folders = [folder for split in self.splits for folder in self._places.folders(split)]
        above = (self._config.folder, self._config.folder / "images", self._config.folder / "labels")
        found = names_in_folders(dict.fromkeys((*above, *folders, *map(self._files.folder_of, folders))))
        if found is not None:
            for warning in found[1]:
                report.warning("", warning)
            return {**found[0]}
        numbers = {line.category for line in self._all_lines if line.category is not None}
        most = max((number for number in numbers if 0 <= number < _MOST_CLASSES), default=0)
        return {number: str(number) for number in range(most + 1)}

    def _report_without_image(self, split: str, used: Iterable[Path], report: ProblemLog) -> None:
        """Label files in the split's folders of labels that belong to none of its images."""
        used, folders = set(used), self._places.folders(split)
        others = [self._files.folder_of(folder) for folder in self._inner(split, folders)]
        for folder in folders:
            labels = self._files.folder_of(folder)
            for file in files_below(labels, (".txt",)):
                is_other = file in used or file.name in _NAMES or any(other in file.parents for other in others)
                if not is_other and (labels != folder or has_labels(file)):
                    expected = folder / file.relative_to(labels).with_suffix("")
                    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
                    report.within(file).error(
                        "", f"left out: its image is missing, expected {expected} with {suffixes}"
                    )

    def _report_unlabelled(self, split: str, images: Sequence[Path], report: ProblemLog) -> None:
        elsewhere = self._files.elsewhere(images, [self._files.folder_of(folder) for folder in self._others(split)])
        found = "" if elsewhere is None else f"; label files of these names are in {elsewhere}: move them there"
        report.error(
            "",
            f"split {split!r}: none of its {len(images)} images has a label file, so all would be background; looked "
            f"in {self._files.folder_of(images[0].parent)} and beside the images{found}; add labels, or say that there "
            "are none (--allow-unlabelled)",
        )


class _Labels:
    """The lines of label files, each file read once."""

    def __init__(self) -> None:
        self._read: dict[Path, list[LabelLine]] = {}

    def lines(self, file: Path) -> list[LabelLine]:
        """Of a file, none if there is no such file. Raises: DataError: it cannot be read."""
        if file not in self._read:
            self._read[file] = label_lines(file) if os.path.lexists(file) else []
        return self._read[file]

    def lines_of(self, files: Iterable[Path]) -> Iterator[LabelLine]:
        """Of all files that can be read."""
        for file in files:
            with suppress(DataError):
                yield from self.lines(file)


def _report_guesses(labels: Mapping[Path, Path], files: LabelFiles, report: ProblemLog) -> None:
    """What a reader of folders would not expect. labels: the label file of each image."""
    _report_beside(labels, files, report)
    _report_folders_without_labels(labels, files, report)
    images: defaultdict[Path, list[str]] = defaultdict(list)
    for image, file in labels.items():
        images[file].append(image.name)
    for file in (file for file, names in images.items() if len(names) > 1 and is_file(file)):
        report.within(file).warning(
            "", f"the labels of {len(images[file])} images, {', '.join(images[file])}; rename one"
        )


def _report_beside(labels: Mapping[Path, Path], files: LabelFiles, report: ProblemLog) -> None:
    beside = [file for image, file in labels.items() if image.parent == file.parent != files.folder_of(image.parent)]
    if beside:
        report.within(beside[0]).warning(
            "",
            f"this and {len(beside) - 1} other label files are taken from beside their images; "
            f"expected in {files.folder_of(beside[0].parent)}",
        )


def _report_folders_without_labels(labels: Mapping[Path, Path], files: LabelFiles, report: ProblemLog) -> None:
    """Folders of images that have no folder of labels, where others have."""
    labelled = {image.parent for image, file in labels.items() if is_file(file)}
    others = dict.fromkeys(image.parent for image in labels if image.parent not in labelled)
    missing = [folder for folder in others if not files.folder_of(folder).is_dir()]
    if missing and labelled:
        report.within(missing[0]).warning(
            "",
            f"no image in this folder has a label file, nor in {len(missing) - 1} others: taken as background; "
            f"there is no {files.folder_of(missing[0])}",
        )
