import numpy as np
import pytest

from hardmine.data.problems import ProblemLog
from hardmine.data.segmentation.classes import Classes
from hardmine.data.segmentation.sources import record_of_files

CLASSES = Classes.of(("road", "sky"))


def record(image, mask):
    report = ProblemLog(image)
    return record_of_files(1, image, mask, CLASSES, report), report.problems


def test_a_pair_of_one_size_is_a_record(write_image, write_mask, tmp_path):
    found, problems = record(write_image(tmp_path / "a.png"), write_mask(tmp_path / "m.png", np.zeros((48, 64))))
    assert (found.width, found.height, found.orientation, problems) == (64, 48, 1, [])


@pytest.mark.parametrize(
    ("mask_size", "orientation", "said"),
    [((64, 48), 6, "taken as drawn on the turned picture"), ((48, 64), 1, "is not applied")],
)
def test_the_mask_says_whether_a_picture_is_turned(write_image, write_mask, tmp_path, mask_size, orientation, said):
    """Stored as 64x48, shown as 48x64."""
    image = write_image(tmp_path / "a.jpg", orientation=6)
    found, (problem,) = record(image, write_mask(tmp_path / "m.png", np.zeros(mask_size)))
    assert (found.height, found.width) == mask_size
    assert found.orientation == orientation
    assert (problem.severity, said in problem.message) == ("warning", True)


def test_a_mask_of_another_size_is_left_out(write_image, write_mask, tmp_path):
    found, (problem,) = record(write_image(tmp_path / "a.png"), write_mask(tmp_path / "m.png", np.zeros((24, 32))))
    assert found is None
    assert problem.severity == "error"
    assert "m.png' is 32x24, the image 64x48; expected one label for each pixel" in problem.message


def test_what_is_no_image_is_left_out(write_mask, tmp_path):
    (tmp_path / "a.png").write_text("nothing")
    found, (problem,) = record(tmp_path / "a.png", write_mask(tmp_path / "m.png", np.zeros((48, 64))))
    assert found is None
    assert "a.png cannot be opened as an image" in problem.message
