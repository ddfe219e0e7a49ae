"""Images that belong together are told by a field, by their folder or by the names of their files."""

import pytest

from hardmine.data import groups_of, open_dataset, open_scenes, open_segmentation_scenes
from hardmine.data.groups import check_grouping, field_of, groups_of_masks
from hardmine.errors import ConfigError, DataError

NAMES = ["north/a_tile_0_0.png", "north/a_tile_0_64.png", "south/a_tile_0_0.png", "south/deep/b_tile_9_9.png"]


@pytest.fixture
def coco(tmp_path, write_coco, write_image):
    """Opens four images in folders, with further fields, `more` in place of these."""

    def make(field=None, **more):
        given = {"video_id": [7, 7, 8, 8], "patient": list("abab"), **more}
        images = []
        for place, name in enumerate(NAMES):
            write_image(tmp_path / name)
            own = {field: values[place] for field, values in given.items() if values[place] is not ...}
            images.append({"id": place, "file_name": name, "width": 64, "height": 48, **own})
        return open_dataset(write_coco(tmp_path / "train.json", images=images, annotations=[]), image_field=field)

    return make


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("video_id", ["7", "7", "8", "8"]),
        ("patient", ["a", "b", "a", "b"]),
        ("folder", ["north", "north", "south", "south/deep"]),
        ("^(.+)_tile", ["a", "a", "a", "b"]),
        (r"_(\d+)\.png$", ["0", "64", "0", "9"]),
        ("/(north|south)/", ["north", "north", "south", "south"]),
        ("(?:a|b)(_)", ["_", "_", "_", "_"]),
    ],
)
def test_each_way_gives_one_group_an_image(coco, by, groups):
    found = groups_of(coco(field_of(by)), by)
    assert found.tolist() == groups
    assert found.shape == (4,)


def test_equal_numbers_are_equal_groups_however_they_are_written(coco):
    assert groups_of(coco("video_id", video_id=[7, "7", 7.0, "007"]), "video_id").tolist() == ["7", "7", "7", "007"]


def test_only_the_field_that_is_asked_for_is_kept(coco):
    assert {tuple(record.fields) for record in coco("patient").records} == {("patient",)}
    assert all(record.fields is None for record in coco().records)


@pytest.mark.parametrize("value", [..., None, "", True, ["a"], 1.5, {}])
def test_an_image_whose_field_is_no_group_is_named(coco, value):
    with pytest.raises(DataError, match=r"image 'a_tile_0_0.png' of train, .*has no field 'patient'.*expected a field"):
        groups_of(coco("patient", patient=["a", "b", value, "b"]), "patient")


def test_a_data_set_that_was_opened_without_the_field_has_no_groups(coco):
    with pytest.raises(DataError, match="has no field 'patient'"):
        groups_of(coco("video_id"), "patient")


@pytest.mark.parametrize("by", ["^(a.*)_tile", "^b_tile(.*)_9_9", "/(north)/"])
def test_an_image_that_the_expression_does_not_match_is_named(coco, by):
    with pytest.raises(DataError, match=r"image '[ab]_tile_\d+_\d+.png' of train, split 'train', does not match"):
        groups_of(coco(), by)


@pytest.mark.parametrize("by", ["folder", "(.)", "video_id"])
def test_generated_images_have_none(by):
    with pytest.raises(DataError, match=r"image id 1 of scenes, split 'train', has no (file|field)"):
        groups_of(open_scenes("train", num_images=2, size=64), by)


@pytest.mark.parametrize("by", ["", " ", "(a", "(a)(b)", "(?:a)", "a)(", "*(a)"])
def test_what_is_no_way_is_refused(by):
    with pytest.raises(ConfigError, match=r"group_by .*expected (a field|one)"):
        check_grouping(by)


def test_other_formats_have_folders_and_names_but_no_fields(tmp_path, write_yolo):
    dataset = open_dataset(write_yolo(tmp_path), image_field="video_id")
    assert groups_of(dataset, "(.)").tolist() == ["a"]
    with pytest.raises(DataError, match="has no field 'video_id'"):
        groups_of(dataset, "video_id")


def test_images_with_masks_have_folders_and_names_but_no_fields(coco):
    dataset = coco()
    assert groups_of_masks(dataset, "(.)_tile").tolist() == ["a", "a", "a", "b"]
    assert len(set(groups_of_masks(dataset, "folder").tolist())) == 3
    with pytest.raises(ConfigError, match="which masks do not have"):
        groups_of_masks(dataset, "video_id")
    with pytest.raises(DataError, match="has no file"):
        groups_of_masks(open_segmentation_scenes("val", num_images=1), "folder")
