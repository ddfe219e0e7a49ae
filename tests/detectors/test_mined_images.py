"""How often the images that a framework trains on are drawn."""

import polars as pl
import pytest
import torch

from hardmine.detectors.mined_images import DrawnImages, weights_of_files
from hardmine.errors import DataError


@pytest.fixture
def mined(tmp_path):
    """A mined folder with these images, of weights 1, 2, 3, ... or as given."""

    def write(*names, weights=None):
        table = pl.DataFrame({"file_name": names, "weight": weights or [float(k + 1) for k in range(len(names))]})
        table.write_parquet(tmp_path / "images.parquet")
        return tmp_path

    return write


def test_a_file_is_the_image_with_whose_path_its_own_ends(mined):
    folder = mined("a.png", "val/a.png", "b.png")
    weights = weights_of_files(folder, ["/data/val/a.png", "/data/train/b.png", "/data/train/a.png"])
    assert weights.tolist() == [2, 3, 1]
    assert weights.dtype == torch.float64


def test_a_name_is_whole_parts_of_a_path(mined):
    with pytest.raises(DataError, match=r"no image /data/xa\.png; mine the images that are trained on"):
        weights_of_files(mined("a.png"), ["/data/xa.png"])


def test_relative_and_absolute_names(mined):
    assert weights_of_files(mined("/data/a.png"), ["/data/a.png"]).tolist() == [1]
    assert weights_of_files(mined("data/a.png"), ["data/a.png"]).tolist() == [1]


def test_two_files_of_one_name_are_told(mined):
    with pytest.raises(DataError, match=r"a\.png may be /x/a\.png or /y/a\.png"):
        weights_of_files(mined("a.png"), ["/x/a.png", "/y/a.png"])


@pytest.mark.parametrize("weights", [[-1.0, 1.0], [float("nan"), 1.0], [float("inf"), 1.0], [0.0, 0.0], [None, 1.0]])
def test_weights_that_nothing_can_be_drawn_by_are_refused(weights, mined):
    with pytest.raises(DataError, match="finite, at least 0 and not all 0"):
        weights_of_files(mined("a.png", "b.png", weights=weights), ["a.png", "b.png"])


def test_a_folder_without_the_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"images\.parquet: cannot be read.*`hardmine mine` wrote"):
        weights_of_files(tmp_path, ["a.png"])


def test_images_are_drawn_as_often_as_their_weights_say():
    drawn = list(DrawnImages(torch.tensor([0.0, 1.0, 3.0]), 4000))
    assert len(drawn) == 4000
    assert 0 not in drawn
    assert drawn.count(2) / drawn.count(1) == pytest.approx(3, rel=0.2)


def test_every_pass_is_another_draw_that_an_epoch_gives_back():
    weights = torch.ones(8)
    sampler, other = DrawnImages(weights, 50), DrawnImages(weights, 50, seed=1)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert list(other) not in (first, second)
    sampler.set_epoch(1)
    assert list(sampler) == second


def test_processes_share_one_draw():
    weights = torch.ones(8)
    together = list(DrawnImages(weights, 20))
    alone = [list(DrawnImages(weights, 10, rank=rank, num_processes=2)) for rank in (0, 1)]
    assert [index for pair in zip(*alone, strict=True) for index in pair] == together
