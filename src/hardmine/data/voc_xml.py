"""One Pascal VOC xml: its root, the size that it states, and the objects in it, as entries."""

import codecs
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from hardmine.data.entries import Id, ImageEntry, ObjectEntry
from hardmine.data.problems import ProblemLog
from hardmine.errors import DataError
from hardmine.files.reading import read_bytes

__all__ = ["add_objects", "class_names", "parse_annotation", "stated_size"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ROTATED = ("cx", "cy", "w", "h", "angle")
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")

Box = tuple[float, float, float, float]


def parse_annotation(file: Path) -> Element | DataError:
    """The xml's root, or what is wrong with the file: that is for the split that lists it to report."""
    try:
        root = ElementTree.fromstring(_without_rare_encoding(read_bytes(file)))
    except DefusedXmlException:
        return DataError("the xml declares entities, which could make it grow without bound; remove the declarations")
    except DataError as error:
        return error
    except (ParseError, ValueError, LookupError) as error:
        return DataError(f"not readable as xml ({error}); repair it")
    if root.tag != "annotation":
        return DataError(f"the xml's root is <{root.tag}>, expected <annotation>")
    return root


def _without_rare_encoding(content: bytes) -> bytes | str:
    """The parser knows no encodings of several bytes but UTF; a file that declares another is decoded before.

    Raises: LookupError, ValueError: there is no such encoding, or it is not in that.
    """
    declared = _DECLARED.match(content)
    if declared is None or codecs.lookup(declared[1].decode()).name.startswith("utf"):
        return content
    return content[declared.end() :].decode(declared[1].decode())


def class_names(roots: Iterable[Element | DataError]) -> list[str]:
    """Of all objects, sorted."""
    parsed = [root for root in roots if not isinstance(root, DataError)]
    return sorted({name for root in parsed for element in root.findall("object") if (name := _name_of(element))})


def _name_of(element: Element) -> str:
    return (element.findtext("name") or "").strip()


def stated_size(root: Element) -> tuple[int, int] | None:
    """Width and height; None where tools left them out or wrote 0."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def add_objects(root: Element, entry: ImageEntry, categories: Mapping[Id, str], report: ProblemLog) -> None:
    """Every object of the xml; what cannot be read is reported, and stays with its place where that is known."""
    ids = {name: number for number, name in categories.items()}
    others = []
    for place, element in enumerate(root.findall("object"), start=1):
        if (element.findtext("deleted") or "").strip() == "1":  # LabelMe keeps what was removed
            continue
        record, name, box = f"object {place}", _name_of(element), _box(element)
        if box is None:
            report.error(record, f"left out: {_corners_written(element)}")
            entry.lost.append(record)
            continue
        if not name:
            report.error(record, "left out: it has no name, expected the name of its class")
        is_difficult = (element.findtext("difficult") or "").strip().lower() in ("1", "true")
        entry.objects.append(ObjectEntry(record, box, ids.get(name), is_difficult))
        others += [record] if element.find("bndbox") is None else []
    if others:
        report.warning(others[0], f"{len(others)} objects have no bndbox: the box around their polygon is used")


def _corners_written(element: Element) -> str:
    written = ", ".join((element.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS)
    return f"bndbox is ({written}), expected numbers {', '.join(_CORNERS)}"


def _box(element: Element) -> Box | None:
    """Corners as written, or of the box around a rotated one or a polygon, where there is no other."""
    if element.find("bndbox") is not None:
        x1, y1, x2, y2 = (_number(element.findtext(f"bndbox/{corner}")) for corner in _CORNERS)
        return None if x1 is None or y1 is None or x2 is None or y2 is None else (x1, y1, x2, y2)
    if element.find("robndbox") is not None:
        return _around_rotated([_number(element.findtext(f"robndbox/{part}")) for part in _ROTATED])
    return _around_polygon(element.find("polygon"))


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").strip())
    except ValueError:
        return None


def _around_rotated(parts: list[float | None]) -> Box | None:
    """Of centre, sides and an angle in radians, as roLabelImg writes them."""
    x, y, width, height, angle = (math.nan if part is None else part for part in parts)
    if not all(map(math.isfinite, (x, y, width, height, angle))):
        return None
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    return x - half_x, y - half_y, x + half_x, y + half_y


def _around_polygon(polygon: Element | None) -> Box | None:
    """Of points that are written as x1, y1, x2, ... or as an x and a y each."""
    elements = [] if polygon is None else list(polygon.iter())
    xs, ys = ([_number(e.text) for e in elements if re.fullmatch(rf"{axis}\d*", e.tag)] for axis in ("x", "y"))
    numbers = [number for number in (*xs, *ys) if number is not None and math.isfinite(number)]
    if len(xs) != len(ys) or len(xs) < 3 or len(numbers) != 2 * len(xs):
        return None
    return min(numbers[: len(xs)]), min(numbers[len(xs) :]), max(numbers[: len(xs)]), max(numbers[len(xs) :])
