"""What the tools themselves write of one small data set, as hardmine reads it: the same images, boxes and classes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardmine.data import available_splits, check, open_dataset
from hardmine.errors import DataError
from hardmine.mining import mine
from hardmine.predictions import Confirmed, read_found

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the packages are not ours

CLASSES = ("a dog", "cat")
SIZES = {"a.png": (64, 32), "b c.png": (40, 30), "007.png": (32, 64)}
BOXES = {
    "a.png": [("cat", 4, 4, 20, 20), ("a dog", 32, 8, 60, 30)],
    "b c.png": [("cat", 10, 3, 30, 27)],
    "007.png": [("a dog", 0, 0, 16, 8), ("cat", 8, 32, 32, 64), ("cat", 1, 10, 9, 20)],
}
"""Of each image, class and x1, y1, x2, y2."""


@pytest.fixture
def images(tmp_path, monkeypatch) -> Path:
    """The pictures. The tools neither read the settings of whoever runs this nor report that they ran."""
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    monkeypatch.setenv("FIFTYONE_CONFIG_PATH", str(tmp_path / "fiftyone.json"))
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path / "fiftyone"))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, (width, height) in SIZES.items():
        pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


# Label Studio


def label_studio(images: Path, out: Path, form: str) -> Path:
    """Its converter, which the server's exports use; pictures are copied as one does who downloaded them before."""
    reason = "label-studio-sdk is not installed"
    converter = pytest.importorskip("label_studio_sdk.converter", reason=reason).Converter(
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        + "".join(f'<Label value="{name}"/>' for name in CLASSES)
        + "</RectangleLabels></View>",
        project_dir=None,
        download_resources=False,
    )
    tasks = [_task(number, images / name) for number, name in enumerate(BOXES, start=1)]
    (images.parent / "tasks.json").write_text(json.dumps(tasks))
    getattr(converter, f"convert_to_{form}")(str(images.parent / "tasks.json"), str(out), is_dir=False)
    shutil.copytree(images, out / "images", dirs_exist_ok=True)
    return out


def _task(number: int, image: Path) -> dict[str, Any]:
    width, height = SIZES[image.name]
    regions = [
        {
            "id": f"r{place}",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "value": {
                "x": 100 * x1 / width,
                "y": 100 * y1 / height,
                "rotation": 0,
                "rectanglelabels": [label],
                "width": 100 * (x2 - x1) / width,
                "height": 100 * (y2 - y1) / height,
            },
        }
        for place, (label, x1, y1, x2, y2) in enumerate(BOXES[image.name])
    ]
    return {"id": number, "data": {"image": str(image)}, "annotations": [{"id": number, "result": regions}]}


# Datumaro


def datumaro(images: Path, out: Path, form: str) -> Path:
    package = pytest.importorskip("datumaro", reason="datumaro is not installed")
    items = [
        package.DatasetItem(
            id=Path(name).stem,
            subset="val" if name == "007.png" else "train",
            media=package.Image.from_file(path=str(images / name)),
            annotations=[
                package.Bbox(x1, y1, x2 - x1, y2 - y1, label=CLASSES.index(label)) for label, x1, y1, x2, y2 in boxes
            ],
        )
        for name, boxes in BOXES.items()
    ]
    package.Dataset.from_iterable(items, categories=list(CLASSES)).export(str(out), form, save_media=True)
    return out


# supervision


def supervision(images: Path, out: Path, form: str) -> Path:
    package = pytest.importorskip("supervision", reason="supervision is not installed")
    found = {
        str(images / name): package.Detections(
            xyxy=np.array([box[1:] for box in boxes], dtype=float),
            class_id=np.array([CLASSES.index(box[0]) for box in boxes]),
        )
        for name, boxes in BOXES.items()
    }
    dataset = package.DetectionDataset(list(CLASSES), list(found), found)
    places: dict[str, tuple[str, dict[str, str]]] = {
        "coco": ("as_coco", {"annotations_path": str(out / "annotations.json")}),
        "voc": ("as_pascal_voc", {"annotations_directory_path": str(out / "annotations")}),
        "yolo": (
            "as_yolo",
            {"annotations_directory_path": str(out / "labels"), "data_yaml_path": str(out / "data.yaml")},
        ),
    }
    method, where = places[form]
    getattr(dataset, method)(images_directory_path=str(out / "images"), **where)
    return out


# FiftyOne


def fiftyone(images: Path, out: Path, form: str) -> Path:
    """Its exporters, sample by sample: a whole data set of FiftyOne needs its database."""
    package = pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    kinds = {
        "coco": ("coco", "COCODetectionDatasetExporter", {"classes": list(CLASSES)}),
        "voc": ("voc", "VOCDetectionDatasetExporter", {}),
        "yolo": ("yolo", "YOLOv5DatasetExporter", {"classes": list(CLASSES), "split": "train"}),
    }
    module, name, options = kinds[form]
    exporter = getattr(pytest.importorskip(f"fiftyone.utils.{module}"), name)(str(out), export_media=True, **options)
    with exporter:
        for file, boxes in BOXES.items():
            exporter.export_sample(
                str(images / file), _detections(package, file, boxes), _metadata(package, images / file)
            )
    return out


def _detections(package: Any, name: str, boxes: list[tuple]) -> Any:
    (width, height) = SIZES[name]
    return package.Detections(
        detections=[
            package.Detection(
                label=label, bounding_box=[x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
            )
            for label, x1, y1, x2, y2 in boxes
        ]
    )


def _metadata(package: Any, image: Path) -> Any:
    return package.ImageMetadata.build_for(str(image))


# ultralytics


def ultralytics(images: Path, out: Path, form: str) -> Path:
    """Its converter of COCO files: it writes labels only, and pictures and names are put beside them."""
    converter = pytest.importorskip("ultralytics.data.converter", reason="ultralytics is not installed")
    (out.parent / "annotations").mkdir()
    (out.parent / "annotations" / "instances_train.json").write_text(json.dumps(_coco()))
    converter.convert_coco(str(out.parent / "annotations"), str(out), cls91to80=False)
    shutil.copytree(images, out / "images" / "train")
    (out / "data.yaml").write_text(f"train: images/train\nnames: {json.dumps(CLASSES)}\n")
    return out


def _coco() -> dict[str, Any]:
    ids = {name: number for number, name in enumerate(SIZES, start=1)}
    objects = [(name, box) for name, boxes in BOXES.items() for box in boxes]
    return {
        "images": [{"id": ids[name], "file_name": name, "width": w, "height": h} for name, (w, h) in SIZES.items()],
        "annotations": [
            {
                "id": number,
                "image_id": ids[name],
                "category_id": CLASSES.index(label) + 1,
                "iscrowd": 0,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
            }
            for number, (name, (label, x1, y1, x2, y2)) in enumerate(objects, start=1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)],
    }


EXPORTS: dict[str, tuple[Callable[[Path, Path, str], Path], str]] = {
    f"{tool.__name__}-{form}": (tool, form)
    for tool, forms in (
        (label_studio, ("coco", "voc", "yolo")),
        (datumaro, ("coco", "coco_instances", "label_me", "voc", "voc_detection", "yolo", "yolo_ultralytics")),
        (supervision, ("coco", "voc", "yolo")),
        (fiftyone, ("coco", "voc", "yolo")),
        (ultralytics, ("yolo",)),
    )
    for form in forms
}


COUNTS_FROM_ONE = ("supervision-voc",)
"""The first pixel is 1, the last as many as there are: hardmine takes coordinates as written, whoever wrote them."""


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_is_read(images, tmp_path, export):
    write, form = EXPORTS[export]
    path = write(images, tmp_path / "export", form)
    report = check(path)
    assert report.is_usable
    assert report.num_errors == 0, report.problems
    found = {
        record.file.name: sorted(
            (data.classes[label], *(round(side, 1) for side in box))
            for label, box in zip(record.labels, record.boxes.tolist(), strict=True)
        )
        for data in (open_dataset(path, split) for split in available_splits(path))
        for record in data.records
    }
    first = 1 if export in COUNTS_FROM_ONE else 0
    expected = {
        name: sorted((label, x1 + first, y1 + first, x2, y2) for label, x1, y1, x2, y2 in boxes)
        for name, boxes in BOXES.items()
    }
    assert found == expected


def test_what_is_no_data_set_is_refused(images, tmp_path):
    """labelme saves a JSON of its own for each image; its package converts it to no other form."""
    package = pytest.importorskip("labelme._label_file", reason="labelme is not installed")
    for name, boxes in BOXES.items():
        (width, height), file = SIZES[name], images / name
        shapes = [
            {"label": label, "points": [[x1, y1], [x2, y2]], "shape_type": "rectangle", "flags": {}, "group_id": None}
            for label, x1, y1, x2, y2 in boxes
        ]
        package.LabelFile().save(str(file.with_suffix(".json")), shapes, file.name, height, width)
    with pytest.raises(DataError, match="no data set of a known format"):
        open_dataset(images)


# Predictions


@pytest.fixture
def dataset(images):
    (images.parent / "truth.json").write_text(json.dumps(_coco()))
    return open_dataset(images.parent / "truth.json", images=images)


def predicted(dataset: Any, path: Path, confirmed: Confirmed | None = None) -> dict[str, list[tuple]]:
    """What is mined: class, corners and score of each prediction, by the file name of its image."""
    tables = mine(dataset, read_found(path), confirmed=confirmed)
    names = dict(tables.images.select("image_id", "file_name").iter_rows())
    found: dict[str, list[tuple]] = {}
    for image, *row in tables.predictions.select("image_id", "category", "x1", "y1", "x2", "y2", "score").iter_rows():
        found.setdefault(names[image], []).append(
            (row[0], *(round(number, 1) for number in row[1:5]), round(row[5], 3))
        )
    return {name: sorted(rows) for name, rows in found.items()}


def test_predictions_that_fiftyone_exports(images, tmp_path, dataset):
    package = pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    kind = pytest.importorskip("fiftyone.utils.data").FiftyOneImageDetectionDatasetExporter
    with kind(str(tmp_path / "export"), export_media=True, classes=list(CLASSES), include_confidence=True) as exporter:
        for file, boxes in BOXES.items():
            detections = _detections(package, file, boxes)
            for place, detection in enumerate(detections.detections):
                detection.confidence = 0.25 + place / 8
            exporter.export_sample(str(images / file), detections, _metadata(package, images / file))
    expected = {
        name: sorted((*box, 0.25 + place / 8) for place, box in enumerate(boxes)) for name, boxes in BOXES.items()
    }
    assert predicted(dataset, tmp_path / "export") == expected


@pytest.fixture
def model(images, tmp_path):
    """A detector of ultralytics with random weights and our two classes; nothing is downloaded."""
    package = pytest.importorskip("ultralytics", reason="ultralytics is not installed")
    config = pytest.importorskip("ultralytics.nn.tasks").yaml_model_load("yolov8n.yaml")
    (tmp_path / "yolov8n.yaml").write_text(json.dumps({**config, "nc": len(CLASSES)}))
    return package.YOLO(str(tmp_path / "yolov8n.yaml"), task="detect")


SETTINGS = {"imgsz": 64, "conf": 1e-6, "max_det": 5, "device": "cpu", "verbose": False, "plots": False, "workers": 0}


def test_predictions_that_ultralytics_saves_as_texts(images, tmp_path, model):
    dataset = open_dataset(ultralytics(images, tmp_path / "export", "yolo"))
    results = model.predict(str(images), project=str(tmp_path), name="run", save_txt=True, save_conf=True, **SETTINGS)
    expected = {
        Path(result.path).name: sorted(
            (CLASSES[int(label)], *(round(side, 1) for side in box), round(score, 3))
            for label, box, score in zip(
                result.boxes.cls.tolist(), result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), strict=True
            )
        )
        for result in results
    }
    assert predicted(dataset, tmp_path / "run") == expected


def test_predictions_that_ultralytics_saves_as_json(images, tmp_path, model):
    path = ultralytics(images, tmp_path / "export", "yolo")
    (path / "data.yaml").write_text(f"train: images/train\nval: images/train\nnames: {json.dumps(CLASSES)}\n")
    model.val(
        data=str(path / "data.yaml"),
        project=str(tmp_path),
        name="run",
        save_json=True,
        save_txt=True,
        save_conf=True,
        **SETTINGS,
    )
    dataset = open_dataset(path, "train")
    texts = predicted(dataset, tmp_path / "run" / "labels")
    assert {name: len(rows) for name, rows in texts.items()} == dict.fromkeys(SIZES, 5)
    from_one = Confirmed(category_offset=-1)  # of data sets other than COCO, it counts the classes from 1 there
    assert predicted(dataset, tmp_path / "run" / "predictions.json", from_one) == texts
