"""Which image is meant: by an id that the data set itself carries, or by the name of its file.

COCO files give each image an id. Folders of files (YOLO, Pascal VOC) do not: there a number is only a place in a sorted
list, and moves when a file comes or goes. So an id counts where the data set has it; everywhere else, and wherever a
record has one, the name of the file does. What tools write is understood:

    file_name    "a.jpg", "cam1/a.jpg", "images/train/a.jpg", "/home/somebody/data/images/train/a.jpg",
                 "https://somewhere/images/train/a.jpg"
    image_id     the id; the file's name or its stem ("a", as YOLO tools write it); the number that the stem is (139 for
                 "000000000139.jpg")

All ids of one list are meant alike: as ids of the data set, or as names of its files.

Two names agree if their last parts do, as many as the shorter of the two has; and not if one lies in a folder called
train and the other in one called val, or train2017 and val2017.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardmine.data.paths import parts_of, path_in_link, stem_of
from hardmine.data.splits import SPLIT_WORD, canonical_split
from hardmine.errors import DataError

__all__ = ["ImageName", "ImageNames", "as_key", "as_text", "common_folder", "names_below", "plain"]


def plain(value: Any) -> Any:
    """A scalar of NumPy or torch as Python's own number or text; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def as_key(value: object) -> str | None:
    """An id as a text by which to compare it: 7, 7.0 and "7" are the same, "007" is another; None if it is no id."""
    if type(value) is int:  # nearly always
        return str(value)
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_id = isinstance(value, int | str) and not isinstance(value, bool) and value != ""
    return as_text(str(value)) if is_id else None


def as_text(name: str) -> str:
    """A name that every file can hold: half a character, as odd names of files and JSON have it, is written out."""
    return name.encode("utf-8", "backslashreplace").decode()


def common_folder(files: Iterable[Path | None]) -> Path | None:
    """The innermost folder that holds all files; None where there is none, as of images that are generated."""
    folders = {os.path.dirname(os.path.abspath(file)) for file in files if file is not None}  # noqa: PTH100, PTH120
    return Path(os.path.commonpath(folders)) if folders else None


def names_below(folder: Path | None, files: Iterable[Path | None]) -> tuple[str, ...]:
    """Of each file, its name relative to the folder, with slashes; empty where there is no file."""
    return tuple(
        as_text(os.path.relpath(file, folder).replace(os.sep, "/")) if file is not None and folder is not None else ""
        for file in files
    )


@dataclass(frozen=True, slots=True)
class ImageName:
    """By what an image can be called. keys: its ids, as `as_key` writes them.  path: of its file, with slashes.

    inner: how many parts of the path tell the images of the data set apart; the folders above are the same for all.
    """

    keys: tuple[str, ...]
    path: str
    inner: int = 1


class ImageNames:
    """Finds the images of a data set by what others call them; numbers them by their place in it."""

    def __init__(self, images: Iterable[ImageName], where: str):
        self._images, self._where = tuple(images), where
        self._by_key: dict[str, int] = {}
        self._by_stem: defaultdict[str, list[int]] = defaultdict(list)
        self._by_number: defaultdict[int, list[int]] = defaultdict(list)
        for place, image in enumerate(self._images):
            self._by_key |= dict.fromkeys(image.keys, place)
            self._list(place, stem_of(image.path.rpartition("/")[2]))

    def _list(self, place: int, stem: str) -> None:
        self._by_stem[stem].append(place)
        if stem.isascii() and stem.isdecimal():
            self._by_number[int(stem)].append(place)

    def find(
        self, names: Sequence[tuple[str | None, str | None]], where: Callable[[int], str] = lambda _: ""
    ) -> list[int]:
        """The place of each image that is called by id (as `as_key` writes it) and name, of which one may be None.

        Args: where: says of a place among the names which file and record that is.
        Raises: DataError: there is no such image, several may be meant, or id and name contradict each other.
        """
        ids = self._by_key if self._are_own(names) else {}
        found = []
        for place, (key, name) in enumerate(names):
            try:
                found.append(self._find(key, name, ids))
            except DataError as error:
                record = where(place)
                raise DataError(f"{record}: {error}" if record else str(error)) from error
        return found

    def find_known(self, names: Sequence[tuple[str | None, str | None]]) -> list[int | None]:
        """As `find`, where some names may be of other images: None of these, and of what may be several."""
        ids = self._by_key if self._are_own(names) else {}
        found: list[int | None] = []
        for key, name in names:
            try:
                found.append(self._find(key, name, ids))
            except DataError:
                found.append(None)
        return found

    def _are_own(self, names: Sequence[tuple[str | None, str | None]]) -> bool:
        """Whether ids are those of the data set; otherwise they repeat the names of files, as YOLO tools write them."""
        if all(name is not None and _is_stem_of(key, name) for key, name in names):
            return False
        alone = [key for key, name in names if name is None and key is not None]
        are_ids = [key in self._by_key for key in alone]
        return all(are_ids) or (any(are_ids) and not all(map(self._is_name, alone)))

    def other_readings(self, names: Sequence[tuple[str | None, str | None]]) -> Iterator[tuple[str, list[int]]]:
        """What else ids without names could mean, if all of them can, and the place of each image then."""
        keys = [key for key, name in names if name is None and key is not None]
        if len(keys) < len(names) or not all(key.isascii() and key.isdecimal() for key in keys):
            return
        by_name = [self._by_number.get(int(key), []) for key in keys]
        if all(len(places) == 1 for places in by_name):
            yield "the numbers that files are called by", [place for (place,) in by_name]
        for first in (0, 1):
            places = [int(key) - first for key in keys]
            if all(0 <= place < len(self._images) for place in places):
                yield f"places in the list of images, from {first} on", places

    def _find(self, key: str | None, name: str | None, ids: Mapping[str, int]) -> int:
        if name is None:
            return self._by_id(key, ids)
        place = self._by_name(name)
        if place is None:
            raise DataError(f"file_name {name!r} is no image of {self._where}; predict this data set and split")
        owner = None if key is None else ids.get(key)
        if owner not in (None, place):
            raise DataError(
                f"image_id {key} and file_name {name!r} contradict each other: in {self._where} the id is that of "
                f"{self._images[owner].path!r}; correct one of them, or leave one out"
            )
        return place

    def _by_id(self, key: str | None, ids: Mapping[str, int]) -> int:
        if key is None:
            raise DataError(f"neither image_id nor file_name; expected one that names an image of {self._where}")
        place = ids.get(key) if ids else self._by_name_or_number(key)
        if place is None:
            called = key if key.lstrip("-").isdecimal() else repr(key)
            known = "an id or the name" if self._by_key else "the name"
            raise DataError(
                f"image_id {called} is not in the ground truth: it is not {known} of an image of {self._where}"
                f"{'' if self._by_key else ', which has no ids of its own'}; predict this data set and split, or write "
                "file_name beside it"
            )
        return place

    def _is_name(self, key: str) -> bool:
        try:
            return self._by_name_or_number(key) is not None
        except DataError:  # of several images, which is refused where it is looked up
            return True

    def _by_name_or_number(self, key: str) -> int | None:
        place = self._by_name(key)
        is_number = place is None and key.isascii() and key.isdecimal()
        return self._only(self._by_number.get(int(key), []), key) if is_number else place

    def _by_name(self, name: str) -> int | None:
        parts = parts_of(path_in_link(name))
        if not parts:
            return None
        listed = self._by_stem.get(stem_of(parts[-1]), []) or self._by_stem.get(parts[-1], [])
        agreed = {place: _agreement(parts, self._images[place]) for place in listed}
        most = max(agreed.values(), default=0)
        return self._only([place for place, number in agreed.items() if number == most], name) if most else None

    def _only(self, places: Sequence[int], name: str) -> int | None:
        if len(places) > 1:
            first, second = (self._images[place].path for place in places[:2])
            raise DataError(
                f"{name!r} may be {first!r} or {second!r} of {self._where}; give file_name with as much of the path as "
                "tells them apart"
            )
        return places[0] if places else None


def _agreement(given: Sequence[str], image: ImageName) -> int:
    """How many of the last parts of both names are equal; 0 if too few are for them to be one image."""
    path = parts_of(image.path)
    if given[-1] not in (path[-1], stem_of(path[-1])):
        return 0
    same = 1
    while same < min(len(given), len(path)) and given[-1 - same] == path[-1 - same]:
        same += 1
    needed = min(len(given), image.inner)
    differing = [parts[-1 - same] for parts in (given, path) if len(parts) > same]
    return same if same >= needed and not _are_two_splits(differing) else 0


def _are_two_splits(folders: Sequence[str]) -> bool:
    """Whether two names differ in nothing but the split that they name, and in numbers: train2017 and val."""
    words = [word for folder in folders if (word := SPLIT_WORD.search(folder))]
    rests = {re.sub(r"\d", "", word.string[: word.start()] + word.string[word.end() :]) for word in words}
    return len(words) == 2 and len(rests) == 1 and len({canonical_split(word[0]) for word in words}) == 2


def _is_stem_of(key: str | None, name: str) -> bool:
    """Whether the id is nothing but the file's name again, as YOLO tools write it."""
    parts = parts_of(name)
    stem = stem_of(parts[-1]) if parts else ""
    return key is not None and (key in (name, stem) or (stem.isdecimal() and key.isdecimal() and int(key) == int(stem)))
