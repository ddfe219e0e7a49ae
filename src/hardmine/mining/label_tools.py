"""Suspects as work for the tools that people correct labels in: CVAT and Label Studio.

Both get the images with a suspect, the most suspect first, with all labels that these have, and the missing ones as
boxes of their own. What is suspect about a box is said beside it. Images that are generated are left out, since there
is no file to show.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from string import Formatter
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import polars as pl

from hardmine.errors import ConfigError
from hardmine.mining.suspect_table import SUGGESTED
from hardmine.tables.columns import SIDES

__all__ = [
    "CVAT_NAMES",
    "HAS_FILE",
    "LABEL_STUDIO_FILES",
    "alike_in_cvat",
    "check_cvat_names",
    "cvat",
    "label_studio",
    "label_studio_config",
    "visible",
]

CVAT_NAMES = "{name}"
"""How CVAT calls an image, unless told otherwise: by its path below the folder of the images."""
FIRST_ID = 10**9
"""CVAT takes the id for a frame number where the name is none of the task's: beyond every task, that is an error."""
LABEL_STUDIO_FILES = "/data/local-files/?d="
"""How Label Studio is told of a file: by its path below LOCAL_FILES_DOCUMENT_ROOT, quoted."""
IMAGE, LABEL = "image", "label"
"""What Label Studio's interface calls the image and the boxes on it."""
LEAST_SIDE = 0.02
"""Pixels. A thinner box has no area once its corners are written in hundredths of a pixel, as CVAT does."""
HAS_FILE = pl.col("file_name") != ""
"""Whether there is something to show: images that are generated have no file."""
CVAT_START = """<?xml version='1.0' encoding='utf-8'?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>"""
CVAT_LABEL = """
        <label>
          <name>{name}</name>
          <attributes>
            <attribute>
              <name>suspect</name>
              <mutable>False</mutable>
              <input_type>text</input_type>
            </attribute>
            <attribute>
              <name>probability</name>
              <mutable>False</mutable>
              <input_type>text</input_type>
            </attribute>
          </attributes>
        </label>"""
CVAT_IMAGES = """
    </task>
  </meta>"""
CVAT_SUSPECT = """{start}>
      <attribute name="suspect">{kind}</attribute>
      <attribute name="probability">{probability:.2f}</attribute>
    </box>"""
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters, halves of surrogate pairs and what else no XML may hold."""


@lru_cache(2**12)
def visible(text: str) -> str:
    r"""The text with its control characters, and others that no XML may hold, as Python escapes them: `a\x01b`."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def label_studio(
    images: pl.DataFrame, objects: pl.DataFrame, suspects: pl.DataFrame, folder: str = ""
) -> Iterator[dict[str, Any]]:
    """Tasks with pre-annotations, for the interface of `label_studio_config`: https://labelstud.io/guide/predictions.

    Args: folder: the folder of the images below the document root, which Label Studio wants to be the one above it.
    """
    return (_task(image, boxes, PurePosixPath(folder)) for image, boxes in _work(images, objects, suspects))


def label_studio_config(classes: Iterable[str]) -> str:
    """The labelling interface: https://labelstud.io/tags/rectanglelabels. Label Studio refuses one that names the
    encoding it is in.
    """
    root = ElementTree.Element("View")
    ElementTree.SubElement(root, "Image", {"name": IMAGE, "value": f"${IMAGE}"})
    labels = ElementTree.SubElement(root, "RectangleLabels", {"name": LABEL, "toName": IMAGE})
    for name in classes:
        ElementTree.SubElement(labels, "Label", {"value": visible(name)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def cvat(images: pl.DataFrame, objects: pl.DataFrame, suspects: pl.DataFrame, names: str = CVAT_NAMES) -> Iterator[str]:
    """Annotations in "CVAT for images 1.1", piece by piece. Labels that have text attributes called `suspect` and
    `probability` show what is suspect; others leave it out.

    Args: names: how the task calls its images, as `check_cvat_names` says.
    """
    work = _work(images.with_columns(frame=_frame(names)), objects, suspects)
    yield CVAT_START
    yield from _cvat_labels(sorted({box["category"] for _, boxes in work for box in boxes}))
    yield CVAT_IMAGES
    yield from (_cvat_image(number, image, boxes) for number, (image, boxes) in enumerate(work, start=FIRST_ID))
    yield "\n</annotations>"


def check_cvat_names(names: str) -> None:
    """A template: `{name}` is the path of an image below the folder of the images, `{file}` its last part.

    Raises: ConfigError: another field, none, or what no file is called.
    """
    try:
        fields = [rest for _, *rest in Formatter().parse(names) if rest[0] is not None]
    except ValueError:
        fields = []
    plain = [[field, "", None] for field in _fields()]
    if not fields or any(field not in plain for field in fields) or visible(names) != names:
        raise ConfigError(
            f"cvat_names is {visible(names)!r}; expected how CVAT calls an image, with {{name}} for its path below the "
            "folder of the images or {file} for its bare name: images/{name}"
        )


def alike_in_cvat(images: pl.LazyFrame, names: str) -> pl.DataFrame:
    """The image_id of those that CVAT cannot tell apart: it knows a frame by its name without the suffix."""
    stem = _frame(names).str.replace(r"\.[^./]*$", "")
    return images.filter(HAS_FILE).filter(pl.len().over(stem) > 1).select("image_id").collect()


def _fields() -> dict[str, pl.Expr]:
    name = pl.col("file_name")
    return {"name": name, "file": name.str.split("/").list.last()}


def _frame(names: str) -> pl.Expr:
    """What CVAT calls the image of a row."""
    parts = [(pl.lit(text), field) for text, field, _, _ in Formatter().parse(names)]
    return pl.concat_str([part for text, field in parts for part in (text, *([_fields()[field]] if field else []))])


def _work(
    images: pl.DataFrame, objects: pl.DataFrame, suspects: pl.DataFrame
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each image with a suspect and the boxes to show on it: those of a class."""
    columns = ("image_id", "category", *SIDES, "kind", "probability")
    reasons = suspects.filter(pl.col("object").is_not_null()).select("object", "kind", "probability")
    readable = objects.filter(pl.col("category").is_not_null())
    labels = readable.drop("kind").join(reasons, on="object", how="left", maintain_order="left").select(columns)
    proposed = {SUGGESTED[name]: name for name in ("category", *SIDES)}
    missing = suspects.filter(pl.col("kind") == "missing").drop(proposed.values()).rename(proposed).select(columns)
    boxes: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for box in _clipped(pl.concat([labels, missing]), images).iter_rows(named=True):
        boxes[box["image_id"]].append(box)
    first = suspects.select("image_id").unique(maintain_order=True).join(images, on="image_id", maintain_order="left")
    return [(image, boxes[image["image_id"]]) for image in first.filter(HAS_FILE).iter_rows(named=True)]


def _clipped(boxes: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """What of the boxes lies in their images, without those of which nothing does: neither tool can hold more."""
    of_images = boxes.join(images.select("image_id", "width", "height"), on="image_id", maintain_order="left")
    limits = zip(SIDES, ("width", "height") * 2, strict=True)
    inside = of_images.with_columns(pl.col(side).clip(0, pl.col(limit)) for side, limit in limits)
    x1, y1, x2, y2 = map(pl.col, SIDES)
    return inside.filter(x2 - x1 >= LEAST_SIDE, y2 - y1 >= LEAST_SIDE)


def _task(image: Mapping[str, Any], boxes: list[dict[str, Any]], folder: PurePosixPath) -> dict[str, Any]:
    path = quote(str(folder / image["file_name"]), errors="surrogateescape")
    regions = [_region(f"box{number}", image, box) for number, box in enumerate(boxes)]
    score = max((box["probability"] or 0 for box in boxes), default=0)
    return {
        "data": {IMAGE: LABEL_STUDIO_FILES + path},
        "predictions": [{"model_version": "hardmine", "score": score, "result": regions}],
    }


def _region(name: str, image: Mapping[str, Any], box: Mapping[str, Any]) -> dict[str, Any]:
    """Label Studio's boxes are in percent of the image."""
    across, down = image["width"], image["height"]
    left, right, upper, lower = (
        100 * box["x1"] / across,
        100 * box["x2"] / across,
        100 * box["y1"] / down,
        100 * box["y2"] / down,
    )
    region = {
        "id": name,
        "type": "rectanglelabels",
        "from_name": LABEL,
        "to_name": IMAGE,
        "original_width": image["width"],
        "original_height": image["height"],
        "value": {
            "x": left,
            "y": upper,
            "width": right - left,
            "height": lower - upper,
            "rotation": 0,
            "rectanglelabels": [visible(box["category"])],
        },
    }
    if box["kind"] is None:
        return region
    return region | {"score": box["probability"], "meta": {"text": [f"{box['kind']}, {box['probability']:.2f}"]}}


def _cvat_labels(names: Sequence[str]) -> Iterator[str]:
    yield "\n      <labels>" if names else "\n      <labels />"
    yield from (CVAT_LABEL.format(name=_quoted(name)) for name in names)
    yield "\n      </labels>" if names else ""


def _cvat_image(number: int, image: Mapping[str, Any], boxes: list[dict[str, Any]]) -> str:
    name, width, height = _quoted(image["frame"]), image["width"], image["height"]
    start = f'\n  <image id="{number}" name="{name}" width="{width}" height="{height}"'
    return "".join([f"{start}>", *map(_cvat_box, boxes), "\n  </image>"]) if boxes else f"{start} />"


def _cvat_box(box: Mapping[str, Any]) -> str:
    start = (
        f'\n    <box label="{_quoted(box["category"])}" occluded="0" source="auto" '
        f'xtl="{box["x1"]:.2f}" ytl="{box["y1"]:.2f}" xbr="{box["x2"]:.2f}" ybr="{box["y2"]:.2f}"'
    )
    if box["kind"] is None:
        return f"{start} />"
    return CVAT_SUSPECT.format(start=start, kind=box["kind"], probability=box["probability"])


@lru_cache(2**12)
def _quoted(text: str) -> str:
    """Between the quotes of an attribute."""
    return escape(visible(text), {'"': "&quot;"})
