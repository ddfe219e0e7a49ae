"""Which class a pixel's value, or its colour, stands for.

By itself the value of a pixel is the label, counted from 0 in the order of the class names, and 255 is ignored. Where
masks hold other numbers, or colours, a mapping says which class each is:

    ("road", "sky")                                  0 road, 1 sky, 255 ignored
    {7: "road", 8: "road", 23: "sky", 0: "ignored"}  labels in order of first mention; `ignored` is no class
    {(128, 64, 128): "road", (70, 130, 180): "sky"}  masks in colours, of RGB or a palette

A file can say the same, a class a line, as tools write it:

    classes.txt       road                           one name a line, the first is value 0
    labels.txt        7: road                        (COCO stuff)
    _classes.csv      7, road                        (Roboflow)
    class_dict.csv    road, 128, 64, 128
    labelmap.txt      road:128,64,128::              (CVAT)
    label_colors.txt  128 64 128 road                (CamVid)
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardmine.core.pixels import IGNORED
from hardmine.data.problems import short
from hardmine.data.yolo_config import read_yolo_yaml
from hardmine.errors import DataError
from hardmine.files.reading import read_text

__all__ = ["CLASS_FILES", "CLASS_SUFFIXES", "Classes", "Colour", "Wanted", "find_class_list", "read_class_list"]

Colour = tuple[int, int, int]
Wanted = Sequence[str] | Mapping[int, str] | Mapping[Colour, str]
"""How a user gives classes: names in order, or what each value or colour stands for."""

CLASS_FILES = (
    "classes.txt", "labels.txt", "labelmap.txt", "label_colors.txt", "class_dict.csv", "_classes.csv", "classes.csv",
    "data.yaml", "dataset.yaml",
)  # fmt: skip
CLASS_SUFFIXES = (".txt", ".csv", ".yaml", ".yml")
_IGNORED_NAME = "ignored"
_LARGEST_VALUE = 2**16 - 1
_BYTE = r"\s*(\d{1,3})\s*"
_FORMS = {  # of a line, tried in this order
    "a colour and a name": re.compile(rf"^{_BYTE}[\s,]{_BYTE}[\s,]{_BYTE}[\s,]\s*(?P<name>\D.*)$"),
    "a name and a colour": re.compile(rf"^(?P<name>[^:,]+)[:,]{_BYTE},{_BYTE},{_BYTE}(?::.*)?$"),
    "a value and a name": re.compile(r"^\s*(\d{1,5})\s*[:,;\t]\s*(?P<name>\D.*)$"),
}
_HEADER = re.compile(r"^\s*(#|name\s*,\s*r\b|r\s*,\s*g\s*,|pixel value\s*,|value\s*,|id\s*,)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set. labels: of each pixel value, or of each colour as one number r·65536 + g·256 + b.

    are_instances: every value above 0 numbers an object, which are all of the second class.
    """

    names: tuple[str, ...]
    labels: Mapping[int, int]
    are_colours: bool = False
    are_instances: bool = False

    @classmethod
    def of(cls, wanted: Wanted, where: object = "classes") -> "Classes":
        """Raises: DataError: no class, names or values that cannot be such, or values and colours mixed."""
        if not isinstance(wanted, Mapping):
            if repeated := [name for name, count in Counter(wanted).items() if count > 1 and name != _IGNORED_NAME]:
                raise DataError(f"{where}: the name {repeated[0]!r} is used twice; give each class its own")
            wanted = dict(enumerate(wanted))
        are_colours = all(isinstance(value, tuple) for value in wanted)
        if not wanted or not all(map(_is_colour if are_colours else _is_value, wanted)):
            raise DataError(
                f"{where}: got {short([str(value) for value in wanted])}; expected at least one class, and as keys "
                f"either pixel values from 0 to {_LARGEST_VALUE} or colours (r, g, b), each from 0 to 255"
            )
        names = tuple(dict.fromkeys(name for name in wanted.values() if name != _IGNORED_NAME))
        if not names or not all(isinstance(name, str) and name for name in names):
            raise DataError(f"{where}: got {short(list(names))}; expected the name of at least one class")
        label_of = {name: label for label, name in enumerate(names)} | {_IGNORED_NAME: IGNORED}
        labels = {_packed(value): label_of[name] for value, name in wanted.items()}
        return cls(names, labels if are_colours else {IGNORED: IGNORED} | labels, are_colours)

    @classmethod
    def of_instances(cls, wanted: Wanted, where: object) -> "Classes":
        """Masks in which 0 is the first class and every other value an object of the second."""
        if isinstance(wanted, Mapping) or len(wanted) != 2:
            raise DataError(
                f"{where}: masks that number objects have two classes, what is no object and what is one; got "
                f"{short(list(wanted))}"
            )
        return cls(tuple(wanted), {0: 0}, are_instances=True)

    def label(self, values: np.ndarray, where: object) -> np.ndarray:
        """(H, W) uint8 labels of pixel values (H, W), or of colours (H, W, 3).

        Raises: DataError: a value, or a colour, that stands for no class; the message names the most frequent.
        """
        values = _in_one_number(values) if self.are_colours else self._plain_values(values, where)
        if self.are_instances:
            return (values > 0).astype(np.uint8)
        known = np.array(sorted(self.labels), dtype=np.int64)
        place = np.searchsorted(known, values).clip(max=len(known) - 1)
        is_unknown = known[place] != values
        if is_unknown.any():
            raise DataError(self._unknown(*np.unique(values[is_unknown], return_counts=True), where))
        return np.array([self.labels[value] for value in known.tolist()], dtype=np.uint8)[place]

    def _plain_values(self, values: np.ndarray, where: object) -> np.ndarray:
        if values.ndim == 2:
            return values
        if (values == values[..., :1]).all():  # grey that was saved as RGB
            return values[..., 0]
        colours = np.unique(_in_one_number(values))
        shown = ", ".join(map(_colour_text, colours[:4].tolist()))
        raise DataError(
            f"{where} is in colours, such as {shown}; expected one number a pixel; say which class each colour is: "
            "classes={(r, g, b): name}, or a class_dict.csv beside the masks with a line name,r,g,b for each class"
        )

    def _unknown(self, values: np.ndarray, counts: np.ndarray, where: object) -> str:
        most = int(counts.argmax())
        others = f" ({len(values) - 1} other values are unknown too)" if len(values) > 1 else ""
        if self.are_colours:
            return (
                f"{where}: the colour {_colour_text(int(values[most]))} of {counts[most]} pixels stands for no "
                f"class{others}; expected {self._expected()}; add it to the classes, as {_IGNORED_NAME!r} if it is none"
            )
        hint = "; if the masks number objects, say so (instances=True, --instances)" if len(values) > 8 else ""
        return (
            f"{where}: the value {int(values[most])} of {counts[most]} pixels stands for no class{others}; expected "
            f"{self._expected()}; correct the mask, or add the value to the classes, as {_IGNORED_NAME!r} if it is "
            f"none{hint}"
        )

    def _expected(self) -> str:
        named = [
            f"{_colour_text(value) if self.are_colours else value} "
            f"({_IGNORED_NAME if label == IGNORED else self.names[label]})"
            for value, label in sorted(self.labels.items())
        ]
        return ", ".join(named if len(named) <= 8 else [*named[:6], "...", named[-1]])


def _is_value(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_VALUE


def _is_colour(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(_is_value(part) and part <= 255 for part in value)


def _packed(value: int | Colour) -> int:
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def _in_one_number(colours: np.ndarray) -> np.ndarray:
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _colour_text(packed: int) -> str:
    return str((packed >> 16, packed >> 8 & 255, packed & 255))


def find_class_list(folders: Sequence[Path]) -> tuple[Path, Wanted] | None:
    """The first file of classes in the folders, and what it says; None: there is none. Raises: as `read_class_list`."""
    for file in (folder / name for folder in folders for name in CLASS_FILES):
        if file.is_file():
            return file, read_class_list(file)
    return None


def read_class_list(file: Path) -> Wanted:
    """The classes that a file names, in any of the forms above, or as `names` of a data.yaml.

    Raises: DataError: it cannot be read, or its lines are of several forms.
    """
    if file.suffix.lower() in (".yaml", ".yml"):
        return read_yolo_yaml(file).names or {}
    lines = [line.strip() for line in read_text(file).splitlines()]
    lines = [line for line in lines if line and not _HEADER.match(line)]
    for form, pattern in _FORMS.items():
        found = [pattern.match(line) for line in lines]
        if any(found):
            return _of_matches(found, lines, form, file)
    return lines


def _of_matches(
    found: Sequence[re.Match[str] | None], lines: Sequence[str], form: str, file: Path
) -> Mapping[int, str] | Mapping[Colour, str]:
    wanted = {}
    for match, line in zip(found, lines, strict=True):
        if match is None:
            raise DataError(f"{file}: got the line {short(line)}, expected {form} as in the other lines; correct it")
        value = _value_in(match)
        if value in wanted:
            raise DataError(f"{file}: got {value} again in the line {short(line)}; name each only once")
        wanted[value] = match["name"].strip()
    return wanted


def _value_in(match: re.Match[str]) -> int | tuple[int, ...]:
    numbers = tuple(
        int(part) for place, part in enumerate(match.groups(), start=1) if place != match.re.groupindex["name"]
    )
    return numbers[0] if len(numbers) == 1 else numbers
