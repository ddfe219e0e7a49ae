import json

import polars as pl
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from hardmine.data import open_dataset
from hardmine.errors import DataError, RunError
from hardmine.training.predict import coco_results, predict, predict_shards, refuse_unfinished_shards
from hardmine.training.run import make_detector


def test_results_are_in_the_words_of_the_data_set():
    boxes = torch.tensor([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 10.12345, 10.0]])
    results = coco_results(7, boxes, torch.tensor([1, 0]), torch.tensor([0.5, 0.25]), category_ids=(3, 90))
    assert results == [
        {"image_id": 7, "category_id": 90, "bbox": [1.0, 2.0, 3.0, 6.0], "score": 0.5},
        {"image_id": 7, "category_id": 3, "bbox": [0.0, 0.0, 10.123, 10.0], "score": 0.25},
    ]
    assert json.loads(json.dumps(results)) == results


def test_no_detection_is_no_result():
    assert coco_results(7, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0), (1,)) == []


class OneBox(nn.Module):
    """Finds one object of the last class in each image, at the image's brightness."""

    def __init__(self, label_offset):
        super().__init__()
        self.label_offset, self.needs_proposals = label_offset, False

    def forward(self, images):
        label = torch.tensor([3 + self.label_offset])
        return [{"boxes": torch.ones(1, 4), "labels": label, "scores": image.mean().reshape(1)} for image in images]


@pytest.mark.parametrize("label_offset", [0, 1])
def test_every_image_is_seen_once_and_in_order(small_data, label_offset):
    dataset = open_dataset(small_data, "val")
    results = predict(OneBox(label_offset), dataset, Accelerator(), batch_size=2)
    assert [result["image_id"] for result in results] == [record.image_id for record in dataset.records]
    assert {result["category_id"] for result in results} == {dataset.category_ids[3]}
    brightness = [dataset[index][0].float().div(255).mean().item() for index in range(len(dataset))]
    assert [result["score"] for result in results] == pytest.approx(brightness)


class ProcessOf(Accelerator):
    """One of several processes, without the others."""

    def __init__(self, rank, num_processes):
        super().__init__()
        self.rank, self.size = rank, num_processes

    process_index = property(lambda self: self.rank)
    num_processes = property(lambda self: self.size)


def test_a_box_that_ends_before_it_begins_has_no_size(small_data):
    """As queries of RF-DETR that have no cell of the image learn it; no reader of results takes a negative size."""

    class Turned(OneBox):
        def forward(self, images):
            return [found | {"boxes": torch.tensor([[5.0, 6, 4, 9]])} for found in super().forward(images)]

    dataset = open_dataset(small_data, "val")
    results = predict(Turned(0), dataset, Accelerator())
    assert [result["bbox"] for result in results] == [[5.0, 6.0, 0.0, 3.0]] * len(dataset)


def test_processes_share_the_images_without_overlap(small_data):
    dataset = open_dataset(small_data, "val")
    shares = [predict(OneBox(0), dataset, ProcessOf(rank, 2), batch_size=2) for rank in (0, 1)]
    seen = [result["image_id"] for share in shares for result in share]
    assert sorted(seen) == sorted(record.image_id for record in dataset.records)


@pytest.mark.parametrize("detector", ["retinanet", "fasterrcnn", "cascadercnn", "fcos", "ssd"])
def test_detections_of_any_score_count(detector, small, small_data):
    """A method may leave all scores low; a threshold would then judge their level instead of their order."""
    dataset = open_dataset(small_data, "val")
    fresh = make_detector(small(detector=detector), len(dataset.classes))
    limits = [module.score_thresh for module in fresh.modules() if hasattr(module, "score_thresh")]
    assert limits, "the framework has a threshold to be lifted"
    for module in fresh.modules():
        if hasattr(module, "score_thresh"):
            module.score_thresh = 0.999
    assert predict(fresh, dataset, Accelerator())
    assert all(module.score_thresh == 0.999 for module in fresh.modules() if hasattr(module, "score_thresh"))


def test_shards_hold_what_the_results_hold(small_data, tmp_path):
    dataset = open_dataset(small_data, "val")
    for rank in (0, 1):
        predict_shards(OneBox(0), dataset, ProcessOf(rank, 2), tmp_path / "found", batch_size=2, images_per_shard=2)
    names = sorted(file.name for file in (tmp_path / "found").glob("*.parquet"))
    starts = ("rank00000-000000000", "rank00000-000000002", "rank00001-000000000")  # of three and of two images
    assert names == [f"of2-{start}.parquet" for start in starts]
    table = pl.read_parquet(tmp_path / "found/*.parquet").sort("image_id")
    expected = predict(OneBox(0), dataset, Accelerator(), batch_size=2)
    assert table["image_id"].to_list() == [result["image_id"] for result in expected]
    assert table["category_id"].to_list() == [result["category_id"] for result in expected]
    assert table["score"].to_list() == [result["score"] for result in expected]
    assert table.row(0)[2:6] == (1, 1, 1, 1)


def test_shards_that_are_there_are_kept(small_data, tmp_path):
    dataset = open_dataset(small_data, "val")
    predict_shards(OneBox(0), dataset, Accelerator(), tmp_path, images_per_shard=3)
    kept, again = sorted(tmp_path.glob("*.parquet"))
    again.unlink()
    before = kept.stat().st_mtime_ns
    predict_shards(OneBox(0), dataset, Accelerator(), tmp_path, images_per_shard=3)
    assert again.exists()
    assert kept.stat().st_mtime_ns == before


def test_shards_of_other_processes_are_not_mixed_in(small_data, tmp_path):
    dataset = open_dataset(small_data, "val")
    predict_shards(OneBox(0), dataset, ProcessOf(0, 2), tmp_path)
    with pytest.raises(RunError, match=r"something else \(processes, shards differ\)"):
        predict_shards(OneBox(0), dataset, Accelerator(), tmp_path)


def test_shards_of_anything_else_are_not_kept_as_these(small_data, tmp_path):
    """Other weights, another split, other options, another size of shards: nothing is predicted, nothing is changed."""
    val, other = open_dataset(small_data, "val"), OneBox(0)
    other.weight = nn.Parameter(torch.ones(1))
    predict_shards(OneBox(0), val, Accelerator(), tmp_path, options="size 64")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    changes = [
        ("weights", (other, val), {"options": "size 64"}),
        ("split, images, names", (OneBox(0), open_dataset(small_data, "train")), {"options": "size 64"}),
        ("options", (OneBox(0), val), {"options": "size 32"}),
        ("shards", (OneBox(0), val), {"options": "size 64", "images_per_shard": 2}),
    ]
    for what, given, options in changes:
        with pytest.raises(RunError, match=rf"something else \({what} differ\); choose another folder"):
            predict_shards(*given, Accelerator(), tmp_path, **options)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("plan", [None, b"", b"[]", b"\xff", b'{"shards": 3}'])
def test_a_folder_that_does_not_say_what_it_holds_is_left_alone(small_data, tmp_path, plan):
    (tmp_path / "of1-rank00000-000000000.parquet").write_bytes(b"mine")
    if plan is not None:
        (tmp_path / "plan.json").write_bytes(plan)
    with pytest.raises(RunError, match="choose another folder"):
        predict_shards(OneBox(0), open_dataset(small_data, "val"), Accelerator(), tmp_path)
    assert (tmp_path / "of1-rank00000-000000000.parquet").read_bytes() == b"mine"


def test_what_is_not_of_the_shards_is_named(small_data, tmp_path):
    dataset = open_dataset(small_data, "val")
    predict_shards(OneBox(0), dataset, Accelerator(), tmp_path)
    (tmp_path / "more.parquet").touch()
    with pytest.raises(RunError, match=r"holds more\.parquet, which is not of these predictions"):
        predict_shards(OneBox(0), dataset, Accelerator(), tmp_path)


def test_a_folder_that_lacks_a_shard_is_not_finished(small_data, tmp_path):
    predict_shards(OneBox(0), open_dataset(small_data, "val"), Accelerator(), tmp_path, images_per_shard=2)
    refuse_unfinished_shards(tmp_path)
    (tmp_path / "of1-rank00000-000000002.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 3 files, the first is of1-rank00000-000000002\.parquet"):
        refuse_unfinished_shards(tmp_path)


def test_a_folder_of_another_model_needs_no_plan(tmp_path):
    refuse_unfinished_shards(tmp_path)
    (tmp_path / "plan.json").write_text('{"holiday": ["Crete"]}')
    refuse_unfinished_shards(tmp_path)


def test_images_without_detections_are_no_rows(small_data, tmp_path):
    class Blind(OneBox):
        def forward(self, images):
            return [{name: value[:0] for name, value in found.items()} for found in super().forward(images)]

    predict_shards(Blind(0), open_dataset(small_data, "val"), Accelerator(), tmp_path)
    assert len(pl.read_parquet(tmp_path / "*.parquet")) == 0
