"""Any data set as Pascal VOC.

    OUT/Annotations/NAME.xml, OUT/JPEGImages/NAME.EXT, OUT/ImageSets/Main/SPLIT.txt

Coordinates are written as they are, with all their digits; whole numbers without a point, for readers that take no
others. Crowds and places that could not be read are `difficult`: neither object nor background. XML has no control
characters: those of class names are written as escapes.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from hardmine.data.records import DetectionDataset, ImageRecord, with_crowds
from hardmine.files.writing import write_atomically

__all__ = ["ANNOTATIONS", "LISTS", "PICTURES", "write_annotation", "write_names"]

ANNOTATIONS, PICTURES, LISTS = "Annotations", "JPEGImages", "ImageSets/Main"
NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write_annotation(out: Path, record: ImageRecord, place: PurePosixPath, dataset: DetectionDataset) -> None:
    """The xml of an image that lies at this place below the pictures."""
    for label in range(len(dataset.classes)):
        record = with_crowds(record, record.regions, label) if len(record.regions) else record
    root = ElementTree.Element("annotation")
    _add(root, "folder", PICTURES)
    _add(root, "filename", place.as_posix())
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", record.width), ("height", record.height), ("depth", 3)):
        _add(size, name, str(value))
    _add(root, "segmented", "0")
    for box, label, is_crowd in zip(record.boxes, record.labels.tolist(), record.is_crowd, strict=True):
        _add_object(root, dataset.classes[label], box, is_difficult=bool(is_crowd))
    ElementTree.indent(root)
    file = out / ANNOTATIONS / place.with_suffix(".xml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ElementTree.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


def write_names(out: Path, split: str, places: Sequence[PurePosixPath]) -> None:
    """The list of the images of a split, by their names without the suffix."""
    file = out / LISTS / f"{split}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, "".join(f"{place.with_suffix('').as_posix()}\n" for place in places).encode())


def _add_object(root: ElementTree.Element, name: str, box: np.ndarray, *, is_difficult: bool) -> None:
    element = ElementTree.SubElement(root, "object")
    _add(element, "name", NOT_IN_XML.sub(lambda found: ascii(found[0])[1:-1], name))
    for tag, text in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", str(int(is_difficult)))):
        _add(element, tag, text)
    corners = ElementTree.SubElement(element, "bndbox")
    for corner, value in zip(CORNERS, box, strict=True):
        _add(corners, corner, np.format_float_positional(value, trim="-"))


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text
