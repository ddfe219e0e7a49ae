"""Folders of images and of masks with the same names.

    1. SegmentationClass/ beside JPEGImages/      Pascal VOC; splits are the lists in ImageSets/Segmentation
    2. masks/, labels/, annotations/ and their    splits are folders in both (train, val; training; train2017), else
       like beside images/                        lists of names (ImageSets/, splits/, train.txt), else COCO files
    3. stuffthingmaps/                            COCO stuff; images lie in images/ or beside it
    4. train/, val/, test/ with one of 1 to 3     each is a split
    5. a.jpg beside a_mask.png                    Roboflow; as in 4, each folder is a split

A mask is that of the image whose path it has below its folder, without the suffix, or with `_mask`, `_label`, `_L` or
their like behind. The classes are those that were asked for, else in a file of classes (`classes.py`), else VOC's own.

Convention: COCO stuff's pixels are the numbers of its labels.txt less one, and 255 where that says 0, unlabeled.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hardmine.data.coco import find_coco
from hardmine.data.entries import Reading
from hardmine.data.images import read_header
from hardmine.data.paths import files_below, images_below, images_in, stem_of
from hardmine.data.problems import ProblemLog
from hardmine.data.segmentation.classes import Classes, Wanted, find_class_list
from hardmine.data.segmentation.records import SegmentationRecord
from hardmine.data.segmentation.sources import Asked, record_of_files
from hardmine.data.splits import SPLIT_WORD, canonical_split, order_splits
from hardmine.data.telling import say_once
from hardmine.errors import DataError
from hardmine.files.reading import read_text

__all__ = ["VOC_CLASSES", "MaskFolders", "find_mask_folders"]

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_MASK_SUFFIXES = frozenset({".bmp", ".png", ".ppm", ".tif", ".tiff"})
_VOC_FOLDERS = ("segmentationclass", "segmentationclasspng", "segmentationclassraw")
_STUFF_FOLDER = "stuffthingmaps"
_MASK_FOLDERS = (*_VOC_FOLDERS, _STUFF_FOLDER, "masks", "mask", "labels", "label", "annotations", "segmentations", "gt")
_IMAGE_FOLDERS = ("jpegimages", "images", "image", "imgs", "img", "data")
_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_seg", "_gt", "_L")
_LISTS = ("ImageSets/Segmentation", "ImageSets", "splits", "")


@dataclass(frozen=True, slots=True)
class _Pairing:
    """Images and masks by name: paths below their folders without the suffix, masks by the name of their image."""

    images: Mapping[str, Path]
    masks: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class _Folders:
    """Where images and masks lie; both are one folder where a mask lies beside its image."""

    images: Path
    masks: Path

    def pair(self) -> _Pairing:
        beside = self.images == self.masks
        of_masks = [file for file in files_below(self.masks, _MASK_SUFFIXES) if not beside or _ending(file.stem)]
        taken = set(of_masks)
        images = {
            stem_of(file.relative_to(self.images).as_posix()): file
            for file in images_below(self.images)
            if file not in taken and (beside or self.masks not in file.parents)
        }
        masks: dict[str, Path] = {}
        for file in of_masks:
            name = stem_of(file.relative_to(self.masks).as_posix())
            plain = name.removesuffix(_ending(name))
            masks.setdefault(name if name in images or plain not in images else plain, file)
        return _Pairing(images, masks)


def _ending(stem: str) -> str:
    return next((ending for ending in _ENDINGS if stem.endswith(ending)), "")


def find_mask_folders(path: Path, asked: Asked) -> "MaskFolders | None":
    """The data set of a folder, or of the folder of its masks; None if there is none."""
    own = _folders(path, asked)
    if own is None and path.name.lower() in _MASK_FOLDERS:
        path = path.parent
        own = _folders(path, asked)
    if own is not None:
        return MaskFolders(path, {"": own}, asked)
    inner = {folder.name: of for folder in _inner(path) if (of := _folders(folder, asked)) is not None}
    by_split = {canonical_split(name): of for name, of in inner.items() if SPLIT_WORD.fullmatch(name)}
    if by_split:
        return MaskFolders(path, by_split, asked)
    if len(inner) > 1:
        raise DataError(f"{path} holds several data sets with masks: {', '.join(inner)}; give the path of one")
    return MaskFolders(path / next(iter(inner)), {"": next(iter(inner.values()))}, asked) if inner else None


def _inner(path: Path) -> list[Path]:
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir()]


def _folders(path: Path, asked: Asked) -> _Folders | None:
    named = {folder.name.lower(): folder for folder in reversed(_inner(path))}
    masks = next((named[name] for name in _MASK_FOLDERS if name in named and _holds(named[name], _MASK_SUFFIXES)), None)
    if masks is None:
        are_masks = {bool(_ending(file.stem)) for file in images_in(path)}
        return _Folders(path, path) if are_masks == {True, False} and asked.images is None else None
    images = next((named[name] for name in _IMAGE_FOLDERS if name in named), path)
    return _Folders(asked.images or images, masks)


def _holds(folder: Path, suffixes: frozenset[str]) -> bool:
    return next(files_below(folder, suffixes), None) is not None


class MaskFolders:
    """Masks of one tree, split by folders or lists, or of one tree for each split (by "" where there is but one)."""

    def __init__(self, path: Path, trees: dict[str, _Folders], asked: Asked):
        self.path, self._trees, self._asked = path, trees, asked
        is_voc = next(iter(trees.values())).masks.name.lower() in _VOC_FOLDERS
        self.format = "Pascal VOC masks" if is_voc else "folders of masks"
        self._is_voc, self.default_split = is_voc, None

    @cached_property
    def _pairings(self) -> dict[str, _Pairing]:
        return {split: folders.pair() for split, folders in self._trees.items()}

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The names of the images of each split."""
        if "" not in self._pairings:
            return {split: _all_names(of) for split, of in self._pairings.items()}
        pairing = self._pairings[""]
        return (
            _by_folder(pairing)
            or _by_list(self.path, pairing)
            or self._by_json(pairing)
            or {"all": _all_names(pairing)}
        )

    @property
    def splits(self) -> tuple[str, ...]:
        return order_splits(self._names)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes.names

    @cached_property
    def _classes(self) -> Classes:
        """Raises: DataError: nothing says what the classes are."""
        file, wanted = self._asked_or_found()
        if self._asked.instances:
            wanted = self._of_instances() if wanted is None else wanted
            return Classes.of_instances(wanted, file)
        if wanted is None and self._is_voc:
            return Classes.of(VOC_CLASSES)
        if wanted is None:
            raise DataError(
                f"{self.path}: nothing says what the values of the masks mean; give the classes (classes=[...], "
                "--classes), or write them into classes.txt beside the masks, one name a line, the first for value 0"
            )
        return Classes.of(wanted, file)

    def _asked_or_found(self) -> tuple[object, Wanted | None]:
        if self._asked.classes is not None:
            self._tell_other_order(self._asked.classes)
            return "classes", self._asked.classes
        file, wanted = self._find_list() or (self.path, None)
        return file, self._less_one(wanted) if wanted is not None else None

    def _find_list(self) -> tuple[Path, Wanted] | None:
        places = [self.path, *(place for of in self._trees.values() for place in (of.masks, of.masks.parent))]
        return find_class_list(list(dict.fromkeys(places)))

    def _tell_other_order(self, asked: Wanted) -> None:
        """Names in another order than a file beside the masks has would be read as other classes, in silence."""
        try:
            file, listed = self._find_list() or (None, None)
        except DataError:  # what was asked for stands in its place
            return
        if isinstance(asked, Mapping) or listed is None or isinstance(listed, Mapping):
            return
        if sorted(asked) == sorted(listed) and list(asked) != list(listed):
            say_once(f"{file} has the classes in the order {', '.join(listed)}; taken is {', '.join(asked)}, as asked")

    def _less_one(self, wanted: Wanted) -> Wanted:
        """COCO stuff's list as its pixels count."""
        is_stuff = any(of.masks.name.lower() == _STUFF_FOLDER for of in self._trees.values())
        if not is_stuff or not isinstance(wanted, Mapping) or wanted.get(0) != "unlabeled":  # type: ignore[call-overload]
            return wanted
        return {value - 1: name for value, name in wanted.items() if isinstance(value, int) and value > 0}

    def _of_instances(self) -> tuple[str, str]:
        """What COCO files beside the masks call the objects, if that is one class."""
        source = _coco_beside(self.path)
        named = list(source.read(source.splits[0], Reading(need_pictures=False)).categories.values()) if source else []
        return "background", named[0] if len(named) == 1 else "object"

    def _by_json(self, pairing: _Pairing) -> dict[str, list[str]]:
        source = _coco_beside(self.path)
        if source is None:
            return {}
        known = {file: name for name, file in pairing.images.items()}
        read = {split: source.read(split, Reading(self._asked.images)).images for split in source.splits}
        return {
            split: [known[entry.file] for entry in entries if entry.file in known] for split, entries in read.items()
        }

    def read(self, split: str, report_to: ProblemLog) -> list[SegmentationRecord]:
        """The record of every image of the split that can be used; the others are reported.

        Raises: DataError: nothing says what the classes are, or the masks are in colours and no class says which.
        """
        pairing = self._pairings.get(split) or self._pairings[""]
        records = []
        for number, name in enumerate(self._names[split], start=1):
            image, mask = pairing.images.get(name), pairing.masks.get(name)
            if image is None or mask is None:
                self._report_lonely(name, image, mask, split, report_to)
                continue
            record = record_of_files(number, image, mask, self._classes, report_to.within(image))
            records += [] if record is None else [record]
        self._refuse_colours(records)
        return records

    def _report_lonely(self, name: str, image: Path | None, mask: Path | None, split: str, report: ProblemLog) -> None:
        folders = self._trees.get(split) or self._trees[""]
        if image is not None:
            report.within(image).error(
                "",
                f"the image is left out: it has no mask, expected '{folders.masks / name}.png'; add it, or one of 255 "
                "throughout where nothing is known",
            )
        elif mask is not None:
            report.within(mask).error(
                "", f"left out: it has no image, expected {folders.images / name} with the suffix of one"
            )
        else:
            report.error(
                f"name {name!r}",
                f"left out: there is no image of this name in {folders.images}; add it or remove the name",
            )

    def _refuse_colours(self, records: list[SegmentationRecord]) -> None:
        """Looks at one mask that may be in colours: opening the others would decode the whole data set."""
        files = (record.mask.file for record in records)  # type: ignore[attr-defined]
        suspect = next((place for place, file in enumerate(files) if read_header(file).mode.startswith("RGB")), None)
        if suspect is not None and not self._classes.are_colours:
            try:
                records[suspect].mask.read()
            except DataError as error:
                if "is in colours" in str(error):
                    raise


def _coco_beside(path: Path):
    try:
        return find_coco(path)
    except DataError:
        return None


def _all_names(pairing: _Pairing) -> list[str]:
    return sorted({*pairing.images, *pairing.masks})


def _by_folder(pairing: _Pairing) -> dict[str, list[str]]:
    """Splits by the first folder in the masks' names, if each has one that is called as a split."""
    words = {name.split("/")[0] if "/" in name else "" for name in pairing.masks}
    splits = {word: canonical_split(found[0]) for word in words if (found := SPLIT_WORD.search(word))}
    if not words or len(splits) < len(words) or len(set(splits.values())) < len(splits):
        return {}
    return {
        split: [name for name in _all_names(pairing) if name.startswith(f"{word}/")] for word, split in splits.items()
    }


def _by_list(path: Path, pairing: _Pairing) -> dict[str, list[str]]:
    by_stem: dict[str, str] = {}
    for name in [*pairing.masks, *pairing.images]:
        by_stem.setdefault(name.rpartition("/")[2], name)
    known = {*pairing.images, *pairing.masks}
    for place in _LISTS:
        files = [file for file in sorted((path / place).glob("*.txt")) if place or SPLIT_WORD.fullmatch(file.stem)]
        if files:
            return {canonical_split(file.stem): list(dict.fromkeys(_listed(file, known, by_stem))) for file in files}
    return {}


def _listed(file: Path, known: set[str], by_stem: Mapping[str, str]) -> Iterator[str]:
    for line in filter(None, map(str.strip, read_text(file).splitlines())):
        first = line.split(maxsplit=1)[0]
        readings = [line, stem_of(line), first, stem_of(first)]
        last = stem_of(first.replace("\\", "/").rpartition("/")[2])
        yield next((name for name in readings if name in known), by_stem.get(last, last))
