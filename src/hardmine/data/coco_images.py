"""The images that a COCO file lists, each with its file: by id, whatever an id looks like.

An image that is listed twice is one; two ids of one file are one image; an id of two files is nobody's, and both are
left out. Files are looked for where COCO layouts keep them, and then by the last parts of their name.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hardmine.data.entries import Id, ImageEntry, Reading, as_number
from hardmine.data.identity import as_key
from hardmine.data.paths import FilesBelow, is_file, join_inside, parts_of, path_in_link, path_inside
from hardmine.data.problems import ProblemLog, short
from hardmine.data.splits import SPLIT_WORD, canonical_split
from hardmine.errors import DataError

__all__ = ["CocoImages", "own_id"]

NAMES = ("file_name", "coco_url", "flickr_url")
"""Where the name of an image's file may be; of a URL the last parts count."""


class CocoImages:
    """The images of a file. entries: those that can be used, in the file's order.

    by_key: the entry of each id.  left_out: ids that were reported, whose annotations need no word of their own.
    """

    def __init__(self, images: Sequence[Any], reading: Reading, report: ProblemLog):
        self.by_key: dict[str, ImageEntry] = {}
        self.left_out: set[str] = set()
        self._report, self._finder = report, _ImageFinder(report.file, reading)
        self._kept_field = reading.image_field or ""
        self._by_file: dict[str, ImageEntry] = {}
        self._read(list(_well_formed(images, report)))

    @property
    def entries(self) -> list[ImageEntry]:
        return list(self._by_file.values())

    def _read(self, images: list[tuple[str, str, dict[str, Any]]]) -> None:
        names: defaultdict[str, set[str]] = defaultdict(set)
        for key, name, _ in images:
            names[key].add(name)
        guessed: defaultdict[Path, list[ImageEntry]] = defaultdict(list)
        for key, name, fields in images:
            if len(names[key]) > 1:
                self._leave_out(key, f"{name!r} is left out: {len(names[key])} images have this id; give each its own")
            elif key not in self.by_key and key not in self.left_out:
                self._find(key, name, fields, guessed)
        self._add_guessed(guessed)
        for key, count in Counter(key for key, _, _ in images if len(names[key]) == 1).items():
            if count > 1:
                self._report.warning(f"image id {key}", f"listed {count} times; read once, remove the others")

    def _find(self, key: str, name: str, fields: dict[str, Any], guessed: defaultdict[Path, list[ImageEntry]]) -> None:
        record = f"image id {key}"
        size = _stated_size(fields, record, self._report)
        try:
            file, is_exact = self._finder.find(name, is_needed=size is None)
        except DataError as error:
            self._leave_out(key, f"the image is left out: {error}")
            return
        kept = {self._kept_field: fields[self._kept_field]} if self._kept_field in fields else None
        entry = ImageEntry(own_id(fields["id"]), file, self._report.file, record, size, fields=kept)
        if is_exact:
            self._add(key, entry)
        else:
            guessed[file].append(entry)

    def _add(self, key: str, entry: ImageEntry) -> None:
        first = self.by_key[key] = self._by_file.setdefault(_absolute(entry.file), entry)
        if first is not entry:
            first.aliases.append(entry.image_id)
            self._report.warning(
                entry.record, f"{entry.file.name!r} is also image id {first.image_id}; read as one, give it one id"
            )

    def _add_guessed(self, guessed: Mapping[Path, list[ImageEntry]]) -> None:
        """The images that were found by the last parts of their names, where each is the only one of its file."""
        taken = self._by_file
        sure = {file: of for file, of in guessed.items() if len(of) == 1 and _absolute(file) not in taken}
        for entry in (entry for file, entries in guessed.items() if file not in sure for entry in entries):
            self._leave_out(
                str(as_key(entry.image_id)),
                f"the image is left out: its name is refused, since the file that it may mean, '{entry.file}', is also "
                "that of another image; write names relative to the data set's folder",
            )
        for (entry,) in sure.values():
            self._add(str(as_key(entry.image_id)), entry)
        if sure:
            first = next(iter(sure))
            self._report.warning(
                "", f"{len(sure)} images were found by the last parts of their names, the first is '{first}'"
            )

    def _leave_out(self, key: str, message: str) -> None:
        self.left_out.add(key)
        self._report.error(f"image id {key}", message)


def _absolute(file: Path) -> str:
    return os.path.abspath(file)  # noqa: PTH100  a tenth of what `absolute` takes


def own_id(value: Any) -> Id:
    """An id as the file has it; a whole number that is written as a fraction (7.0) is a whole number."""
    return int(value) if isinstance(value, float) else value


def _well_formed(images: Sequence[Any], report: ProblemLog) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Key, file name and all fields of each image that has the first two."""
    for place, image in enumerate(images, start=1):
        fields = image if isinstance(image, dict) else {}
        key = as_key(fields.get("id"))
        name = next((fields[field] for field in NAMES if isinstance(fields.get(field), str)), None)
        if key is None or name is None:
            report.error(f"image {place}", f"left out: got {short(image)}, expected an id and a file_name")
        else:
            yield key, name, fields


def _stated_size(image: dict[str, Any], record: str, report: ProblemLog) -> tuple[int, int] | None:
    sides = [as_number(image.get(side)) for side in ("width", "height")]
    width, height = (int(side) if side is not None and side > 0 and side.is_integer() else None for side in sides)
    if width is not None and height is not None:
        return width, height
    if (image.get("width"), image.get("height")) != (None, None):
        written = short([image.get("width"), image.get("height")])
        report.warning(record, f"width and height are {written}, expected positive integers; taken from the image file")
    return None


class _ImageFinder:
    """Looks for image files where COCO layouts keep them; the folder that held the last one is tried first."""

    def __init__(self, json_file: Path, reading: Reading):
        self._top = reading.images or _top(json_file)
        self._roots = [reading.images] if reading.images is not None else _image_roots(json_file)
        self._below = FilesBelow(self._top)
        self._may_be_absent = not reading.need_pictures

    def find(self, name: str, *, is_needed: bool) -> tuple[Path, bool]:
        """The image's file, and whether it is just where the name says; otherwise it was found by its last parts.

        Raises: DataError: there is none, and it is needed; several may be meant; or the name leads out of the folder.
        """
        for root in self._roots:
            file = path_inside(self._top, root, name)
            if file is not None and is_file(file):
                self._roots.remove(root)
                self._roots.insert(0, root)
                return file, True
        file = self._below.find(name)
        if file is not None:
            return file, False
        if self._may_be_absent and not is_needed:
            return _absent(self._roots[0], name), True
        join_inside(self._roots[0], name)
        looked = ", ".join(f"'{root}'" for root in self._roots)
        raise DataError(
            f"{name!r} is missing, expected in {looked} or below; add it, or give the folder of the images (--images)"
        )


def _absent(root: Path, name: str) -> Path:
    """Where an image that is not needed would be, whatever machine or place its name is from.

    Raises: DataError: nothing in the name is that of a file.
    """
    parts = [part for part in parts_of(path_in_link(name)) if part != ".." and not part.endswith(":")]
    return join_inside(root, "/".join(parts))


def _top(json_file: Path) -> Path:
    folder = json_file.parent
    return folder.parent if folder.name.lower() == "annotations" else folder


def _image_roots(json_file: Path) -> list[Path]:
    tops = dict.fromkeys([json_file.parent, _top(json_file)])
    below = _subsets(json_file.stem)
    inside = ["", "images", "data", *below, *(f"images/{subset}" for subset in below)]
    roots = [top / place for top in tops for place in inside]
    return [root for root in roots if root.is_dir()]


def _subsets(stem: str) -> list[str]:
    """What the folder of a file's images may be called: "instances_train2017" -> train2017, train; "…_default"."""
    word = SPLIT_WORD.search(stem)
    if word is None:
        return [stem.rpartition("_")[2]]
    return list(dict.fromkeys([word[0] + stem[word.end() :], word[0], canonical_split(word[0])]))
