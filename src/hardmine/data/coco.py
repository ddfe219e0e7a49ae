"""COCO json: `images`, `annotations` with bbox = [x, y, width, height] in pixels, `categories`.

One file is one split, named by its file name: `coco_val.json`, `instances_val2017.json`,
`valid/_annotations.coco.json`. Files that differ only in that word are one family: opening any of them makes the
others' splits available, with the same classes. A folder of several families names its splits by whole file names.

Convention: category ids may have gaps, labels count through them in ascending order (those that are texts, in the
file's). Ids are compared as `as_key` writes them: the same number as a text is the same. An object without a bbox has
that of its polygons or mask. Image names are taken relative to the json's folder, `images/`, `data/` or the split's
folder in it (and in its parent, if the json is in `annotations/`); a name from elsewhere, a URL or another machine's
path, is the one file below that folder whose last parts agree most.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import mask

from hardmine.data.coco_images import CocoImages, own_id
from hardmine.data.entries import Id, ImageEntry, ObjectEntry, Reading, SplitEntries, as_number
from hardmine.data.identity import as_key
from hardmine.data.problems import ProblemLog, short
from hardmine.data.splits import SPLIT_WORD, canonical_split, order_splits
from hardmine.errors import DataError
from hardmine.files.reading import parse_json

__all__ = ["CocoSource", "find_coco"]

_KEYS = ("images", "annotations", "categories")


def find_coco(path: Path) -> "CocoSource | None":
    """The COCO data set of a json file (with its family) or of a folder; None if there is none.

    Raises: DataError: a json that cannot be read.
    """
    if path.is_file():
        root = path.parent.parent if SPLIT_WORD.fullmatch(path.parent.name) else path.parent
        pattern, _ = _family(path, root)
        family = [file for file in {*_json_files(root), path} if _family(file, root)[0] == pattern]
        named = _name_splits(family, root)
        return CocoSource(path, named, next(name for name, file in named.items() if file == path))
    return _find_in_folder(path)


def _find_in_folder(path: Path) -> "CocoSource | None":
    files = list(_json_files(path))
    # COCO's own folder also holds captions_*, person_keypoints_* and so on; detection is instances_*.
    files = [file for file in files if file.name.startswith("instances_")] or files
    files = [file for file in files if _is_coco(_parse(file))]
    return CocoSource(path, _name_splits(files, path)) if files else None


class CocoSource:
    """COCO files by split; categories are collected over all of them, so that every split has the same classes."""

    format = "COCO"
    takes_images = True

    def __init__(self, path: Path, files: dict[str, Path], default_split: str | None = None):
        self.path, self._files = path, files
        self.splits, self.default_split = order_splits(files), default_split

    def read(self, split: str, reading: Reading) -> SplitEntries:
        """Every image and annotation of the split, as written.

        Raises: DataError: not a COCO file, or a category id that has two names in two files.
        """
        report = ProblemLog(self._files[split])
        documents = {self._files[name]: _coco_document(self._files[name]) for name in self.splits}
        categories = self._categories(documents, report)
        document = documents[report.file]
        images = CocoImages(document["images"], reading, report)
        by_key = {str(as_key(category_id)): category_id for category_id in categories}
        _add_objects(document["annotations"], images, by_key, report, keep_shapes=reading.keep_shapes)
        return SplitEntries(categories, images.entries, report.problems)

    def _categories(self, documents: dict[Path, dict[str, Any]], report: ProblemLog) -> dict[Id, str]:
        named: dict[Id, tuple[str, Path]] = {}
        for file, document in documents.items():
            # Only the faults of the file that is being read belong into its report.
            for category_id, name in _own_categories(document, report if file == report.file else ProblemLog(file)):
                first, where = named.setdefault(category_id, (name, file))
                if first != name:
                    raise DataError(
                        f"{file}: category id {category_id} is {name!r}, but {first!r} in {where}; "
                        "expected the same classes in every split: correct one, or move it to another folder"
                    )
        are_numbers = all(isinstance(category_id, int) for category_id in named)
        ordered = sorted(named, key=lambda category_id: category_id if are_numbers else 0)
        return {category_id: named[category_id][0] for category_id in ordered}


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
        return parse_json(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON ({error}); repair it, or move it out of the folder") from error


def _is_coco(document: object) -> bool:
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in _KEYS)


def _coco_document(file: Path) -> dict[str, Any]:
    document = _parse(file)
    if not isinstance(document, dict) or not _is_coco(document):
        raise DataError(f"{file} is not a COCO file: expected an object with the lists {', '.join(_KEYS)}")
    return document


def _own_categories(document: dict[str, Any], report: ProblemLog) -> Iterator[tuple[Id, str]]:
    seen: dict[str, str] = {}
    for place, category in enumerate(document["categories"], start=1):
        fields = category if isinstance(category, dict) else {}
        key, name = as_key(fields.get("id")), fields.get("name")
        if key is None or not isinstance(name, str):
            report.error(f"category {place}", f"left out: got {short(category)}, expected an id and a name")
        elif key in seen:
            report.error(f"category id {key}", f"used again for {name!r}, {seen[key]!r} stays; give it its own")
        else:
            if name in seen.values():
                report.warning(f"category id {key}", f"the name {name!r} is used twice; give each class its own")
                name = f"{name} (id {key})"
            seen[key] = name
            yield own_id(fields["id"]), name


def _add_objects(
    annotations: list[Any], images: CocoImages, categories: dict[str, Id], report: ProblemLog, *, keep_shapes: bool
) -> None:
    seen: Counter[str] = Counter()
    for place, annotation in enumerate(annotations, start=1):
        fields = annotation if isinstance(annotation, dict) else {}
        key, image_key = as_key(fields.get("id")), as_key(fields.get("image_id"))
        record = f"annotation {place}" if key is None else f"annotation id {key}"
        if key is not None and (seen.update([key]) or seen[key] > 1):
            report.warning(record, "the id is used more than once; kept, give each annotation its own")
        entry = None if image_key is None else images.by_key.get(image_key)
        if entry is not None:
            _add_object(fields, entry, categories, record, report, keep_shapes=keep_shapes)
        elif image_key not in images.left_out:
            got = short(fields.get("image_id"))
            report.error(record, f"left out: image id {got} is not among the images; add it or remove this")


def _add_object(
    fields: dict[str, Any],
    entry: ImageEntry,
    categories: dict[str, Id],
    record: str,
    report: ProblemLog,
    *,
    keep_shapes: bool,
) -> None:
    box = _box(fields)
    if box is None:
        report.error(
            record, f"left out: bbox is {short(fields.get('bbox'))}, expected four numbers x, y, width, height"
        )
        entry.lost.append(record)
        return
    category_id, crowd = fields.get("category_id"), fields.get("iscrowd", 0)
    key = as_key(category_id)
    if key not in categories and not isinstance(category_id, int):
        report.error(record, f"left out: category_id is {short(category_id)}, expected the id of one of the categories")
        key = None
    if crowd not in (0, 1, None):
        report.warning(record, f"iscrowd is {short(crowd)}, expected 0 or 1; taken as an ordinary object")
    own = None if key is None else categories.get(key, key)
    shape = fields.get("segmentation") if keep_shapes else None
    entry.objects.append(ObjectEntry(record, box, own, crowd == 1, as_number(fields.get("area")), shape))


def _box(fields: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Corners of the bbox, or where there is none, of the box around the polygon or mask."""
    bbox = fields.get("bbox")
    numbers = [as_number(value) for value in bbox] if isinstance(bbox, list) else []
    if len(numbers) == 4 and None not in numbers:
        x, y, width, height = (number for number in numbers if number is not None)
        return x, y, x + width, y + height
    return None if bbox else _box_around(fields.get("segmentation"))


def _box_around(segmentation: Any) -> tuple[float, float, float, float] | None:
    if isinstance(segmentation, dict):
        return _box_of_mask(segmentation)
    polygons = segmentation if isinstance(segmentation, list) else []
    polygons = [polygons] if polygons and as_number(polygons[0]) is not None else polygons
    numbers = [as_number(value) for polygon in polygons if isinstance(polygon, list) for value in polygon]
    if len(numbers) < 6 or len(numbers) % 2 or None in numbers:
        return None
    xs, ys = (np.array(numbers[first::2], dtype=float) for first in (0, 1))
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def _box_of_mask(rle: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Of a run-length mask, packed or not."""
    size, counts = rle.get("size"), rle.get("counts")
    try:
        height, width = iter(size or ())
        packed = {"size": size, "counts": counts.encode()} if isinstance(counts, str) else _pack(counts, height, width)
        x, y, right, bottom = mask.toBbox([packed])[0].tolist()
    except (TypeError, ValueError, OverflowError, AttributeError):  # what is no mask
        return None
    return x, y, x + right, y + bottom


def _pack(runs: Any, height: int, width: int) -> Any:
    """Raises ValueError: the runs do not fill the mask."""
    if min(runs) < 0 or sum(runs) != height * width:
        raise ValueError
    return mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
