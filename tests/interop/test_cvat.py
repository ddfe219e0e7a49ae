"""The file for CVAT, as Datumaro reads that format. CVAT itself is a server of several containers."""

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the package are not ours


@pytest.fixture
def dataset(mined, tmp_path):
    """Datumaro finds the images in a folder called `images` beside the file."""
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    (tmp_path / "task").mkdir()
    shutil.copytree(mined.images, tmp_path / "task/images")
    shutil.copy(mined.out / "suspects_cvat.xml", tmp_path / "task")
    return datumaro.Dataset.import_from(str(tmp_path / "task/suspects_cvat.xml"), "cvat")


def test_boxes_and_classes_are_read_on_their_images(mined, dataset, tmp_path):
    from datumaro import AnnotationType

    names = [label.name for label in dataset.categories()[AnnotationType.label]]
    found = {
        Path(item.media.path).relative_to(tmp_path / "task/images").as_posix(): [
            (names[a.label], *a.points) for a in item.annotations
        ]
        for item in dataset
    }
    assert mined.in_order(found) == mined.in_order(mined.to_correct())


def test_what_is_suspect_is_an_attribute(dataset):
    kinds = {a.attributes["suspect"] for item in dataset for a in item.annotations if "suspect" in a.attributes}
    assert "missing" in kinds
    assert all(item.attributes["frame"] >= 10**9 for item in dataset)
