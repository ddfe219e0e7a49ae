from xml.etree.ElementTree import fromstring

import pytest

from hardmine.data.entries import Reading
from hardmine.data.problems import ProblemLog
from hardmine.data.voc_images import VocImages


@pytest.fixture
def found(tmp_path):
    """The image of each xml, relative to the tree, and the problems with them."""

    def find(**fields):
        images = VocImages(tmp_path, tmp_path / "Annotations", Reading())
        report = ProblemLog(tmp_path)
        roots = {name: fromstring(f"<annotation>{text}</annotation>") for name, text in fields.items()}
        files = images.find(roots, report)
        return {name: file.relative_to(tmp_path).as_posix() for name, file in files.items()}, report.problems

    return find


@pytest.mark.parametrize("text", ["<filename>c 1.png</filename>", "<filename>sub/d.png</filename>"])
def test_image_that_the_xml_names(found, tmp_path, write_tree, text):
    write_tree(tmp_path, "JPEGImages/c 1.png", "JPEGImages/sub/d.png", "JPEGImages/b.png")
    files, problems = found(a=text)
    assert (f"<filename>{files['a'].removeprefix('JPEGImages/')}</filename>", problems) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        "<filename>C:\\data\\other.png</filename>",
        "<filename>gone.png</filename><path>/home/me/JPEGImages/cam1/other.png</path>",
        "<filename>gone.png</filename><path>C:\\data\\cam1\\other.png</path>",
        "<filename>gone.png</filename><folder>cam2</folder>",
    ],
)
def test_image_that_is_found_by_the_last_parts_of_its_name_is_reported(found, tmp_path, write_tree, text):
    write_tree(tmp_path, "JPEGImages/cam1/other.png", "pictures/cam2/gone.png", "pictures/cam3/gone.png")
    files, (problem,) = found(a=text)
    assert files["a"] == ("pictures/cam2/gone.png" if "cam2" in text else "JPEGImages/cam1/other.png")
    assert (problem.severity, "1 images were found by" in problem.message) == ("warning", True)


def test_image_of_the_same_name_goes_before_what_the_xml_names(found, tmp_path, write_tree):
    write_tree(tmp_path, "JPEGImages/a.png", "JPEGImages/b.png")
    same = "<filename>image.png</filename>"
    assert found(a=same, b=same) == ({"a": "JPEGImages/a.png", "b": "JPEGImages/b.png"}, [])


def test_of_two_images_of_the_same_name_the_one_that_the_xml_names(found, tmp_path, write_tree):
    write_tree(tmp_path, "JPEGImages/a.jpg", "JPEGImages/a.png")
    files, (problem,) = found(a="<filename>a.png</filename>")
    assert (files, problem.severity) == ({"a": "JPEGImages/a.png"}, "warning")


def test_image_that_two_xml_name_is_that_of_its_own(found, tmp_path, write_tree):
    write_tree(tmp_path, "JPEGImages/a.png", "JPEGImages/x.png")
    both = {"b": "<filename>x.png</filename>", "c": "<filename>x.png</filename>"}
    files, problems = found(a="", d="<filename>a.png</filename>", **both)
    assert files == {"a": "JPEGImages/a.png"}
    assert [problem.file.stem for problem in problems] == ["d", "b", "c"]
    assert "also that of another xml" in problems[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<filename>../secret.png</filename>", "is refused"),
        ("<filename>/etc/secret.png</filename>", "is missing"),
        ("<filename>gone.png</filename>", "'gone.png' is missing"),
        ("", "'a.jpg' is missing"),
        ("<filename>b.png</filename>", "may be"),
    ],
)
def test_image_that_is_not_found_is_reported(found, tmp_path, write_tree, text, message):
    write_tree(tmp_path, "JPEGImages/1/b.png", "JPEGImages/2/b.png")
    files, (problem,) = found(a=text)
    assert (files, problem.severity) == ({}, "error")
    assert message in problem.message
