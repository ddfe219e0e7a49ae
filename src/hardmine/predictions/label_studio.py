"""Label Studio's tasks with predictions (its JSON export): rectangles in percent, as left, top, width, height.

Of the name of an image, Label Studio's own prefix of an upload is left out, and of a link to a local file all but the
file. A turned rectangle becomes the box around it.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hardmine.data.entries import as_number
from hardmine.data.paths import path_in_link
from hardmine.errors import DataError
from hardmine.predictions.found import Found
from hardmine.predictions.records import checked_record, from_records

__all__ = ["fits", "is_task", "read"]

RECTANGLE = "rectanglelabels"
UPLOAD = re.compile(r"^[0-9a-f]{8}-")


def fits(document: Any) -> bool:
    """Whether it is a list of tasks."""
    return isinstance(document, list) and bool(document) and all(is_task(task) for task in document)


def read(document: Any, source: str, box_format: str | None) -> Found:
    """Raises: DataError: a region that is none or has no score, predictions of several models, or no image."""
    form = box_format or "xywhn"
    records, places = [], []
    for where, record in _records(document, source):
        records.append(checked_record(record, where, form))
        places.append(where)
    return from_records(records, form, source, places.__getitem__)


def is_task(task: Any) -> bool:
    """Whether it is an object with data."""
    return isinstance(task, dict) and isinstance(task.get("data"), dict)


def _records(tasks: list[dict[str, Any]], source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, task in enumerate(tasks):
        where = f"{source}, task {number}"
        predictions = [part for part in task.get("predictions") or [] if isinstance(part, dict)]
        models = {str(prediction.get("model_version")) for prediction in predictions}
        if len(models) > 1:
            raise DataError(f"{where}: predictions of {', '.join(sorted(models))}; export those of one model")
        name = _image_name(task["data"], where)
        for prediction in predictions:
            for place, region in enumerate(prediction.get("result") or []):
                if isinstance(region, dict) and region.get("type") == RECTANGLE:
                    yield f"{where}, region {place}", _record(name, region, prediction.get("score"))


def _image_name(data: Mapping[str, Any], where: str) -> str:
    links = [value for value in data.values() if isinstance(value, str) and ("/" in value or "." in value)]
    if len(links) != 1 and "image" not in data:
        raise DataError(f"{where}: expected one image in its data, got {sorted(data)}")
    link = str(data.get("image", links[0] if links else ""))
    folder, slash, name = path_in_link(link).rpartition("/")
    is_upload = "upload" in folder.split("/")
    return UPLOAD.sub("", name) if is_upload else f"{folder}{slash}{name}"


def _record(name: str, region: Mapping[str, Any], score: Any) -> dict[str, Any]:
    value = region.get("value")
    value = value if isinstance(value, dict) else {}
    names = value.get(RECTANGLE)
    score = region.get("score", score)
    return {
        "file_name": name,
        "category": names[0] if isinstance(names, list) and names else None,
        "bbox": _box(value, region),
        **({} if score is None else {"score": score}),
    }


def _box(value: Mapping[str, Any], region: Mapping[str, Any]) -> list[float] | None:
    """Fractions; of a rectangle turned by degrees about its left upper corner, the box around it. None: no box."""
    x, y, width, height = (as_number(value.get(name)) for name in ("x", "y", "width", "height"))
    angle = as_number(value.get("rotation") or 0)
    if x is None or y is None or width is None or height is None or angle is None:
        return None
    box = [side / 100 for side in (x, y, width, height)]
    return _around_turned(box, math.radians(angle), region) if angle else box


def _around_turned(box: Sequence[float], angle: float, region: Mapping[str, Any]) -> list[float] | None:
    """The box around one that is turned; None: the sides of the image are not known."""
    x, y, width, height = box
    across, down = (as_number(region.get(f"original_{side}")) for side in ("width", "height"))
    if not across or not down or not math.isfinite(angle):
        return None
    corners = [(u * width * across, v * height * down) for u in (0, 1) for v in (0, 1)]
    xs = [x + (u * math.cos(angle) - v * math.sin(angle)) / across for u, v in corners]
    ys = [y + (u * math.sin(angle) + v * math.cos(angle)) / down for u, v in corners]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
