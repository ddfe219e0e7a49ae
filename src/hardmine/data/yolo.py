"""YOLO: one text file per image in `labels/`, a line per object: class, centre x, centre y, width, height as fractions.

`data.yaml` says where the splits' images are and how classes are called; folders `images/` and `labels/` alone are
read too, with names from `classes.txt` or else numbers. The labels of `images/train/a.jpg` are in
`labels/train/a.txt`. An image without a label file, or with an empty one, is a background image, and valid.

Convention: class ids are the file's own, usually from 0. A line with more fields is a polygon, read as its bounding
box. Unlike in ultralytics, folders named in `data.yaml` must be below it: a downloaded file cannot make us read
elsewhere.
"""

from collections.abc import Iterable
from pathlib import Path

import yaml

from hardmine.data.entries import ImageEntry, ObjectEntry, Reading, SplitEntries
from hardmine.data.paths import IMAGE_SUFFIXES, images_in, is_file, join_inside
from hardmine.data.problems import ProblemLog
from hardmine.data.splits import SPLIT_WORD, canonical_split, order_splits
from hardmine.errors import DataError

__all__ = ["YoloSource", "find_yolo", "find_yolo_folders"]

_YAML_SPLITS = ("train", "val", "valid", "validation", "test")


def find_yolo(path: Path) -> "YoloSource | None":
    """The data set of a yaml file, or of a folder with a `data.yaml`; None if there is none.

    Raises: DataError: the yaml cannot be read, or names no split or no classes.
    """
    file = path if path.is_file() else next((f for f in (path / "data.yaml", path / "data.yml") if f.is_file()), None)
    if file is None:
        return None
    config = _parse_yaml(file)
    root = _below(file.parent, str(config.get("path") or "."), file)
    splits = {
        canonical_split(key): [_below(root, str(place), file) for place in _as_list(config[key])]
        for key in _YAML_SPLITS
        if config.get(key)
    }
    if not splits:
        raise DataError(f"{file} names no split; expected train, val or test with a folder of images")
    return YoloSource(path, splits, _names(config, file))


def find_yolo_folders(path: Path) -> "YoloSource | None":
    """The data set of `images/` beside `labels/`, split by folders below them or above them; None if there is none."""
    splits = {"all": [path / "images"]} if (path / "labels").is_dir() and (path / "images").is_dir() else {}
    if splits:
        below = [folder for folder in sorted((path / "images").iterdir()) if folder.is_dir()]
        splits = {_split_of(folder.name): [folder] for folder in below} or splits
    else:
        beside = [folder for folder in sorted(path.iterdir()) if (folder / "images").is_dir()]
        splits = {_split_of(f.name): [f / "images"] for f in beside if (f / "labels").is_dir()}
    return YoloSource(path, splits, _names_without_yaml(path, splits)) if splits else None


class YoloSource:
    """Image folders (or lists of images) by split, and the names of the classes by id."""

    format = "YOLO"
    takes_images = False
    default_split = None

    def __init__(self, path: Path, places: dict[str, list[Path]], names: dict[int, str]):
        self.path, self._places, self._names = path, places, names
        self.splits = order_splits(places)

    def read(self, split: str, reading: Reading) -> SplitEntries:
        """Every image of the split by name, with ids from 1, and the objects of its label file."""
        report = ProblemLog(self.path)
        files = [file for place in self._places[split] for file in _images_of(place, report)]
        for place in self._places[split]:
            _report_labels_without_image(place, report)
        numbered = enumerate(sorted(dict.fromkeys(files)), start=1)
        entries = [entry for number, file in numbered if (entry := _entry(number, file, report)) is not None]
        return SplitEntries(dict(self._names), entries, report.problems)


def _parse_yaml(file: Path) -> dict[str, object]:
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{file} is not readable YAML ({error}); repair it") from error
    if not isinstance(config, dict):
        raise DataError(f"{file} is not a YOLO data file: expected keys train, val and names")
    return config


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _below(root: Path, place: str, yaml_file: Path) -> Path:
    """The place under the root. Roboflow writes "../train/images" for a folder beside its yaml: that is understood."""
    relative = place.removeprefix("../") if not (root / place).exists() else place
    try:
        return join_inside(root, relative)
    except DataError as error:
        if relative in (".", "./"):
            return root
        raise DataError(f"{yaml_file}: {error}, or move the yaml to the top of the data set") from error


def _names(config: dict[str, object], file: Path) -> dict[int, str]:
    names, count = config.get("names"), config.get("nc")
    if names is None and isinstance(count, int) and 0 < count <= 100_000:
        return {number: str(number) for number in range(count)}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(number, int) for number in names):
        raise DataError(
            f"{file}: names is not usable; expected a list of class names, or a mapping from class id to name"
        )
    if isinstance(count, int) and count != len(names):
        raise DataError(f"{file}: nc is {count}, but there are {len(names)} names; correct one")
    return {number: str(names[number]) for number in sorted(names)}


def _split_of(folder_name: str) -> str:
    word = SPLIT_WORD.match(folder_name)
    return folder_name if word is None else canonical_split(word[0])


def _names_without_yaml(path: Path, splits: dict[str, list[Path]]) -> dict[int, str]:
    listed = next((f for f in (path / "classes.txt", path / "labels" / "classes.txt") if f.is_file()), None)
    if listed is not None:
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        return dict(enumerate(line.strip() for line in lines if line.strip()))
    files = (file for places in splits.values() for place in places for file in _label_files(place))
    numbers = {int(first) for file in files for first in _first_fields(file) if first.isdecimal() and len(first) < 6}
    return {number: str(number) for number in range(max(numbers, default=0) + 1)}


def _first_fields(label_file: Path) -> Iterable[str]:
    lines = label_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return (line.split()[0] for line in lines if line.strip())


def _images_of(place: Path, report: ProblemLog) -> list[Path]:
    if place.suffix == ".txt" and place.is_file():
        return list(_listed_images(report.within(place)))
    if not place.is_dir():
        report.within(place).error("", "left out: there is no such folder; expected the split's images there")
    return images_in(place)


def _listed_images(report: ProblemLog) -> Iterable[Path]:
    lines = report.file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            file = join_inside(report.file.parent, line.strip())
        except DataError as error:
            report.error(f"line {number}", f"the image is left out: {error}")
            continue
        if is_file(file):
            yield file
        else:
            report.error(f"line {number}", f"the image is left out: {file} is missing; add it or remove the line")


def _label_file(image: Path) -> Path:
    return _label_folder(image.parent) / f"{image.stem}.txt"


def _label_folder(images: Path) -> Path:
    """The last `images` in the path becomes `labels`; without one, label files lie beside the images."""
    parts = list(images.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _label_files(place: Path) -> list[Path]:
    folder = _label_folder(place)
    return sorted(f for f in folder.glob("*.txt") if f.name != "classes.txt") if folder.is_dir() else []


def _report_labels_without_image(place: Path, report: ProblemLog) -> None:
    if not place.is_dir():
        return
    stems = {image.stem for image in images_in(place)}
    for file in _label_files(place):
        if file.stem not in stems:
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
            report.within(file).error(
                "", f"left out: its image is missing, expected {place / file.stem} with {suffixes}"
            )


def _entry(image_id: int, image: Path, report: ProblemLog) -> ImageEntry | None:
    file = _label_file(image)
    report = report.within(file)
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if is_file(file) else []
    except (OSError, UnicodeDecodeError) as error:
        report.error("", f"the image is left out: its labels cannot be read ({error}); repair them")
        return None
    entry = ImageEntry(image_id, image, file, "", is_normalized=True, is_numbered=True)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _add_object(line.split(), f"line {number}", entry, report)
    return entry


def _add_object(fields: list[str], record: str, entry: ImageEntry, report: ProblemLog) -> None:
    is_polygon = len(fields) >= 7 and len(fields) % 2 == 1
    if len(fields) != 5 and not is_polygon:
        report.error(record, f"left out: {len(fields)} fields, expected 5 (class, x, y, width, height) or a polygon's")
        return
    try:
        category, numbers = float(fields[0]), [float(text) for text in fields[1:]]
    except ValueError:
        report.error(record, f"left out: {' '.join(fields)[:60]!r} is not all numbers; correct it")
        return
    if not category.is_integer():
        report.error(record, f"left out: class {fields[0]} is not an integer; correct it")
        return
    if is_polygon:
        report.warning(record, "a polygon of segmentation; its bounding box is used")
        xs, ys = numbers[::2], numbers[1::2]
        box = (min(xs), min(ys), max(xs), max(ys))
    else:
        x, y, width, height = numbers
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    entry.objects.append(ObjectEntry(record, box, int(category)))
