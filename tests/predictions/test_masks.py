import numpy as np
import pytest
from PIL import Image

from hardmine.data import SegmentationDataset, SegmentationRecord, open_segmentation_scenes
from hardmine.data.segmentation.masks import HeldMask
from hardmine.errors import DataError
from hardmine.predictions import PredictedMasks
from hardmine.training.segment import mask_names

SHAPE = (3, 6, 8)


def dataset(root, *names):
    mask = HeldMask(np.zeros(SHAPE[1:], np.uint8))
    records = [SegmentationRecord(number, root / name, mask, 8, 6) for number, name in enumerate(names, start=1)]
    return SegmentationDataset("some", "train", ("road", "sky", "car"), records)


def random(seed=0, shape=SHAPE):
    found = np.random.default_rng(seed).random(shape)
    return (found / found.sum(axis=0)).astype(np.float32)


def save(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    {".npy": np.save, ".npz": np.savez_compressed}[file.suffix](file, array)


@pytest.mark.parametrize("called", ["a/1.npy", "a/1.png.npy", "1.npy", "1.png.npz", "a/1.npz"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
def test_arrays_are_found_by_the_name_of_the_image(tmp_path, called, kind):
    images = dataset(tmp_path / "images", "a/1.png", "b/2.png")
    save(tmp_path / "found" / called, random().astype(kind))
    save(tmp_path / "found" / "b" / "2.npy", random(1))
    found = PredictedMasks(tmp_path / "found", images)
    assert len(found) == 2
    assert found[0].dtype == np.float32
    assert found[0] == pytest.approx(random(), abs=1e-3)
    assert found[1].tolist() == random(1).tolist()


def test_arrays_in_the_order_of_fortran_are_the_same(tmp_path):
    save(tmp_path / "found" / "1.npy", np.asfortranarray(random()))
    assert PredictedMasks(tmp_path / "found", dataset(tmp_path, "1.jpg"))[0].tolist() == random().tolist()


def test_classes_are_taken_for_certain(tmp_path):
    values = np.arange(48).reshape(SHAPE[1:]).astype(np.uint8) % 3
    Image.fromarray(values).save(tmp_path / "1.png")
    found = PredictedMasks(tmp_path, dataset(tmp_path / "images", "1.jpg"))[0]
    assert (found.argmax(axis=0) == values).all()
    assert set(found.reshape(-1).tolist()) == {0.0, 1.0}


def test_generated_images_are_called_by_their_id(tmp_path):
    scenes = open_segmentation_scenes("train", 2)
    for number in (1, 2):
        Image.fromarray(scenes.mask(number - 1)).save(tmp_path / f"{number}.png")
    found = list(PredictedMasks(tmp_path, scenes))
    assert all((of.argmax(axis=0) == scenes.mask(place)).all() for place, of in enumerate(found))


def test_of_an_archive_it_takes_the_array_of_that_name(tmp_path):
    np.savez(tmp_path / "1.npz", other=np.zeros(3), probabilities=random())
    assert PredictedMasks(tmp_path, dataset(tmp_path, "1.jpg"))[0].tolist() == random().tolist()
    np.savez(tmp_path / "1.npz", other=np.zeros(3), another=random())
    with pytest.raises(DataError, match="has 2 arrays; expected one, or one of them to be called 'probabilities'"):
        PredictedMasks(tmp_path, dataset(tmp_path, "1.jpg"))[0]


def test_files_of_no_image_are_said(tmp_path, caplog):
    for name in ("1.npy", "2.npy", "3.npy"):
        save(tmp_path / name, random())
    PredictedMasks(tmp_path, dataset(tmp_path / "images", "1.jpg"))
    assert "2 files are of no image of some 'train'" in caplog.text


@pytest.mark.parametrize(
    ("images", "files", "message"),
    [
        (("1.jpg", "2.jpg", "3.jpg"), ("1.npy",), "has no prediction of 2 of 3 images, the first is '2'"),
        (("1.jpg",), ("1.npy", "1.npz"), r"1\.npy and 1\.npz are of one image"),
        (("a/1.jpg", "b/1.jpg"), ("1.npy",), "may be of 2 images that are called so, 'a/1' among them"),
        (("1.jpg", "1.png"), ("1.npy",), "may be of several images"),
        (("1.jpg", "a/1.jpg"), ("1.npy",), "may be of 2 images that are called so, 'a/1' among them"),
    ],
)
def test_a_folder_that_does_not_fit_is_named(tmp_path, images, files, message):
    for file in files:
        save(tmp_path / "found" / file, random())
    with pytest.raises(DataError, match=message):
        PredictedMasks(tmp_path / "found", dataset(tmp_path / "images", *images))


def test_of_two_images_each_file_is_of_its_own(tmp_path):
    """The image beside the others has the bare name to itself, where the other has a file of its own."""
    for seed, name in enumerate(("1.npy", "a/1.npy")):
        save(tmp_path / "found" / name, random(seed))
    found = PredictedMasks(tmp_path / "found", dataset(tmp_path / "images", "1.jpg", "a/1.jpg"))
    assert [of.tolist() for of in found] == [random(0).tolist(), random(1).tolist()]


def test_there_must_be_a_folder(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        PredictedMasks(tmp_path / "none", dataset(tmp_path, "1.jpg"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (random(shape=(6, 8, 3)), r"has the shape \(6, 8, 3\); expected \(3, 6, 8\): classes, height, width"),
        (np.zeros((6, 8)), "the classes themselves are written as .png"),
        (np.zeros((1, *SHAPE)), "write each image into a file of its own"),
        (np.zeros(SHAPE, int), "numbers of type int64; expected probabilities as floats"),
    ],
)
def test_an_array_that_does_not_fit_is_named(tmp_path, array, message):
    np.save(tmp_path / "1.npy", array)
    with pytest.raises(DataError, match=message):
        PredictedMasks(tmp_path, dataset(tmp_path / "images", "1.jpg"))[0]


def test_objects_of_python_are_not_unpickled(tmp_path):
    np.save(tmp_path / "1.npy", np.full(SHAPE, {}, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="numbers of type object"):
        PredictedMasks(tmp_path, dataset(tmp_path / "images", "1.jpg"))[0]


@pytest.mark.parametrize("name", ["1.npy", "1.npz"])
@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_a_broken_file_is_named(tmp_path, name, content):
    save(tmp_path / name, random())
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) - 30] if content is None else content)
    with pytest.raises(DataError, match=rf"{name}.* (write it again|ends after)"):
        PredictedMasks(tmp_path, dataset(tmp_path / "images", "1.jpg"))[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((6, 8), 3, np.uint8), "has the value 3; expected the number of a class, 0 to 2"),
        (np.full((6, 8), 255, np.uint8), "has the value 255"),
        (np.zeros((8, 6), np.uint8), r"has pixels \(8, 6\); expected the class of each of \(6, 8\)"),
        (np.zeros((6, 8, 3), np.uint8), r"has pixels \(6, 8, 3\)"),
    ],
)
def test_a_picture_that_does_not_fit_is_named(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=message):
        PredictedMasks(tmp_path, dataset(tmp_path / "images", "1.jpg"))[0]


@pytest.mark.parametrize(
    "names", [("a.jpg", "b c.jpg"), ("a/1.jpg", "b/1.jpg"), ("a/1.jpg", "a/1.png"), ("ü?.jpg", "x.jpg")]
)
def test_masks_are_found_as_predict_writes_them(tmp_path, names):
    images = dataset(tmp_path / "images", *names)
    for number, name in enumerate(mask_names(images)):
        Image.fromarray(np.full(SHAPE[1:], number, np.uint8)).save(tmp_path / name)
    found = PredictedMasks(tmp_path, images)
    assert [int(of.argmax(axis=0)[0, 0]) for of in found] == [0, 1]


def test_masks_of_generated_images_are_found_as_predict_writes_them(tmp_path):
    scenes = open_segmentation_scenes("train", 1)
    Image.fromarray(scenes.mask(0)).save(tmp_path / "00001.png")
    assert (PredictedMasks(tmp_path, scenes)[0].argmax(axis=0) == scenes.mask(0)).all()
