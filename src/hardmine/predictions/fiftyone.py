"""What FiftyOne exports: its image detection data set, and its own form with all fields of each sample.

Boxes are fractions of the image: left, top, width, height.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hardmine.errors import DataError
from hardmine.predictions.found import Found
from hardmine.predictions.records import checked_record, from_records

__all__ = ["fits", "read"]


def fits(document: Any) -> bool:
    """Whether it is an object with labels by image, or with samples."""
    return isinstance(document, dict) and (
        isinstance(document.get("labels"), dict) or isinstance(document.get("samples"), list)
    )


def read(document: Any, source: str, box_format: str | None) -> Found:
    """Raises: DataError: a detection without a confidence, or that is none; several fields with confidences."""
    found = _of_samples(document, source) if isinstance(document.get("samples"), list) else _of_labels(document)
    form = box_format or "xywhn"
    places, records = [], []
    for place, name, detection in found:
        where = f"{source}, {place}"
        records.append(checked_record(_as_record(name, detection, where), where, form))
        places.append(where)
    return from_records(records, form, source, places.__getitem__)


def _of_labels(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Where it stands, image and detection."""
    classes = document.get("classes") or []
    for name, detections in document["labels"].items():
        for place, detection in enumerate(detections or []):
            yield f"{name!r}, detection {place}", name, _with_class_name(detection, classes)


def _with_class_name(detection: Any, classes: list[str]) -> Any:
    """Labels may be numbers that point into the list of classes."""
    label = detection.get("label") if isinstance(detection, dict) else None
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(classes):
        return detection
    return detection | {"label": classes[label]}


def _of_samples(document: Mapping[str, Any], source: str) -> Iterator[tuple[str, str, Any]]:
    samples = [sample for sample in document["samples"] if isinstance(sample, dict)]
    fields = sorted({field for sample in samples for field, value in sample.items() if _has_confidence(value)})
    if len(fields) > 1:
        raise DataError(f"{source}: predictions in several fields, {', '.join(fields)}; export one of them")
    for number, sample in enumerate(samples):
        detections = sample.get(fields[0]) if fields else None
        for place, detection in enumerate(_detections(detections)):
            yield f"sample {number}, detection {place}", str(sample.get("filepath")), detection


def _has_confidence(value: Any) -> bool:
    return any(isinstance(part, dict) and part.get("confidence") is not None for part in _detections(value))


def _detections(value: Any) -> list[Any]:
    listed = value.get("detections") if isinstance(value, dict) else None
    return listed if isinstance(listed, list) else []


def _as_record(name: str, detection: Any, where: str) -> Any:
    if not isinstance(detection, dict):
        return detection
    if detection.get("confidence") is None:
        raise DataError(f"{where}: no confidence, so it is a label and no prediction; export the predictions' field")
    record = {"file_name": name, "category": detection.get("label"), "score": detection["confidence"]}
    return record | {"bbox": detection.get("bounding_box")}
