"""COCO json: `images`, `annotations` with bbox = [x, y, width, height] in pixels, `categories`.

One file is one split, named by its file name: `coco_val.json`, `instances_val2017.json`,
`valid/_annotations.coco.json`. Files that differ only in that word are one family: opening any of them makes the
others' splits available, with the same classes. A folder of several families names its splits by whole file names.

Convention: category ids may have gaps, labels count through them in ascending order. Image names are taken relative to
the json's folder, `images/` or the split's folder in it (and in its parent, if the json is in `annotations/`).
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from hardmine.data.entries import ImageEntry, ObjectEntry, SplitEntries, as_number
from hardmine.data.paths import is_file, join_inside
from hardmine.data.problems import ProblemLog
from hardmine.data.splits import SPLIT_WORD, canonical_split, order_splits
from hardmine.errors import DataError

__all__ = ["CocoSource", "find_coco"]

_KEYS = ("images", "annotations", "categories")


def find_coco(path: Path, images: Path | None = None) -> "CocoSource | None":
    """The COCO data set of a json file (with its family) or of a folder; None if there is none.

    Raises: DataError: a json that cannot be read.
    """
    if path.is_file():
        root = path.parent.parent if SPLIT_WORD.fullmatch(path.parent.name) else path.parent
        pattern, _ = _family(path, root)
        family = [file for file in {*_json_files(root), path} if _family(file, root)[0] == pattern]
        named = _name_splits(family, root)
        return CocoSource(path, named, images, next(name for name, file in named.items() if file == path))
    return _find_in_folder(path, images)


def _find_in_folder(path: Path, images: Path | None) -> "CocoSource | None":
    files = list(_json_files(path))
    # COCO's own folder also holds captions_*, person_keypoints_* and so on; detection is instances_*.
    files = [file for file in files if file.name.startswith("instances_")] or files
    files = [file for file in files if _is_coco(_parse(file))]
    return CocoSource(path, _name_splits(files, path), images) if files else None


class CocoSource:
    """COCO files by split; categories are collected over all of them, so that every split has the same classes."""

    format = "COCO"

    def __init__(self, path: Path, files: dict[str, Path], images: Path | None, default_split: str | None = None):
        self.path, self._files, self._images = path, files, images
        self.splits, self.default_split = order_splits(files), default_split

    def read(self, split: str) -> SplitEntries:
        """Every image and annotation of the split, as written.

        Raises: DataError: not a COCO file, or a category id that has two names in two files.
        """
        report = ProblemLog(self._files[split])
        documents = {self._files[name]: _coco_document(self._files[name]) for name in self.splits}
        categories = self._categories(documents, report)
        document = documents[report.file]
        entries = _image_entries(document["images"], _ImageFinder(report.file, self._images), report)
        _add_objects(document["annotations"], entries, report)
        return SplitEntries(categories, list(entries.values()), report.problems)

    def _categories(self, documents: dict[Path, dict[str, Any]], report: ProblemLog) -> dict[int, str]:
        named: dict[int, tuple[str, Path]] = {}
        for file, document in documents.items():
            # Only the faults of the file that is being read belong into its report.
            for category_id, name in _own_categories(document, report if file == report.file else ProblemLog(file)):
                first, where = named.setdefault(category_id, (name, file))
                if first != name:
                    raise DataError(
                        f"{file}: category id {category_id} is {name!r}, but {first!r} in {where}; "
                        "expected the same classes in every split: correct one, or move it to another folder"
                    )
        return {category_id: named[category_id][0] for category_id in sorted(named)}


def _json_files(root: Path) -> Iterator[Path]:
    folders = [root, root / "annotations", *(f for f in sorted(root.iterdir()) if SPLIT_WORD.fullmatch(f.name))]
    return (file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.json")))


def _family(file: Path, root: Path) -> tuple[str, str]:
    """The name with its split word as a gap, and the split: "instances_train2017" -> ("instances_*2017", "train")."""
    name = file.relative_to(root).with_suffix("").as_posix()
    word = SPLIT_WORD.search(name)
    if word is None:
        return name, "all"
    return f"{name[: word.start()]}*{name[word.end() :]}", canonical_split(word[0])


def _name_splits(files: list[Path], root: Path) -> dict[str, Path]:
    by_word = {_family(file, root)[1]: file for file in files}
    is_one_family = len({_family(file, root)[0] for file in files}) == 1 and len(by_word) == len(files)
    return by_word if is_one_family else {file.relative_to(root).with_suffix("").as_posix(): file for file in files}


def _parse(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON ({error}); repair it, or move it out of the folder") from error


def _is_coco(document: object) -> bool:
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in _KEYS)


def _coco_document(file: Path) -> dict[str, Any]:
    document = _parse(file)
    if not isinstance(document, dict) or not _is_coco(document):
        raise DataError(f"{file} is not a COCO file: expected an object with the lists {', '.join(_KEYS)}")
    return document


def _own_categories(document: dict[str, Any], report: ProblemLog) -> Iterator[tuple[int, str]]:
    seen: dict[int, str] = {}
    for place, category in enumerate(document["categories"], start=1):
        category_id = category.get("id") if isinstance(category, dict) else None
        name = category.get("name") if isinstance(category, dict) else None
        if not _is_id(category_id) or not isinstance(name, str):
            report.error(f"category {place}", f"left out: got {_short(category)}, expected an integer id and a name")
        elif category_id in seen:
            report.error(
                f"category id {category_id}", f"used again for {name!r}, {seen[category_id]!r} stays; give it its own"
            )
        else:
            if name in seen.values():
                report.warning(
                    f"category id {category_id}", f"the name {name!r} is used twice; give each class its own"
                )
                name = f"{name} (id {category_id})"
            seen[category_id] = name
            yield category_id, name


def _image_entries(images: list[Any], finder: "_ImageFinder", report: ProblemLog) -> dict[int, ImageEntry]:
    entries: dict[int, ImageEntry] = {}
    seen_files: dict[Path, int] = {}
    for place, image in enumerate(images, start=1):
        image_id = image.get("id") if isinstance(image, dict) else None
        name = image.get("file_name") if isinstance(image, dict) else None
        record = f"image id {image_id}"
        if not _is_id(image_id) or not isinstance(name, str):
            report.error(f"image {place}", f"left out: got {_short(image)}, expected an integer id and a file_name")
        elif image_id in entries:
            report.error(
                record, f"{name!r} is left out: the id belongs to {entries[image_id].file.name!r}; give it its own"
            )
        else:
            try:
                file = finder.find(name)
            except DataError as error:
                report.error(record, f"the image is left out: {error}")
                continue
            if file in seen_files:
                report.warning(record, f"{name!r} is also image id {seen_files[file]}; kept as two images, remove one")
            seen_files[file] = image_id
            entries[image_id] = ImageEntry(image_id, file, report.file, record, _stated_size(image, record, report))
    return entries


def _stated_size(image: dict[str, Any], record: str, report: ProblemLog) -> tuple[int, int] | None:
    if image.get("width") is None and image.get("height") is None:
        return None
    width, height = image.get("width"), image.get("height")
    if _is_id(width) and _is_id(height) and width > 0 and height > 0:
        return width, height
    report.warning(
        record, f"width and height are {_short([width, height])}, expected positive integers; taken from the image file"
    )
    return None


def _add_objects(annotations: list[Any], entries: dict[int, ImageEntry], report: ProblemLog) -> None:
    left_out_images = {problem.record for problem in report.problems if problem.severity == "error"}
    seen: Counter[int] = Counter()
    for place, annotation in enumerate(annotations, start=1):
        fields = annotation if isinstance(annotation, dict) else {}
        own_id, image_id = fields.get("id"), fields.get("image_id")
        record = f"annotation id {own_id}" if _is_id(own_id) else f"annotation {place}"
        if _is_id(own_id) and (seen.update([own_id]) or seen[own_id] > 1):
            report.warning(record, "the id is used more than once; kept, give each annotation its own")
        entry = entries.get(image_id) if _is_id(image_id) else None
        if entry is not None:
            _add_object(fields, entry, record, report)
        elif f"image id {image_id}" not in left_out_images:
            report.error(
                record, f"left out: image id {_short(image_id)} is not among the images; add it or remove this"
            )


def _add_object(fields: dict[str, Any], entry: ImageEntry, record: str, report: ProblemLog) -> None:
    category_id, bbox, crowd = fields.get("category_id"), fields.get("bbox"), fields.get("iscrowd", 0)
    numbers = [as_number(value) for value in bbox] if isinstance(bbox, list) else []
    if len(numbers) != 4 or None in numbers:
        report.error(record, f"left out: bbox is {_short(bbox)}, expected four numbers x, y, width, height")
    elif not _is_id(category_id):
        report.error(record, f"left out: category_id is {_short(category_id)}, expected an integer")
    else:
        if crowd not in (0, 1):
            report.warning(record, f"iscrowd is {_short(crowd)}, expected 0 or 1; taken as an ordinary object")
        x, y, width, height = (number for number in numbers if number is not None)
        box = (x, y, x + width, y + height)
        entry.objects.append(ObjectEntry(record, box, category_id, crowd == 1, as_number(fields.get("area"))))


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _ImageFinder:
    """Looks for image files where COCO layouts keep them; the folder that held the last one is tried first."""

    def __init__(self, json_file: Path, images: Path | None):
        self._roots = [images] if images is not None else _image_roots(json_file)

    def find(self, name: str) -> Path:
        for root in self._roots:
            file = join_inside(root, name)
            if is_file(file):
                if root is not self._roots[0]:
                    self._roots.remove(root)
                    self._roots.insert(0, root)
                return file
        looked = ", ".join(f"'{root}'" for root in self._roots)
        raise DataError(f"{name!r} is missing, expected in one of {looked}; add it, or say where the images are")


def _image_roots(json_file: Path) -> list[Path]:
    folder = json_file.parent
    tops = [folder, folder.parent] if folder.name == "annotations" else [folder]
    word = SPLIT_WORD.search(json_file.stem)
    year = "" if word is None else json_file.stem[word.end() :]
    below = [] if word is None else list(dict.fromkeys([word[0] + year, word[0], canonical_split(word[0])]))
    roots = [
        base
        for top in tops
        for base in (top, top / "images", *(top / b for b in below), *(top / "images" / b for b in below))
    ]
    return [root for root in roots if root.is_dir()]
