"""What an image is called by others, and which one is meant."""

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from hardmine.data.identity import ImageName, ImageNames, as_key
from hardmine.errors import DataError


def names(*paths: str, ids: tuple | None = None, inner: int = 1) -> ImageNames:
    keys = [()] * len(paths) if ids is None else [(str(own),) for own in ids]
    return ImageNames([ImageName(key, path, inner) for key, path in zip(keys, paths, strict=True)], "the data")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        *(
            (7, "7"),
            (7.0, "7"),
            ("7", "7"),
            (np.int64(7), "7"),
            (torch.tensor(7), "7"),
            (np.float32(7), "7"),
            (-7, "-7"),
        ),
        *(("007", "007"), ("a", "a"), (2**80, str(2**80)), (np.str_("a"), "a")),
        *(
            (None, None),
            (True, None),
            (7.5, None),
            (float("nan"), None),
            ("", None),
            ([7], None),
            (np.array([7]), None),
        ),
    ],
)
def test_an_id_is_a_key_whatever_its_type(value, key):
    assert as_key(value) == key


@pytest.mark.parametrize(
    "called",
    [
        *(
            ("a", None),
            ("a.jpg", None),
            ("cam/a", None),
            (None, "a.jpg"),
            (None, "/home/x/data/images/train/cam/a.jpg"),
        ),
        *((None, "cam\\a.jpg"), ("3", "cam/a.jpg"), (None, "/data/images/train/cam/a.jpg"), (None, "./cam/a.jpg")),
    ],
)
def test_folders_of_files_know_their_images_by_name(called):
    found = names("/data/images/train/b.jpg", "/data/images/train/cam/a.jpg", inner=1).find([called])
    assert found == [1]


@pytest.mark.parametrize(("key", "place"), [("12", 2), ("0012", 2), ("3", 0), ("003", 0)])
def test_a_number_is_the_stem_that_it_spells(key, place):
    assert names("003.jpg", "x.jpg", "000012.jpg").find([(key, None)]) == [place]


def test_a_place_in_a_list_is_no_id():
    with pytest.raises(DataError, match=r"image_id 2 is not .*not the name of an image of the data, which has no ids"):
        names("a.jpg", "b.jpg").find([("2", None)])


def test_an_id_of_the_data_set_goes_before_the_name_that_looks_like_it():
    assert names("2.jpg", "1.jpg", ids=(1, 2)).find([("1", None), ("2", None)]) == [0, 1]


def test_all_ids_of_a_list_are_meant_alike():
    """Ids from 1 on, files from 0 on: what YOLO tools write of these has numbers that are ids of their neighbours."""
    images = names("000.jpg", "001.jpg", "002.jpg", ids=(1, 2, 3))
    assert images.find([(key, None) for key in ("0", "1", "2")]) == [0, 1, 2]
    assert images.find([(key, None) for key in ("1", "2", "3")]) == [0, 1, 2]
    with pytest.raises(DataError, match="here 0: image_id 0 is not in the ground truth"):
        images.find([(key, None) for key in ("0", "1", "2", "3")], lambda place: f"here {place}")


@pytest.mark.parametrize(
    ("keys", "readings"),
    [
        (("1", "2"), {"numbers": [1, 2], "from 0": [1, 2], "from 1": [0, 1]}),
        (("3",), {"from 1": [2]}),
        (("9",), {}),
        (("b", "1"), {}),
        ((None,), {}),
    ],
)
def test_ids_could_also_be_numbers_of_files_or_places(keys, readings):
    images = names("000.jpg", "001.jpg", "002.jpg", ids=(7, 8, 9))
    found = list(images.other_readings([(key, None) for key in keys]))
    assert [places for _, places in found] == list(readings.values())
    assert all(part in words for part, (words, _) in zip(readings, found, strict=True))
    assert list(images.other_readings([(key, "000.jpg") for key in keys])) == []


def test_a_file_name_goes_before_ids_that_only_repeat_it():
    assert names("2.jpg", "1.jpg", ids=(1, 2)).find([("1", "1.jpg"), ("2", "2.jpg")]) == [1, 0]


def test_an_id_and_a_name_of_two_images_contradict_each_other():
    with pytest.raises(DataError, match=r"image_id 1 and file_name 'b.jpg' contradict each other.*'a.jpg'"):
        names("a.jpg", "b.jpg", ids=(1, 2)).find([("1", "b.jpg")])


def test_an_unknown_id_beside_a_known_name_is_somebody_elses_number():
    assert names("a.jpg", "b.jpg", ids=(1, 2)).find([("77", "b.jpg")]) == [1]


@pytest.mark.parametrize("called", [(None, "a.jpg"), ("a", None), ("1", None)], ids=["file name", "stem", "number"])
def test_a_name_of_two_images_is_refused(called):
    images = names("cam1/a.jpg", "cam2/a.jpg", "01.jpg", "1.png", "001.png", inner=2)
    with pytest.raises(DataError, match=r"may be '(cam1/a|01|1).*tells them apart"):
        images.find([(called[0] and called[0].replace("1", "0001"), called[1])])


@pytest.mark.parametrize("called", ["c.jpg", "a.png", "train/a.jpg", "/x/train/a.jpg", "cam2/b.jpg", "", "/", "."])
def test_a_name_of_none_is_refused(called):
    images = names("/d/val/a.jpg", "/d/val/cam1/b.jpg", inner=2)
    with pytest.raises(DataError, match="is no image of the data"):
        images.find([(None, called)])


@pytest.mark.parametrize(
    ("listed", "called"),
    [
        *(("val2017", "train2017"), ("val", "train2017"), ("valid", "training"), ("VAL2017", "Train2017")),
        *(("Drone-DET-val/images", "Drone-DET-train/images"), ("images_val", "images_train")),
    ],
)
def test_an_image_of_another_split_is_none_of_these(listed, called):
    images = names(f"/data/{listed}/000.jpg", f"/data/{listed}/001.jpg")
    with pytest.raises(DataError, match="is no image of the data"):
        images.find([(None, f"{called}/000.jpg")])


@pytest.mark.parametrize(("listed", "called"), [("val", "validation"), ("valid2017", "val"), ("my test", "train_v2")])
def test_folders_that_have_been_renamed_are_no_other_split(listed, called):
    assert names(f"/data/{listed}/000.jpg").find([(None, f"/elsewhere/{called}/000.jpg")]) == [0]


def test_suffixes_tell_files_of_one_stem_apart():
    images = names("a.jpg", "a.png")
    assert images.find([(None, "a.png"), (None, "a.jpg"), ("a.png", None)]) == [1, 0, 1]


def test_a_dot_in_a_name_is_no_suffix():
    images = names("0.5 mm.jpg", "0.jpg", "x.png.jpg")
    assert images.find([("0.5 mm", None), ("0", None), ("x.png", None)]) == [0, 1, 2]


paths = st.lists(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".jpg"),
    min_size=1, max_size=6, unique=True,
)  # fmt: skip


@given(paths, st.sampled_from(["", "/elsewhere/", "C:\\x\\", "./"]))
def test_full_names_find_each_image_wherever_the_folder_lies(listed, prefix):
    images = ImageNames([ImageName((), f"/data/{path}", path.count("/") + 1) for path in listed], "the data")
    assert images.find([(None, f"/data/{path}") for path in listed]) == list(range(len(listed)))
    called = f"{prefix}{listed[0]}"
    others = [path for path in listed[1:] if path.endswith(f"/{listed[0]}")]
    if prefix in ("/elsewhere/", "C:\\x\\") or not others:
        assert images.find([(None, called)]) == [0]


def test_images_of_others_are_passed_over_where_that_is_asked_for():
    own = names("a.jpg", "b.jpg", ids=(7, 9))
    assert own.find_known([("7", None), ("8", None), (None, "b.jpg"), (None, "c.jpg")]) == [0, None, 1, None]
    assert names("x/a.jpg", "y/a.jpg").find_known([(None, "a.jpg")]) == [None]
