"""Suspects as work for the tools that people correct labels in: CVAT and Label Studio.

Both get the images with a suspect, the most suspect first, with all labels that these have, and the missing ones as
boxes of their own. What is suspect about a box is said beside it.
"""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import polars as pl

from hardmine.boxes import SIDES
from hardmine.mining.suspect_table import SUGGESTED

__all__ = ["LABEL_STUDIO_FILES", "cvat", "label_studio"]

ATTRIBUTES = ("suspect", "probability")
"""What CVAT is told of a suspect box."""
LABEL_STUDIO_FILES = "/data/local-files/?d="
"""How Label Studio is told of a file in its local storage."""


def label_studio(images: pl.DataFrame, objects: pl.DataFrame, suspects: pl.DataFrame) -> list[dict[str, Any]]:
    """Tasks with pre-annotations: https://labelstud.io/guide/predictions. The interface must have an `Image` called
    `image` and `RectangleLabels` called `label`.
    """
    return [_task(image, boxes) for image, boxes in _work(images, objects, suspects)]


def cvat(images: pl.DataFrame, objects: pl.DataFrame, suspects: pl.DataFrame) -> bytes:
    """Annotations in "CVAT for images 1.1". Labels that have text attributes called `suspect` and `probability` show
    what is suspect; others leave it out.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    work = _work(images, objects, suspects)
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for name in sorted({box["category"] for _, boxes in work for box in boxes}):
        _add_label(labels, name)
    for number, (image, boxes) in enumerate(work):
        size = {name: str(image[name]) for name in ("width", "height")}
        element = ElementTree.SubElement(root, "image", {"id": str(number), "name": image["file_name"], **size})
        for box in boxes:
            _add_box(element, box)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _work(
    images: pl.DataFrame, objects: pl.DataFrame, suspects: pl.DataFrame
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each image with a suspect and the boxes to show on it."""
    columns = ("image_id", "category", *SIDES, "kind", "probability")
    reasons = suspects.filter(pl.col("object").is_not_null()).select("object", "kind", "probability")
    labels = objects.drop("kind").join(reasons, on="object", how="left", maintain_order="left").select(columns)
    proposed = {SUGGESTED[name]: name for name in ("category", *SIDES)}
    missing = suspects.filter(pl.col("kind") == "missing").drop(proposed.values()).rename(proposed).select(columns)
    boxes = pl.concat([labels, missing]).partition_by("image_id", as_dict=True)
    first = suspects.select("image_id").unique(maintain_order=True).join(images, on="image_id", maintain_order="left")
    return [(image, boxes[image["image_id"],].to_dicts()) for image in first.to_dicts()]


def _task(image: Mapping[str, Any], boxes: list[dict[str, Any]]) -> dict[str, Any]:
    regions = [_region(f"box{number}", image, box) for number, box in enumerate(boxes)]
    score = max(box["probability"] or 0 for box in boxes)
    return {
        "data": {"image": LABEL_STUDIO_FILES + image["file_name"]},
        "predictions": [{"model_version": "hardmine", "score": score, "result": regions}],
    }


def _region(name: str, image: Mapping[str, Any], box: Mapping[str, Any]) -> dict[str, Any]:
    """Label Studio's boxes are in percent of the image."""
    across, down = 100 / image["width"], 100 / image["height"]
    region = {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": image["width"],
        "original_height": image["height"],
        "value": {
            "x": box["x1"] * across,
            "y": box["y1"] * down,
            "width": (box["x2"] - box["x1"]) * across,
            "height": (box["y2"] - box["y1"]) * down,
            "rotation": 0,
            "rectanglelabels": [box["category"]],
        },
    }
    if box["kind"] is None:
        return region
    return region | {"score": box["probability"], "meta": {"text": [f"{box['kind']}, {box['probability']:.2f}"]}}


def _add_label(labels: ElementTree.Element, name: str) -> None:
    label = ElementTree.SubElement(labels, "label")
    ElementTree.SubElement(label, "name").text = name
    attributes = ElementTree.SubElement(label, "attributes")
    for attribute in ATTRIBUTES:
        element = ElementTree.SubElement(attributes, "attribute")
        for field, value in {"name": attribute, "mutable": "False", "input_type": "text"}.items():
            ElementTree.SubElement(element, field).text = value


def _add_box(image: ElementTree.Element, box: Mapping[str, Any]) -> None:
    corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{box[side]:.2f}" for side in SIDES), strict=True))
    element = ElementTree.SubElement(
        image, "box", {"label": box["category"], "occluded": "0", "source": "auto", **corners}
    )
    if box["kind"] is not None:
        for name, text in zip(ATTRIBUTES, (box["kind"], f"{box['probability']:.2f}"), strict=True):
            ElementTree.SubElement(element, "attribute", {"name": name}).text = text
