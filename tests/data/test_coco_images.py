"""Images of COCO files: ids are keys, whatever they look like, and files are found where tools put them."""

import pytest

from hardmine.data import open_dataset
from hardmine.errors import DataError


def annotation(**changes):
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0, **changes}


def only_problem(dataset):
    assert len(dataset.problems) == 1, dataset.problems
    return dataset.problems[0]


def test_an_id_of_two_images_leaves_both_out_with_their_annotations(tmp_path, write_coco, write_image):
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in ((1, "b"), (2, "a"), (1, "c"))]
    for name in "bc":
        write_image(tmp_path / f"{name}.png")
    annotations = [annotation(), annotation(id=2, image_id=2)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert [record.file.name for record in dataset.records] == ["a.png"]
    assert [(problem.severity, problem.record) for problem in dataset.problems] == [("error", "image id 1")] * 2
    assert "2 images have this id" in dataset.problems[0].message


def test_an_image_that_is_listed_once_an_annotation_is_one_image(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}] * 3
    annotations = [annotation(id=number, bbox=[10 * number, 0, 9, 9]) for number in range(3)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert (len(dataset), len(dataset.records[0].boxes)) == (1, 3)
    assert "listed 3 times" in only_problem(dataset).message


def test_one_file_under_an_id_for_each_annotation_is_one_image(tmp_path, write_coco):
    images = [{"id": number, "file_name": name} for number, name in ((4, "a.png"), (5, "./a.png"), (6, "a.png"))]
    annotations = [annotation(id=n, image_id=n, bbox=[10 * n - 40, 0, 9, 9]) for n in (4, 5, 6)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert [record.boxes[:, 0].tolist() for record in dataset.records] == [[0, 10, 20]]
    assert dataset.records[0].ids == (4, 5, 6)
    assert [problem.severity for problem in dataset.problems] == ["warning"] * 2


@pytest.mark.parametrize("own", ["4", "a-uuid", "007", 2.0, 2**63, 2**80, -(2**70), "ÿ"])
def test_ids_are_keys_whatever_they_look_like(tmp_path, write_coco, write_image, own):
    write_image(tmp_path / "b.png")
    images = [{"id": own, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}]
    annotations = [annotation(image_id=own), annotation(id=own, image_id=9, category_id=own)]
    categories = [{"id": own, "name": "cat"}, {"id": 1, "name": "dog"}]
    file = write_coco(tmp_path / "train.json", images=images, annotations=annotations, categories=categories)
    dataset = open_dataset(file)
    named = {record.file.name: [dataset.classes[label] for label in record.labels] for record in dataset.records}
    assert named == {"a.png": ["dog"], "b.png": ["cat"]}
    assert [record.ids for record in dataset.records] == [(own,), (9,)]
    assert set(dataset.own_category_ids) == {own, 1}
    assert all(abs(number) < 2**63 for number in (*dataset.category_ids, *(r.image_id for r in dataset.records)))
    assert dataset.problems == ()


@pytest.mark.parametrize(("in_images", "in_annotations"), [(7, "7"), ("7", 7), (7.0, 7), (7, 7.0), ("7", 7.0)])
def test_numbers_as_texts_or_fractions_are_the_same_ids(tmp_path, write_coco, in_images, in_annotations):
    images, annotations = [{"id": in_images, "file_name": "a.png"}], [annotation(image_id=in_annotations)]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=annotations))
    assert (len(dataset.records[0].boxes), dataset.problems) == (1, ())


@pytest.mark.parametrize("image", [None, {"id": None, "file_name": "a.png"}, {"id": 2}, {"id": True, "file_name": "a"}])
def test_image_without_usable_id_or_name_is_reported(tmp_path, write_coco, image):
    images = [{"id": 1, "file_name": "a.png"}, image]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert only_problem(dataset).record == "image 2"


def test_missing_image_is_left_out_with_its_objects_in_one_report(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "gone.png"}]
    file = write_coco(tmp_path / "train.json", images=images, annotations=[annotation(), annotation(id=2, image_id=2)])
    dataset = open_dataset(file)
    assert len(dataset) == 1
    assert (only_problem(dataset).severity, only_problem(dataset).record) == ("error", "image id 2")
    assert "'gone.png' is missing" in only_problem(dataset).message


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\a.png", "C:\\a.png", "", "a\0.png"])
def test_file_name_that_leads_elsewhere_is_refused(tmp_path, write_coco, write_image, name):
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "a.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": name}]
    dataset = open_dataset(write_coco(tmp_path / "data" / "train.json", images=images))
    assert len(dataset) == 1
    assert "is refused" in only_problem(dataset).message


def test_name_too_long_for_the_system_is_missing(tmp_path, write_coco):
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a" * 5000}]
    assert "is missing" in only_problem(open_dataset(write_coco(tmp_path / "train.json", images=images))).message


@pytest.mark.parametrize("size", [(-64, 48), ("64", "48"), (64, None), (64.5, 48)])
def test_stated_size_that_is_no_size_is_reported(tmp_path, write_coco, size):
    images = [{"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert only_problem(dataset).severity == "warning"
    assert (dataset.records[0].width, dataset.records[0].height) == (64, 48)


@pytest.mark.parametrize(
    "prefix",
    [
        *("/somewhere/else/", "https://host.example/bucket/", "C:\\data\\", "gs://bucket/x/", "../lsx/w/"),
        *("/data/local-files/?d=deep/", "https://host.example/data/local-files/?d=x%2Fdeep%2F"),
    ],
)
def test_names_of_elsewhere_are_found_by_their_last_parts(tmp_path, write_coco, write_image, prefix):
    for folder in ("one", "two"):
        write_image(tmp_path / "deep" / folder / "0.png")
    images = [{"id": n, "file_name": f"{prefix}{folder}/0.png"} for n, folder in ((1, "one"), (2, "two"))]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert [record.file.parent.name for record in dataset.records] == ["one", "two"]
    assert "2 images were found by the last parts of their names" in only_problem(dataset).message


def test_a_name_of_elsewhere_that_fits_two_files_is_left_out(tmp_path, write_coco, write_image):
    for folder in ("one", "two"):
        write_image(tmp_path / folder / "0.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "/else/three/0.png"}]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert len(dataset) == 1
    assert "may be" in only_problem(dataset).message


def test_two_names_of_elsewhere_for_one_file_are_both_left_out(tmp_path, write_coco, write_image):
    write_image(tmp_path / "0.png")
    images = [{"id": 1, "file_name": "a.png"}, *({"id": n, "file_name": f"/cam{n}/0.png"} for n in (2, 3))]
    dataset = open_dataset(write_coco(tmp_path / "train.json", images=images))
    assert [record.file.name for record in dataset.records] == ["a.png"]
    assert [problem.record for problem in dataset.problems] == ["image id 2", "image id 3"]


@pytest.mark.parametrize(
    "name", ["{here}/images/0.png", "../images/0.png", "..\\images\\0.png", "images/../images/0.png"]
)
def test_names_that_lead_into_the_data_sets_own_folder_are_read(tmp_path, write_coco, write_image, name):
    write_image(tmp_path / "images" / "0.png")
    (tmp_path / "annotations").mkdir()
    images = [{"id": 1, "file_name": name.format(here=tmp_path)}]
    dataset = open_dataset(write_coco(tmp_path / "annotations" / "train.json", images=images))
    assert (len(dataset), dataset.problems) == (1, ())


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_default.json", "images/default"),
        ("labels.json", "data"),
        ("annotations/coco.json", "images"),
        ("result.json", "images"),
        ("_annotations.coco.json", "."),
        ("annotations/instances_val2017.json", "val2017"),
    ],
)
def test_images_lie_where_tools_put_them(tmp_path, write_coco, write_image, file, folder):
    write_image(tmp_path / folder / "0.png")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    write_coco(tmp_path / file, images=[{"id": 1, "file_name": "0.png"}])
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.problems) == (1, ())


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *(("/home/x/set/1.png", "home/x/set/1.png"), ("../set/1.png", "set/1.png"), ("C:\\set\\1.png", "set/1.png")),
        *(("https://host.example/a%20b/1.png?size=big", "a b/1.png"), ("s3://bucket/1.png", "1.png")),
    ],
)
def test_a_picture_that_is_not_needed_may_be_anywhere(tmp_path, write_coco, name, place):
    file = write_coco(tmp_path / "train.json", images=[{"id": 1, "file_name": name, "width": 64, "height": 48}])
    dataset = open_dataset(file, need_pictures=False)
    assert [record.file for record in dataset.records] == [tmp_path / place]
    assert dataset.image_names.find([(None, name)]) == [0]
    with pytest.raises(DataError, match="refused: expected a path inside"):
        open_dataset(file)


@pytest.mark.parametrize("name", ["", "/", "..", "a\0b.png"])
def test_a_picture_without_a_name_is_named(tmp_path, write_coco, name):
    file = write_coco(tmp_path / "train.json", images=[{"id": 1, "file_name": name, "width": 64, "height": 48}])
    with pytest.raises(DataError, match=r"image id 1: the image is left out: .* refused"):
        open_dataset(file, need_pictures=False)


def test_pictures_are_not_needed_where_sizes_are_stated(tmp_path, write_coco):
    images = [{"id": n, "file_name": f"gone/{n}.png", "width": 64, "height": 48} for n in (1, 2)]
    file = write_coco(tmp_path / "train.json", images=[*images, {"id": 3, "file_name": "gone/3.png"}])
    dataset = open_dataset(file, need_pictures=False)
    assert [(record.image_id, record.width, record.height) for record in dataset.records] == [(1, 64, 48), (2, 64, 48)]
    assert only_problem(dataset).record == "image id 3"
