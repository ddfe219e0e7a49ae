from dataclasses import replace

import pytest

from hardmine.data.problems import ProblemLog
from hardmine.data.yolo_config import YoloConfig
from hardmine.data.yolo_places import LabelFiles, YoloPlaces

LABEL = "0 .5 .5 .2 .2"


@pytest.fixture
def found(tmp_path, write_tree):
    """Where a data set in a folder called blood has its training images, and the problems with that."""
    top = write_tree(tmp_path / "blood", "images/train/a.png", "images/val/b.png")

    def find(train, path="", **others):
        places = {"train": [train.format(top=top)], **{split: [place] for split, place in others.items()}}
        config = YoloConfig(top / "data.yaml", path.format(top=top), places, {0: "cat"})
        (top / "data.yaml").touch()
        report = ProblemLog(config.file)
        return [
            place.relative_to(top).as_posix() for place in YoloPlaces(config).find("train", report)
        ], report.problems

    return find


@pytest.mark.parametrize(
    ("path", "train"),
    [
        ("", "images/train"),
        (".", "./images/train/"),
        ("images", "train"),
        ("blood", "images/train"),
        ("../datasets/blood", "images/train"),
        ("../blood", "images/train"),
        ("/home/someone/blood", "images/train"),
        ("{top}", "images/train"),
        ("{top}/images", "train"),
        ("", "{top}/images/train"),
        ("", "../images/train"),
        ("", "../../images/train"),
        ("", "data/images/train"),
        ("", "images\\train"),
    ],
)
def test_paths_that_tools_write_for_a_place_in_the_folder(found, path, train):
    assert found(train, path) == (["images/train"], [])


@pytest.mark.parametrize(
    ("path", "train"),
    [
        ("/home/someone/other", "images/train"),
        ("../datasets/other", "images/train"),
        ("other", "images/train"),
        ("C:\\data\\other", "images\\train"),
        ("/home/someone/other/images", "train"),
        ("", "/home/someone/blood/images/train"),
        ("", "/home/someone/else/images/train"),
        ("", "C:/data/images/train"),
        ("", "/data/train"),
        ("", "/blood/images/train/"),
    ],
)
def test_paths_of_another_machine_are_guessed_and_reported(found, path, train):
    places, (problem,) = found(train, path)
    assert (places, problem.severity) == (["images/train"], "warning")
    assert "is not here" in problem.message


@pytest.mark.parametrize(
    ("path", "train", "message"),
    [
        ("/etc", "images/train", "'/etc' is refused"),
        ("", "/etc", "'/etc' is refused"),
        ("", "..", "'..' is refused"),
        ("", "../../elsewhere", "is refused: expected a path inside the data set's folder"),
        ("", "/home/someone/nothing", "is refused"),
        ("", "images/none", "there is no such folder"),
        ("/home/someone/blood", "images/none", "there is no such folder"),
        ("", "nul\0l", "is refused"),
    ],
)
def test_what_is_elsewhere_or_missing_is_reported(found, path, train, message):
    places, (problem,) = found(train, path)
    assert (places, problem.severity) == ([], "error")
    assert message in problem.message


def test_what_two_paths_may_mean_is_nobodys(found, tmp_path, write_tree):
    places, (problem,) = found("/a/train/images", val="/a/val/images")
    assert places == []
    assert "may both mean" in problem.message
    write_tree(tmp_path / "blood", "backup/images/train/a.png")
    places, (problem,) = found("/a/images/train")
    assert places == []
    assert "may mean" in problem.message


def test_folder_reached_by_a_link(tmp_path, write_tree):
    top = write_tree(tmp_path / "blood", "images/a.png")
    (tmp_path / "link").symlink_to(top)
    config = YoloConfig(tmp_path / "link" / "data.yaml", str(top), {"train": ["images"]}, None)
    assert YoloPlaces(config).find("train", ProblemLog(top)) == [tmp_path / "link" / "images"]


@pytest.fixture
def listed(tmp_path, write_tree):
    """The images of a list, and the problems with it."""
    top = write_tree(tmp_path / "blood", "images/cam 1/a.png", "images/b.png", "images/c/b.png")
    config = YoloConfig(top / "data.yaml", "", {"train": ["train.txt"]}, None)

    def read(*lines, folder="", start="", path=""):
        file = top / folder / "train.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(start + "\n".join(line.format(top=top) for line in lines))
        report = ProblemLog(config.file)
        images = YoloPlaces(replace(config, path=path)).images(file, report)
        return [image.relative_to(top).as_posix() for image in images], report.problems

    return read


@pytest.mark.parametrize(
    "name", ["images/cam 1/a.png", "./images/cam 1/a.png", "{top}/images/cam 1/a.png", "data/images/cam 1/a.png",
             "images\\cam 1\\a.png"]
)  # fmt: skip
def test_names_in_lists(listed, name):
    assert listed(name, "", start="\ufeff") == (["images/cam 1/a.png"], [])
    assert listed(name, folder="lists") == (["images/cam 1/a.png"], [])


def test_names_in_lists_are_relative_to_the_root_too(listed):
    assert listed("cam 1/a.png", path="images") == (["images/cam 1/a.png"], [])


def test_names_of_another_machine_are_reported_once(listed):
    images, (problem,) = listed("/home/me/images/cam 1/a.png", "/home/me/c/b.png", "https://host/d/images/b.png?size=1")
    assert images == ["images/cam 1/a.png", "images/c/b.png", "images/b.png"]
    assert (problem.severity, problem.message[:52]) == (
        "warning",
        "3 images were found by the last parts of their names",
    )


def test_names_that_cannot_be_read_are_reported_by_line(listed):
    images, problems = listed("images/b.png", "images/gone.png", "../../secret.png", "/x/a.png", "/y/a.png")
    assert images == ["images/b.png"]
    assert [problem.record for problem in problems] == ["line 2", "line 3", "line 4", "line 5"]
    assert "is missing" in problems[0].message
    assert "is refused" in problems[1].message
    assert "may both be" in problems[2].message


def test_image_listed_twice_is_reported(listed):
    images, (problem,) = listed("images/b.png", "./images/b.png")
    assert (set(images), problem.severity) == ({"images/b.png"}, "warning")


def test_list_that_is_no_text_is_reported(listed, tmp_path):
    listed("")
    file = tmp_path / "blood" / "train.txt"
    file.write_bytes(b"\xff\x00")
    report = ProblemLog(file)
    assert YoloPlaces(YoloConfig(file, "", {}, None)).images(file, report) == []
    assert report.problems[0].severity == "error"


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.png", "labels/a.txt"),
        ("images/train/cam.1/a.b.png", "labels/train/cam.1/a.b.txt"),
        ("images/train/images/a.png", "images/train/labels/a.txt"),
        ("train/a.png", "train/a.txt"),
    ],
)
def test_labels_mirror_the_last_folder_called_images(tmp_path, image, label):
    top = tmp_path / "images" / "set"  # above the data set, the word means nothing
    assert LabelFiles(top).of(top / image) == top / label


def test_labels_beside_an_image_are_taken_where_there_are_no_others(tmp_path, write_tree):
    texts = {"images/a.txt": LABEL, "images/b.txt": "a cat on a mat", "images/c.txt": ""}
    write_tree(tmp_path, "images/a.png", "images/b.png", "images/c.png", **texts)
    files = LabelFiles(tmp_path)
    assert files.of(tmp_path / "images" / "c.png") == tmp_path / "images" / "c.txt"
    assert files.of(tmp_path / "images" / "a.png") == tmp_path / "images" / "a.txt"
    assert files.of(tmp_path / "images" / "b.png") == tmp_path / "labels" / "b.txt"
    write_tree(tmp_path, **{"labels/a.txt": ""})
    assert files.of(tmp_path / "images" / "a.png") == tmp_path / "labels" / "a.txt"


def test_labels_mirror_the_last_folder_called_images_or_an_earlier_one(tmp_path, write_tree):
    image, label = tmp_path / "images/cam/images/a.png", "labels/cam/images/a.txt"
    write_tree(tmp_path, "images/cam/images/a.png")
    assert LabelFiles(tmp_path).of(image) == tmp_path / "images/cam/labels/a.txt"
    write_tree(tmp_path, **{label: LABEL})
    assert LabelFiles(tmp_path).of(image) == tmp_path / label
    write_tree(tmp_path, **{"images/cam/labels/a.txt": LABEL})
    assert LabelFiles(tmp_path).of(image) == tmp_path / "images/cam/labels/a.txt"
