"""Random small data sets, written in every layout that is read, and read back: the same images, boxes and classes.

A layout is a function that writes a data set below a folder and says what to open. Whatever is found must be right, and
what is not found must be reported; where a layout says in full where its files are, all must be found.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from hardmine.data import Problem, available_splits, open_dataset
from hardmine.errors import DataError


class Box(NamedTuple):
    category: str
    x1: float
    y1: float
    x2: float
    y2: float


class Picture(NamedTuple):
    name: str  # with folders and suffix
    size: tuple[int, int]
    boxes: tuple[Box, ...]

    @property
    def stem(self) -> str:
        """With folders."""
        return self.name.rpartition(".")[0]


class Data(NamedTuple):
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    number: Callable[[int], Any]  # makes ids of 1, 2, 3, ...

    def flat(self) -> "Data":
        """All images in one folder."""
        return self._replace(pictures=tuple(p._replace(name=p.name.replace("/", "_")) for p in self.pictures))

    def splits(self, *names: str) -> dict[str, "Data"]:
        """Images go to the splits in turn; a split without any is none."""
        parts = {name: self.pictures[place :: len(names)] for place, name in enumerate(names)}
        return {name: self._replace(pictures=pictures) for name, pictures in parts.items() if pictures}


class Folder:
    """Writes below a root, and remembers which image is where."""

    def __init__(self, root: Path):
        self.root = root
        self.pictures: dict[Path, Picture] = {}

    def text(self, name: str, text: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def lines(self, name: str, lines: list[str]) -> Path:
        return self.text(name, "".join(f"{line}\n" for line in lines))

    def images(self, above: str, data: Data) -> list[str]:
        """Writes the images into a folder; returns their paths below the root."""
        files = [self.root / above / picture.name for picture in data.pictures]
        self.pictures |= dict(zip(files, data.pictures, strict=True))
        for file, picture in zip(files, data.pictures, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", picture.size, "red").save(file)
        return [file.relative_to(self.root).as_posix() for file in files]


Layout = Callable[[Folder, Data], Path]


# COCO


def coco(data: Data, names: list[str], name_field: str = "file_name", box_field: str = "bbox") -> str:
    """A document. names: of the images' files."""
    number = data.number
    images = [
        {"id": number(place), name_field: name, "width": picture.size[0], "height": picture.size[1]}
        for place, (picture, name) in enumerate(zip(data.pictures, names, strict=True), start=1)
    ]
    objects = [(place, box) for place, picture in enumerate(data.pictures, start=1) for box in picture.boxes]
    annotations = [
        {
            "id": number(place),
            "image_id": number(image),
            "category_id": number(data.classes.index(box.category) + 1),
            box_field: sides(box) if box_field == "bbox" else [[*box[1:3], box.x2, box.y1, *box[3:], box.x1, box.y2]],
        }
        for place, (image, box) in enumerate(objects, start=1)
    ]
    categories = [{"id": number(place), "name": name} for place, name in enumerate(data.classes, start=1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def sides(box: Box) -> list[float]:
    return [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]


def names_in(data: Data, above: str = "") -> list[str]:
    return [f"{above}{picture.name}" for picture in data.pictures]


def coco_beside(folder: Folder, data: Data) -> Path:
    return folder.text("labels.json", coco(data, folder.images("", data)))


def coco_polygons(folder: Folder, data: Data) -> Path:
    return folder.text("labels.json", coco(data, folder.images("", data), box_field="segmentation"))


def coco_with_folder_in_names(folder: Folder, data: Data) -> Path:
    return folder.text("result.json", coco(data, folder.images("images", data)))


def coco_absolute(folder: Folder, data: Data) -> Path:
    names = folder.images("images", data)
    return folder.text("result.json", coco(data, [str(folder.root / name) for name in names]))


def coco_of_fiftyone(folder: Folder, data: Data) -> Path:
    folder.images("data", data)
    folder.text("labels.json", coco(data, names_in(data)))
    return folder.root


def coco_of_cvat(folder: Folder, data: Data) -> Path:
    folder.images("images/default", data)
    folder.text("annotations/instances_default.json", coco(data, names_in(data)))
    return folder.root


def coco_by_split(folder: Folder, data: Data, names: tuple[str, str], images: str, labels: str) -> Path:
    """names: the splits. images, labels: where the images and the labels of a split are, with {split} in it."""
    for split, part in data.splits(*names).items():
        folder.images(images.format(split=split), part)
        folder.text(labels.format(split=split), coco(part, names_in(part)))
    return folder.root


def coco_of_2017(folder: Folder, data: Data) -> Path:
    return coco_by_split(folder, data, ("train2017", "val2017"), "{split}", "annotations/instances_{split}.json")


def coco_of_datumaro(folder: Folder, data: Data) -> Path:
    return coco_by_split(folder, data, ("train", "val"), "images/{split}", "annotations/instances_{split}.json")


def coco_of_roboflow(folder: Folder, data: Data) -> Path:
    return coco_by_split(folder, data, ("train", "valid"), "{split}", "{split}/_annotations.coco.json")


def coco_of_another_machine(folder: Folder, data: Data) -> Path:
    folder.images("images", data)
    return folder.text("result.json", coco(data, names_in(data, "C:\\somebody\\data\\")))


def coco_urls(folder: Folder, data: Data) -> Path:
    folder.images("images", data)
    names = [f"http://images.example.org/{quote(name)}" for name in names_in(data)]
    return folder.text("result.json", coco(data, names, "coco_url"))


# Pascal VOC


def xml(picture: Picture, name: str) -> str:
    """name: what stands in <filename>."""
    objects = "".join(
        f"<object><name>{escape(box.category)}</name><bndbox>"
        + "".join(
            f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box[1:], strict=True)
        )
        + "</bndbox></object>"
        for box in picture.boxes
    )
    width, height = picture.size
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{escape(name)}</filename>{size}{objects}</annotation>"


def voc_files(folder: Folder, data: Data, images: str, annotations: str) -> Path:
    """An xml for each image, in mirrored folders."""
    folder.images(images, data)
    for picture in data.pictures:
        folder.text(f"{annotations}/{picture.stem}.xml", xml(picture, picture.name.rpartition("/")[2]))
    return folder.root


def voc_tree(folder: Folder, data: Data) -> Path:
    for split, part in data.splits("train", "val").items():
        voc_files(folder, part, "JPEGImages", "Annotations")
        folder.lines(f"ImageSets/Main/{split}.txt", [picture.stem for picture in part.pictures])
    return folder.root


def voc_without_lists(folder: Folder, data: Data) -> Path:
    return voc_files(folder, data, "JPEGImages", "Annotations")


def voc_devkit(folder: Folder, data: Data) -> Path:
    return voc_files(folder, data, "VOC2012/JPEGImages", "VOC2012/Annotations")


def voc_of_labelimg(folder: Folder, data: Data) -> Path:
    return voc_files(folder, data.flat(), ".", ".")


def voc_of_kaggle(folder: Folder, data: Data) -> Path:
    return voc_files(folder, data, "images", "annotations")


def voc_of_roboflow(folder: Folder, data: Data) -> Path:
    for split, part in data.flat().splits("train", "valid").items():
        voc_files(folder, part, split, split)
    return folder.root


# YOLO


def yolo_lines(data: Data, picture: Picture, num_corners: int = 0) -> list[str]:
    """Boxes, or with `num_corners` polygons around them."""
    scale = np.array(picture.size * 2, dtype=float)
    lines = []
    for box in picture.boxes:
        x1, y1, x2, y2 = np.array(box[1:]) / scale
        numbers = [x1, y1, x2, y1, x2, y2, x1, y2] if num_corners else [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        lines.append(" ".join([str(data.classes.index(box.category)), *(f"{number:.6f}" for number in numbers)]))
    return lines


def yolo_files(folder: Folder, data: Data, images: str, labels: str, num_corners: int = 0) -> list[str]:
    """A text for each image, in mirrored folders; returns the paths of the images."""
    for picture in data.pictures:
        folder.lines(f"{labels}/{picture.stem}.txt", yolo_lines(data, picture, num_corners))
    return folder.images(images, data)


def yolo_splits(folder: Folder, data: Data) -> list[str]:
    parts = data.splits("train", "val")
    for split, part in parts.items():
        yolo_files(folder, part, f"images/{split}", f"labels/{split}")
    return list(parts)


def config(data: Data, **fields: Any) -> str:
    """JSON is YAML."""
    return json.dumps({**fields, "nc": len(data.classes), "names": data.classes}, ensure_ascii=False)


def yolo_by_hand(folder: Folder, data: Data) -> Path:
    """Names are quoted only where they must be."""
    places = [f"{split}: images/{split}  # relative to this file" for split in yolo_splits(folder, data)]
    names = [name if re.fullmatch(r"[\w.~]([\w.~:&<> ]*\w)?", name) else f'"{name}"' for name in data.classes]
    listed = [f"  {number}: {name}" for number, name in enumerate(names)]
    return folder.lines("data.yaml", [*places, "names:", *listed])


def yolo_path_is_absolute(folder: Folder, data: Data) -> Path:
    splits = {split: f"images/{split}" for split in yolo_splits(folder, data)}
    return folder.text("data.yaml", config(data, path=str(folder.root), **splits))


def yolo_path_is_own_name(folder: Folder, data: Data) -> Path:
    splits = {split: f"images/{split}" for split in yolo_splits(folder, data)}
    return folder.text("data.yaml", config(data, path=f"../datasets/{folder.root.name}", **splits))


def yolo_absolute(folder: Folder, data: Data) -> Path:
    splits = {split: str(folder.root / "images" / split) for split in yolo_splits(folder, data)}
    folder.text("data.yaml", config(data, **splits))
    return folder.root


def yolo_of_another_machine(folder: Folder, data: Data) -> Path:
    splits = {split: f"/content/datasets/x/images/{split}" for split in yolo_splits(folder, data)}
    folder.text("data.yaml", config(data, **splits))
    return folder.root


def yolo_lists(folder: Folder, data: Data) -> Path:
    parts = data.splits("train", "val")
    for split, part in parts.items():
        files = yolo_files(folder, part, "images", "labels")
        folder.lines(f"{split}.txt", [f"./{file}" for file in files])
    return folder.text("data.yaml", config(data, **{split: f"{split}.txt" for split in parts}))


def yolo_absolute_lists(folder: Folder, data: Data) -> Path:
    parts = data.splits("train", "val")
    for split, part in parts.items():
        files = yolo_files(folder, part, "images", "labels")
        folder.lines(f"{split}.txt", [str(folder.root / file) for file in files])
    return folder.text("data.yaml", config(data, path=str(folder.root), **{split: f"{split}.txt" for split in parts}))


def yolo_of_fiftyone(folder: Folder, data: Data) -> Path:
    splits = {split: f"./images/{split}/" for split in yolo_splits(folder, data)}
    names = dict(enumerate(data.classes))
    folder.text("dataset.yaml", json.dumps({"names": names, "path": str(folder.root), **splits}))
    return folder.root


def yolo_of_roboflow(folder: Folder, data: Data) -> Path:
    parts = data.splits("train", "valid")
    for split, part in parts.items():
        yolo_files(folder, part, f"{split}/images", f"{split}/labels")
    named = {"val" if split == "valid" else split: f"../{split}/images" for split in parts}
    folder.text("data.yaml", config(data, **named))
    return folder.root


def yolo_of_supervision(folder: Folder, data: Data) -> Path:
    yolo_files(folder, data, "images", "labels")
    folder.text("data.yaml", config(data))
    return folder.root


def yolo_oriented(folder: Folder, data: Data) -> Path:
    yolo_files(folder, data, "images/train", "labels/train", num_corners=4)
    folder.text("data.yaml", config(data, train="images/train"))
    return folder.root


def yolo_of_label_studio(folder: Folder, data: Data) -> Path:
    yolo_files(folder, data, "images", "labels")
    folder.lines("classes.txt", [*data.classes])
    folder.text("notes.json", json.dumps({"categories": [{"id": n, "name": c} for n, c in enumerate(data.classes)]}))
    return folder.root


def yolo_without_yaml(folder: Folder, data: Data) -> Path:
    yolo_splits(folder, data)
    folder.lines("classes.txt", [*data.classes])
    return folder.root


def yolo_beside(folder: Folder, data: Data) -> Path:
    yolo_files(folder, data, ".", ".")
    folder.lines("classes.txt", [*data.classes])
    return folder.root


def yolo_beside_in_splits(folder: Folder, data: Data) -> Path:
    for split, part in data.splits("train", "valid").items():
        yolo_files(folder, part, split, split)
        folder.lines(f"{split}/classes.txt", [*data.classes])
    return folder.root


def yolo_of_darknet(folder: Folder, data: Data) -> Path:
    parts = data.splits("train", "valid")
    for split, part in parts.items():
        files = yolo_files(folder, part, f"obj_{split}_data", f"obj_{split}_data")
        folder.lines(f"{split}.txt", [f"data/{file}" for file in files])
    folder.lines("obj.names", [*data.classes])
    places = [f"{split} = data/{split}.txt" for split in parts]
    folder.lines("obj.data", [f"classes = {len(data.classes)}", *places, "names = data/obj.names", "backup = backup/"])
    return folder.root


LAYOUTS: dict[str, Layout] = {
    layout.__name__: layout
    for layout in (
        *(coco_beside, coco_polygons, coco_with_folder_in_names, coco_absolute, coco_of_fiftyone, coco_of_cvat),
        *(coco_of_2017, coco_of_datumaro, coco_of_roboflow, coco_of_another_machine, coco_urls),
        *(voc_tree, voc_without_lists, voc_devkit, voc_of_labelimg, voc_of_kaggle, voc_of_roboflow),
        *(yolo_by_hand, yolo_path_is_absolute, yolo_path_is_own_name, yolo_absolute, yolo_of_another_machine),
        *(yolo_lists, yolo_absolute_lists, yolo_of_fiftyone, yolo_of_roboflow, yolo_of_supervision, yolo_oriented),
        *(yolo_of_label_studio, yolo_without_yaml, yolo_beside, yolo_beside_in_splits, yolo_of_darknet),
    )
}
SAY_IT_IN_PART = (
    *(coco_of_another_machine, coco_urls),  # the last parts of a name may be those of several files
    *(yolo_of_supervision, yolo_of_label_studio, yolo_beside),  # a folder called train leaves other images in no split
)


# Random data

IDS: tuple[Callable[[int], Any], ...] = (
    int,
    lambda n: 10 * n - 35,
    lambda n: f"{n:03}",
    lambda n: f"\ud83d-{n}",  # half a character
    float,
    lambda n: 2**70 + n,
    lambda n: 2**53 + n,
)
WORDS = ("a", "1", "007", "7", "0.5 mm", "a.b", "ü ö", "train", "val", "images", "labels", "notes", "Annotations", "#1")
PARTS = st.sampled_from(WORDS) | st.text("ab01._-+%# é'&", min_size=1, max_size=6).filter(lambda text: text.strip(". "))
CLASSES = ("no", "yes", "null", "~", "1.0", "1", "0", "a b", "a", "ab", "a:b", "#x", "é", "x & <y>", "'", "true", "-")


@st.composite
def boxes(draw: st.DrawFn, classes: list[str], size: tuple[int, int]) -> Box:
    """Corners are quarters of pixels, which six decimals of a side hold."""
    spans = [sorted(draw(st.lists(st.integers(0, 4 * side), min_size=2, max_size=2, unique=True))) for side in size]
    (x1, x2), (y1, y2) = spans
    return Box(draw(st.sampled_from(classes)), x1 / 4, y1 / 4, x2 / 4, y2 / 4)


@st.composite
def pictures(draw: st.DrawFn, classes: list[str]) -> Picture:
    name = "/".join([*draw(st.lists(PARTS, max_size=2)), draw(PARTS) + draw(st.sampled_from((".png", ".jpg", ".BMP")))])
    size = draw(st.tuples(st.integers(2, 64), st.integers(2, 64)))
    return Picture(name, size, tuple(draw(st.lists(boxes(classes, size), max_size=4, unique=True))))


@st.composite
def data_sets(draw: st.DrawFn) -> Data:
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True))
    listed = st.lists(pictures(classes), min_size=1, max_size=4, unique_by=lambda p: p.stem.replace("/", "_"))
    return Data(tuple(classes), tuple(draw(listed)), draw(st.sampled_from(IDS)))


# What is read


class Found(NamedTuple):
    boxes: dict[Path, list[Box]]
    classes: set[tuple[str, ...]]
    errors: list[Problem]


def read(path: Path) -> Found:
    """All splits together; sides to the last decimal that files have."""
    splits = [open_dataset(path, split) for split in available_splits(path)]
    boxes = {
        record.file: [
            Box(data.classes[label], *(round(side, 2) for side in box))
            for label, box in zip(record.labels, record.boxes.tolist(), strict=True)
        ]
        for data in splits
        for record in data.records
    }
    errors = [problem for data in splits for problem in data.problems if problem.severity == "error"]
    return Found(boxes, {data.classes for data in splits}, errors)


def known_classes(layout: Layout, data: Data) -> tuple[str, ...]:
    """VOC knows those that are on an image."""
    if not layout.__name__.startswith("voc"):
        return data.classes
    return tuple(sorted({box.category for picture in data.pictures for box in picture.boxes}))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@settings(max_examples=15, deadline=None)
@given(data=data_sets())
def test_what_was_written_is_read(layout, data):
    with TemporaryDirectory() as place:
        folder = Folder(Path(place) / "pets 1.0")
        path = layout(folder, data)
        try:
            found = read(path)
        except DataError:
            assert not any(picture.boxes for picture in data.pictures)  # nothing to learn, or to know a class by
            return
    written = {file: sorted(picture.boxes) for file, picture in folder.pictures.items()}
    is_whole = layout not in SAY_IT_IN_PART or not found.errors
    assert found.classes == {known_classes(layout, data)}
    assert found.boxes.keys() == written.keys() if is_whole else found.boxes.keys() < written.keys()
    assert {file: sorted(boxes) for file, boxes in found.boxes.items()} == {file: written[file] for file in found.boxes}
