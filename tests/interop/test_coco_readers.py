"""The COCO files of a mined folder, as the packages read them that people open such files with."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the packages are not ours
FILES = ("hard_positives", "hard_negatives", "suspects")


def by_pycocotools(file: Path, images: Path, tmp_path: Path):
    reason = "pycocotools is not installed"
    coco = pytest.importorskip("pycocotools.coco", reason=reason).COCO(str(file))
    return {
        image["file_name"]: [
            (coco.cats[a["category_id"]]["name"], *corners(*a["bbox"]))
            for a in coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        ]
        for image in coco.loadImgs(coco.getImgIds())
    }


def by_supervision(file: Path, images: Path, tmp_path: Path):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    dataset = supervision.DetectionDataset.from_coco(str(images), str(file))
    return {
        Path(path).relative_to(images).as_posix(): [
            (dataset.classes[label], *map(float, box)) for box, label in zip(found.xyxy, found.class_id, strict=True)
        ]
        for path, _, found in dataset
    }


def by_datumaro(file: Path, images: Path, tmp_path: Path):
    """It wants a folder called `annotations`, beside one called `images`."""
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").symlink_to(images)
    copy = tmp_path / f"annotations/instances_{file.name}"
    copy.write_bytes(file.read_bytes())
    dataset = datumaro.Dataset.import_from(str(tmp_path), "coco")
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    return {
        Path(item.media.path).relative_to(tmp_path / "images").as_posix(): [
            (names[a.label], *a.points) for a in item.annotations
        ]
        for item in dataset
    }


def by_fiftyone(file: Path, images: Path, tmp_path: Path):
    """Its importer, which needs no database; boxes are fractions of the image."""
    coco = pytest.importorskip("fiftyone.utils.coco", reason="fiftyone is not installed")
    importer = coco.COCODetectionDatasetImporter(data_path=str(images), labels_path=str(file), extra_attrs=True)
    with importer:
        return {
            Path(path).relative_to(images).as_posix(): [
                (found.label, *in_pixels(found.bounding_box, metadata)) for found in labels["detections"].detections
            ]
            for path, metadata, labels in importer
        }


def in_pixels(box, metadata) -> tuple[float, ...]:
    x, y, width, height = box
    return corners(*(x * metadata.width, y * metadata.height, width * metadata.width, height * metadata.height))


def corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x, y, x + width, y + height


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """FiftyOne neither reads the settings of whoever runs this nor reports that it ran."""
    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
    monkeypatch.setenv("FIFTYONE_CONFIG_PATH", str(tmp_path / "fiftyone.json"))
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path / "fiftyone"))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("read", [by_pycocotools, by_supervision, by_datumaro, by_fiftyone])
def test_boxes_and_classes_are_read_on_their_images(mined, tmp_path, read: Callable, file):
    tables = mined.tables
    expected = {
        "hard_positives": mined.boxes(tables.hardest("hard positive")),
        "hard_negatives": mined.boxes(tables.hardest("hard negative")),
        "suspects": mined.suspects(),
    }[file]
    (tmp_path / "reader").mkdir()
    assert len(expected) == 10
    found = read(mined.out / f"{file}.json", mined.images, tmp_path / "reader")
    assert mined.in_order(found) == mined.in_order(expected)


def test_fiftyone_keeps_what_is_suspect(mined):
    coco = pytest.importorskip("fiftyone.utils.coco", reason="fiftyone is not installed")
    file = str(mined.out / "suspects.json")
    with coco.COCODetectionDatasetImporter(data_path=str(mined.images), labels_path=file, extra_attrs=True) as importer:
        found = [box for _, _, labels in importer for box in labels["detections"].detections]
    assert sorted({(box["kind"], round(box["probability"], 2)) for box in found}) == sorted(
        set(mined.tables.suspects.select("kind", mined.tables.suspects["probability"].round(2)).iter_rows())
    )
