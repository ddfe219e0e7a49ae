import pytest

from hardmine.data.entries import ImageEntry
from hardmine.data.problems import ProblemLog
from hardmine.data.voc_xml import add_objects, class_names, parse_annotation, stated_size
from hardmine.errors import DataError


@pytest.fixture
def objects(tmp_path):
    def read(text):
        file = tmp_path / "a.xml"
        file.write_text(f"<annotation>{text}</annotation>")
        root, report = parse_annotation(file), ProblemLog(file)
        entry = ImageEntry(1, tmp_path / "a.jpg", file, "")
        add_objects(root, entry, dict(enumerate(class_names([root]), start=1)), report)
        return entry, report.problems

    return read


def a_cat(place):
    return f"<object><name>cat</name>{place}</object>"


@pytest.mark.parametrize(
    ("place", "corners"),
    [
        ("<polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>3</y2><x3>5</x3><y3>8.5</y3></polygon>", (1, 2, 9, 8.5)),
        ("<polygon>" + "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in [(1, 2), (9, 3), (5, 8)]) + "</polygon>",
         (1, 2, 9, 8)),
        ("<robndbox><cx>50</cx><cy>40</cy><w>20</w><h>10</h><angle>0</angle></robndbox>", (40, 35, 60, 45)),
        ("<robndbox><cx>50</cx><cy>40</cy><w>20</w><h>10</h><angle>1.5707963267948966</angle></robndbox>",
         (45, 30, 55, 50)),
    ],
)  # fmt: skip
def test_box_around_what_has_no_bndbox_is_reported(objects, place, corners):
    entry, (problem,) = objects(a_cat(place) + a_cat(place))
    assert [item.box for item in entry.objects] == [pytest.approx(corners)] * 2
    assert (problem.severity, problem.record) == ("warning", "object 1")
    assert "2 objects have no bndbox" in problem.message


@pytest.mark.parametrize(
    "place",
    [
        "",
        "<polygon><x1>1</x1><y1>2</y1></polygon>",
        "<polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>nan</y2><x3>5</x3><y3>8</y3></polygon>",
        "<robndbox><cx>50</cx><cy>40</cy></robndbox>",
        "<bndbox><xmin>1</xmin></bndbox><polygon><x1>1</x1><y1>2</y1><x2>9</x2><y2>3</y2><x3>5</x3><y3>8</y3></polygon>",
    ],
)
def test_object_whose_place_cannot_be_read_is_lost(objects, place):
    entry, (problem,) = objects(a_cat(place))
    assert (entry.objects, entry.lost, problem.severity) == ([], ["object 1"], "error")


def test_object_without_a_name_keeps_its_place(objects):
    entry, (problem,) = objects(
        "<object><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"
    )
    assert [(item.box, item.category_id) for item in entry.objects] == [((1, 2, 3, 4), None)]
    assert "it has no name" in problem.message


def test_boxes_of_parts_are_not_those_of_the_object(objects):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    entry, problems = objects(a_cat(part + box))
    assert ([item.box for item in entry.objects], problems) == ([(5, 5, 9, 9)], [])


def test_object_that_was_deleted_is_none(objects):
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    entry, problems = objects(a_cat(f"<deleted>1</deleted>{box}") + a_cat(f"<deleted>0</deleted>{box}"))
    assert ([item.record for item in entry.objects], problems) == (["object 2"], [])


@pytest.mark.parametrize(("text", "is_crowd"), [("1", True), ("True", True), ("0", False), ("", False), (" 1 ", True)])
def test_difficult_objects_are_crowds(objects, text, is_crowd):
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    entry, _ = objects(a_cat(f"{box}<difficult>{text}</difficult>"))
    assert entry.objects[0].is_crowd is is_crowd


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-8-sig", '<?xml version="1.0" encoding="utf-8"?>'),
        ("utf-16", ""),
        ("latin-1", '<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("gb18030", "<?xml version='1.0' encoding='gb18030'?>"),
    ],
)
def test_encodings_that_are_marked_or_declared(tmp_path, encoding, declared):
    file = tmp_path / "a.xml"
    file.write_text(f"{declared}<annotation>{a_cat('').replace('cat', 'é')}</annotation>", encoding=encoding)
    assert class_names([parse_annotation(file)]) == ["é"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xff", b"<?xml version='1.0' encoding='gb18030'?>\xff", b"<?xml version='1.0' encoding='zip'?><a/>"],
)
def test_what_is_no_xml_is_said(tmp_path, content):
    file = tmp_path / "a.xml"
    file.write_bytes(content)
    assert isinstance(parse_annotation(file), DataError)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("<width>64</width><height>48.0</height>", (64, 48)), ("<width>0</width><height>48</height>", None), ("", None),
     ("<width>x</width><height>48</height>", None), ("<width>inf</width><height>48</height>", None)],
)  # fmt: skip
def test_stated_size(tmp_path, size, expected):
    file = tmp_path / "a.xml"
    file.write_text(f"<annotation><size>{size}</size></annotation>")
    assert stated_size(parse_annotation(file)) == expected
