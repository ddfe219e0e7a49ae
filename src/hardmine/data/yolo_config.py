"""What a YOLO data set says of itself: `data.yaml` of today's tools, darknet's `obj.data`, lists of names, or nothing.

YAML is read as text throughout: "no", "on", "1.0" and "2024-01-01" are names as good as any, and no tag builds an
object. What anchors stand for is written out up to a bound, so that a small file cannot grow without end.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hardmine.data.problems import short
from hardmine.data.splits import canonical_split
from hardmine.errors import DataError
from hardmine.files.reading import read_text

__all__ = ["YoloConfig", "names_in_folders", "read_darknet", "read_yaml", "read_yolo_yaml"]

_SPLITS = ("train", "val", "valid", "validation", "test")
_EMPTY = ("", "~", "null", "Null", "NULL")
_MERGE = "tag:yaml.org,2002:merge"
_TAGS = (
    _MERGE,
    *(f"tag:yaml.org,2002:{k}" for k in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map", "value")),
)
_LARGEST_YAML = 2**20  # bytes; 20,000 names are half of it
_LONGEST = 2**22  # characters of all texts, with what anchors stand for written out
_MOST_CLASSES = 100_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where it is installed: fifty times as fast


@dataclass(frozen=True, slots=True)
class YoloConfig:
    """What a file declares of its data set; places and `path` as written.

    names: by class id; None: not given.  keypoints: how many a line has, and numbers each; None: lines have none.
    """

    file: Path
    path: str
    places: dict[str, list[str]]  # by split
    names: dict[int, str] | None
    keypoints: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()  # what is left out

    @property
    def folder(self) -> Path:
        """Which holds the data set; the file itself, where that is a folder."""
        return self.file if self.file.is_dir() else self.file.parent


def read_yolo_yaml(file: Path) -> YoloConfig:
    """A `data.yaml`, by whatever name.

    Raises: DataError: it is no YAML, or its splits, names or kpt_shape are not usable.
    """
    fields = read_yaml(file)
    if not isinstance(fields, dict):
        raise DataError(f"{file} is not a YOLO data file: expected keys train, val and names")
    names, warnings = _told_apart(_declared_names(fields, file))
    path, places = _text(fields.get("path", ""), "path", file), _places(fields, file)
    return YoloConfig(file, path, places, names, _keypoints(fields, file), tuple(warnings))


def read_yaml(file: Path, longest: int = _LONGEST) -> Any:
    """The one document of a file: every mapping a dict, every sequence a list, every scalar its text as written.

    Raises: DataError: it is no YAML, a key stands twice, or written out it has more characters than `longest`.
    """
    try:
        root = yaml.compose(read_text(file, _LARGEST_YAML), Loader=_LOADER)
        return None if root is None else _AsText(longest).of(root)
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{file} is not readable YAML ({error}); repair it") from error


class _AsText:
    """Turns nodes into texts, lists and dicts. Raises ValueError: what cannot be text, or is longer than allowed."""

    def __init__(self, longest: int):
        self._left = longest

    def of(self, node: yaml.Node) -> Any:
        self._left -= 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if self._left < 0:
            raise ValueError("its anchors make it grow too long when written out")
        if node.tag not in _TAGS:
            raise ValueError(f"the tag {node.tag!r} is refused")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        return [self.of(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else node.value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, value = self.of(key_node), self.of(value_node)
            if key_node.tag == _MERGE:  # <<: takes the keys of other mappings, the first before the next
                for other in reversed(value if isinstance(value, list) else [value]):
                    merged |= dict(other)
            elif not isinstance(key, str) or key in own:
                raise ValueError(f"the key {short(key)} is no text or stands twice")
            else:
                own[key] = value
        return merged | own


def _text(value: Any, key: str, file: Path) -> str:
    if not isinstance(value, str):
        raise DataError(f"{file}: {key} is {short(value)}, expected a path")
    return "" if value in _EMPTY else value


def _places(fields: Mapping[str, Any], file: Path) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for key in _SPLITS:
        value = fields.get(key, "")
        texts = [_text(item, key, file) for item in (value if isinstance(value, list) else [value])]
        texts = [text for text in texts if text]
        split = canonical_split(key)
        if texts and places.setdefault(split, texts) != texts:
            raise DataError(f"{file}: {key} and {split} are one split, but name two places; remove one of them")
    return places


def _declared_names(fields: Mapping[str, Any], file: Path) -> dict[int, str]:
    names, count = fields.get("names", ""), _whole(fields.get("nc"))
    if names in _EMPTY and count is not None and 0 < count <= _MOST_CLASSES:
        return {number: str(number) for number in range(count)}
    listed = names.items() if isinstance(names, dict) else enumerate(names if isinstance(names, list) else [])
    by_id = {_whole(number): name for number, name in listed}
    are_texts = all(isinstance(name, str) for name in by_id.values())
    if not by_id or len(by_id) != len(names) or None in by_id or not are_texts:
        raise DataError(
            f"{file}: names is not usable; expected a list of class names, or a mapping from class id to name"
        )
    if count is not None and count != len(by_id):
        raise DataError(f"{file}: nc is {count}, but there are {len(by_id)} names; correct one")
    return {number: by_id[number] for number in sorted(number for number in by_id if number is not None)}


def _whole(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 19 else None


def _told_apart(names: Mapping[int, str]) -> tuple[dict[int, str], list[str]]:
    """The names, of equal ones the later with their id; and what is to be said of these."""
    apart: dict[int, str] = {}
    warnings = []
    for number, name in names.items():
        is_new = name not in apart.values()
        apart[number] = name if is_new else f"{name} (id {number})"
        warnings += [] if is_new else [f"class {number}: the name {name!r} is used twice; give each class its own"]
    return apart, warnings


def _keypoints(fields: Mapping[str, Any], file: Path) -> tuple[int, int] | None:
    shape = fields.get("kpt_shape", "")
    if shape in _EMPTY:
        return None
    numbers = [_whole(item) for item in shape] if isinstance(shape, list) else []
    if len(numbers) == 2 and numbers[0] is not None and 0 < numbers[0] <= 10_000 and numbers[1] in (2, 3):
        return numbers[0], numbers[1]
    raise DataError(f"{file}: kpt_shape is {short(shape)}, expected how many keypoints, and 2 or 3 numbers each")


def read_darknet(file: Path) -> YoloConfig:
    """A darknet `*.data` file, of lines like "train = data/train.txt"; the names are in a file of their own.

    Raises: DataError: it names no list of images, or the names cannot be read.
    """
    pairs = (line.partition("=") for line in read_text(file).splitlines() if not line.lstrip().startswith("#"))
    fields = {key.strip(): value.strip() for key, equals, value in pairs if equals}
    places = _places(fields, file)
    if not places:
        raise DataError(f"{file} names no split; expected lines like 'train = data/train.txt'")
    listed = file.parent / Path(fields.get("names", "")).name
    if "names" in fields and not listed.is_file():
        raise DataError(f"{file}: the names are missing, expected in {listed}; add the file or remove the line")
    names, warnings = _told_apart(_names_of_lines(listed)) if "names" in fields else (None, [])
    return YoloConfig(file, "", places, names, warnings=tuple(warnings))


def names_in_folders(folders: Iterable[Path]) -> tuple[dict[int, str], list[str]] | None:
    """Class names that lie in a file of their own in one of the folders, and what is to be said of them.

    Raises: DataError: two files have other names.
    """
    found = {file: names for folder in folders for file, names in _name_files(folder)}
    if not found:
        return None
    (first, names), *others = found.items()
    for other, others_names in others:
        if others_names != names:
            raise DataError(f"{first} and {other} do not name the same classes; remove one of them")
    return _told_apart(names)


def _name_files(folder: Path) -> Iterable[tuple[Path, dict[int, str]]]:
    for file in (folder / "classes.txt", *sorted(folder.glob("*.names")), folder / "_darknet.labels"):
        if file.is_file():
            yield file, _names_of_lines(file)
            return
    notes = folder / "notes.json"  # of Label Studio
    names = _names_of_notes(notes) if notes.is_file() else {}
    if names:
        yield notes, names


def _names_of_lines(file: Path) -> dict[int, str]:
    names = [line.strip() for line in read_text(file).rstrip().splitlines()]
    if "" in names:
        raise DataError(
            f"{file}: line {names.index('') + 1} is empty; expected the name of a class a line, without gaps"
        )
    return dict(enumerate(names))


def _names_of_notes(file: Path) -> dict[int, str]:
    """By what Label Studio calls categories; none if the file is something else."""
    try:
        notes = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return {}
    listed = notes.get("categories") if isinstance(notes, dict) else None
    pairs = [(item.get("id"), item.get("name")) for item in listed or () if isinstance(item, dict)]
    return {number: name for number, name in pairs if isinstance(number, int) and isinstance(name, str)}
