import json

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.special import softmax
from skimage.measure import label as components, regionprops

from hardmine.data import IGNORED, SegmentationDataset, SegmentationRecord, open_segmentation_scenes, with_mask_errors
from hardmine.data.segmentation.masks import HeldMask
from hardmine.errors import DataError, RunError
from hardmine.mining.mask_folder import MASK_PICTURES, SUSPECT_SCORE, hardness_map, mine_masks
from hardmine.mining.masks import suspect_masks
from tests.mining.test_masks import sure

CLASSES = ("road", "sky", "car")


def masks(num=3, seed=0):
    """Patches of three classes, of which some pixels are ignored."""
    rng = np.random.default_rng(seed)
    found = np.kron(rng.integers(0, 3, (num, 4, 5)), np.ones((1, 10, 10), int)).astype(np.uint8)
    found[:, :3, :3] = IGNORED
    return found


def dataset(files, labels=None):
    labels = masks(len(files)) if labels is None else labels
    records = [
        SegmentationRecord(10 * number, file, HeldMask(mask), mask.shape[1], mask.shape[0])
        for number, (file, mask) in enumerate(zip(files, labels, strict=True), start=1)
    ]
    return SegmentationDataset("some", "train", CLASSES, records)


def predicted(labels, seed=0):
    """Probabilities of a model that mostly says the labels."""
    noise = np.random.default_rng(seed).normal(0, 1, (3, *labels.shape))
    return softmax(noise + 5 * sure(labels), axis=0)


def mined(images, folder, order=None, **changed):
    """Against a model that mostly says the truth, where that is another thing than the labels."""
    truth = getattr(images, "parent", images)
    places = range(len(images)) if order is None else order
    mine_masks(
        images, ((place, predicted(truth.mask(place))) for place in places), folder / "mined", "found", **changed
    )
    return folder / "mined"


def tables(folder):
    return {name: pl.read_parquet(folder / f"{name}.parquet") for name in ("images", "regions", "classes")}


def pixels(folder, kind, picture):
    return np.asarray(Image.open(folder / kind / picture))


def test_a_pixel_is_as_hard_as_its_loss_up_to_where_that_saturates():
    labels = np.array([[0, 0, 0, 0, IGNORED]])
    p = np.array([1, 0.5, 0.01, 0, 0.1])
    found = hardness_map(labels, np.stack([p, 1 - p])[:, None])
    assert found.tolist() == [[0, round(255 * np.log(2) / np.log(100)), 255, 255, 0]]


def test_the_order_in_which_images_come_makes_no_difference(tmp_path):
    images = dataset([tmp_path / f"{name}.png" for name in "abc"])
    one, other = (tmp_path / name for name in ("one", "other"))
    here, there = tables(mined(images, one)), tables(mined(images, other, [2, 0, 1]))
    assert all(here[name].equals(there[name]) for name in here)


def test_tables_say_what_is_in_the_pictures(tmp_path):
    truth = masks(4)
    images = dataset([tmp_path / "a" / f"{number}.png" for number in range(4)], truth)
    folder = mined(with_mask_errors(images, {"dropped": 0.3, "swapped": 0.3}), tmp_path)
    found = tables(folder)
    assert len(found["regions"]) > 2
    for place, row in enumerate(found["images"].iter_rows(named=True)):
        labels, of_model, numbers = (
            pixels(folder, kind, row["picture"]) for kind in ("labels", "predicted", "regions")
        )
        regions = found["regions"].filter(pl.col("image_id") == row["image_id"])
        assert sorted(regions["number"]) == list(range(1, row["regions"] + 1)) == sorted(set(numbers[numbers > 0]))
        for region in regions.iter_rows(named=True):
            inside = numbers == region["number"]
            assert inside.sum() == region["pixels"]
            assert set(labels[inside]) == {CLASSES.index(region["label"])}
            assert set(of_model[inside]) == {CLASSES.index(region["predicted"])}
            rows, columns = np.nonzero(inside)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert box == tuple(region[side] for side in ("x1", "y1", "x2", "y2"))
        suspects = regions.filter(pl.col("score") >= SUSPECT_SCORE)
        assert (row["suspects"], row["suspect_pixels"]) == (len(suspects), suspects["pixels"].sum())
        known = labels != IGNORED
        assert pixels(folder, "hardness", row["picture"])[~known].max(initial=0) == 0
        by_class = [
            (known & (labels == c) & (of_model == c)).sum() / (known & ((labels == c) | (of_model == c))).sum()
            for c in range(3)
            if (known & ((labels == c) | (of_model == c))).any()
        ]
        assert row["miou"] == pytest.approx(np.mean(by_class))
        assert row["hardness"] == pytest.approx(1 - row["self_confidence"])
        assert row["image_id"] == images.records[place].image_id
    assert found["classes"]["pixels"].sum() == (truth != IGNORED).sum()


def test_regions_and_confidence_are_those_of_suspect_masks(tmp_path):
    images = with_mask_errors(dataset([tmp_path / "1.png", tmp_path / "2.png"]), {"swapped": 0.5})
    found = tables(mined(images, tmp_path))
    expected = suspect_masks(images, (predicted(images.parent.mask(place)) for place in range(2)))
    assert len(expected.regions) > 2
    columns = [name for name in expected.regions.columns if name != "file"]
    assert found["regions"].select(columns).equals(expected.regions.select(columns))
    assert found["images"]["self_confidence"].to_list() == pytest.approx(expected.images["self_confidence"].to_list())
    assert found["images"]["score"].to_list() == expected.images["score"].to_list()


def test_half_of_all_draws_go_to_what_is_hard(tmp_path):
    images = tables(mined(dataset([tmp_path / "1.png", tmp_path / "2.png", tmp_path / "3.png"]), tmp_path))["images"]
    hardness = images["hardness"].to_numpy()
    assert images["weight"].to_list() == pytest.approx(0.5 + 0.5 * hardness / hardness.mean())
    assert images["weight"].mean() == pytest.approx(1)


def test_planted_errors_are_the_most_suspect_regions(tmp_path):
    """Of a model that knows the truth suspect regions are what was planted, all of it, and nothing else."""
    scenes = open_segmentation_scenes("train", 30)
    spoilt = with_mask_errors(scenes, {"dropped": 0.2, "swapped": 0.2})
    found = ((place, sure(scenes.mask(place), 5)) for place in range(30))
    mine_masks(spoilt, found, tmp_path / "mined", "found")
    folder, regions = tmp_path / "mined", tables(tmp_path / "mined")["regions"]
    pictures = dict(tables(folder)["images"].select("image_id", "picture").iter_rows())
    num_wrong = 0
    for region in regions.iter_rows(named=True):
        place = region["image_id"] - 1
        inside = pixels(folder, "regions", pictures[region["image_id"]]) == region["number"]
        assert (spoilt.mask(place)[inside] != scenes.mask(place)[inside]).all()
        num_wrong += int(inside.sum())
    changed = [int((spoilt.mask(place) != scenes.mask(place)).sum()) for place in range(30)]
    slivers = [_pixels_in_slivers(spoilt.mask(place), scenes.mask(place)) for place in range(30)]
    assert num_wrong == sum(changed) - sum(slivers) > 0


def _pixels_in_slivers(labels, truth):
    """Of wrong pixels, how many are in connected parts that are too small to be listed."""
    kind = np.where(labels != truth, labels.astype(int) * 5 + truth + 1, 0)
    return sum(int(of.area) for of in regionprops(components(kind, background=0, connectivity=1)) if of.area < 4)


@pytest.mark.parametrize(
    "names",
    [
        ("../../etc/a.png", "../b.png"),
        ("a/1.png", "b/1.png", "a_1.png"),
        ("1.png", "1.jpg"),
        ("CON.png", "con.png", "Con.PNG"),
        ("\u202e.png", "x" * 200 + ".png", "x" * 200 + "y.png", "</script>.png"),
        ("=cmd.png", "-x.png"),
    ],
)
def test_pictures_never_collide_and_stay_in_the_folder(tmp_path, names):
    folder = mined(dataset([tmp_path / "images" / name for name in names]), tmp_path)
    pictures = tables(folder)["images"]["picture"].to_list()
    assert len({name.lower() for name in pictures}) == len(names)
    assert all(name.isascii() and len(name) < 100 and "/" not in name and ".." not in name for name in pictures)
    for kind in MASK_PICTURES:
        assert sorted(file.name for file in (folder / kind).iterdir()) == sorted(pictures)
    assert {path.name for path in tmp_path.iterdir()} == {"mined"}


def test_programs_and_people_are_told_what_was_mined(tmp_path):
    folder = mined(dataset([tmp_path / "images" / "1.png"]), tmp_path, origin=("data", "val"))
    facts = json.loads((folder / "mined.json").read_text())
    assert (facts["task"], facts["data"], facts["split"]) == ("segmentation", "data", "val")
    assert facts["classes"] == list(CLASSES)
    assert facts["images"] == str(tmp_path / "images")
    text = (folder / "README.md").read_text()
    for path in folder.iterdir():
        assert path.name == "README.md" or f"`{path.name}{'/' * path.is_dir()}`" in text


def test_an_image_of_which_all_is_ignored_is_neither_hard_nor_suspect(tmp_path):
    labels = masks(2)
    labels[0] = IGNORED
    found = tables(mined(dataset([tmp_path / "1.png", tmp_path / "2.png"], labels), tmp_path))["images"]
    assert found.row(0, named=True) | {"weight": None} == found.row(0, named=True) | {
        "weight": None, "hardness": 0, "self_confidence": 1, "miou": None, "hardest_class": None, "regions": 0,
    }  # fmt: skip


def test_what_does_not_fit_is_named_and_nothing_is_written(tmp_path):
    images = dataset([tmp_path / "images" / "1.png", tmp_path / "images" / "2.png"])
    right = [predicted(images.mask(place)) for place in range(2)]
    for given, message in (
        ([(0, right[0])], "got predictions of 1 images; expected 2"),
        ([(0, right[0]), (0, right[0])], r"some, 1\.png: two predictions"),
        ([(0, right[0]), (1, right[1][:, 1:])], r"some, 2\.png: the labels have shape"),
    ):
        with pytest.raises(DataError, match=message):
            mine_masks(images, given, tmp_path / "mined", "found")
        assert not list(tmp_path.iterdir())
    (tmp_path / "mined").mkdir()
    (tmp_path / "mined" / "mine").touch()
    with pytest.raises(RunError, match="exists already"):
        mine_masks(images, enumerate(right), tmp_path / "mined", "found")
