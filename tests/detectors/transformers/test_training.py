"""A recipe in transformers' Trainer: bit for bit its own without one, resumed with what samplings remember."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

import hardmine as hm
from hardmine.detectors.attached import STATE_FILE
from hardmine.errors import ConfigError, RunError

transformers = pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*")


@pytest.fixture
def dataset(make_labels):
    torch.manual_seed(1)
    return [{"pixel_values": torch.rand(3, 64, 64), "labels": labels} for labels in make_labels(2, 1, 0, 3)]


def collate(items):
    return {"pixel_values": torch.stack([of["pixel_values"] for of in items]), "labels": [of["labels"] for of in items]}


def trainer(model, dataset, folder, kind=None, **options):
    arguments = transformers.TrainingArguments(
        str(folder), per_device_train_batch_size=2, remove_unused_columns=False, report_to="none", use_cpu=True,
        disable_tqdm=True, save_strategy="epoch", logging_strategy="no", **{"num_train_epochs": 2, **options},
    )  # fmt: skip
    return (kind or transformers.Trainer)(model, arguments, collate, dataset)


def train(model, dataset, folder, callback=None, resume=None, **options):
    made = trainer(model, dataset, folder, **options)
    if callback is not None:
        made.add_callback(callback)
    made.train(resume_from_checkpoint=resume)
    return {name: of.clone() for name, of in model.state_dict().items()}


def test_two_epochs_with_a_recipe_that_sets_nothing_are_two_without(make_detr, dataset, tmp_path):
    without = train(make_detr("RTDetrV2"), dataset, tmp_path / "a")
    model = make_detr("RTDetrV2")
    hm.attach(model, hm.recipes.random())
    weighed = train(model, dataset, tmp_path / "b")
    assert all(torch.equal(of, weighed[name]) for name, of in without.items())


def test_a_resumed_training_begins_with_what_was_remembered(make_detr, dataset, tmp_path):
    model = make_detr("RTDetrV2")
    attached = hm.attach(model, hm.recipes.ghm(momentum=0.5))
    train(model, dataset, tmp_path, attached.callback(), num_train_epochs=1)
    again = make_detr("RTDetrV2")
    other = hm.attach(again, hm.recipes.ghm(momentum=0.5))
    assert any(not torch.equal(of, other.heads.state_dict()[name]) for name, of in attached.heads.state_dict().items())
    train(again, dataset, tmp_path, other.callback(), str(tmp_path / "checkpoint-2"), num_train_epochs=1)
    for name, of in attached.heads.state_dict().items():  # nothing was left to train
        assert torch.equal(of, other.heads.state_dict()[name])


def test_resuming_without_what_was_remembered_is_refused(make_detr, dataset, tmp_path):
    train(make_detr("RTDetrV2"), dataset, tmp_path, num_train_epochs=1)
    model = make_detr("RTDetrV2")
    attached = hm.attach(model, hm.recipes.ghm())
    with pytest.raises(RunError, match=STATE_FILE):
        train(model, dataset, tmp_path, attached.callback(), str(tmp_path / "checkpoint-2"))


def test_what_is_saved_opens_where_hardmine_is_not_installed(make_detr, tmp_path):
    model = make_detr("RTDetrV2")
    hm.attach(model, hm.recipes.ghm())
    model.save_pretrained(tmp_path)
    code = (
        "import sys; sys.modules['hardmine'] = None\n"
        "from transformers import AutoModelForObjectDetection\n"
        f"AutoModelForObjectDetection.from_pretrained({str(tmp_path)!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)
    assert {of.name for of in Path(tmp_path).iterdir()} == {"config.json", "model.safetensors"}


def test_mined_images_are_drawn_by_their_weights(make_detr, dataset, tmp_path):
    names = [f"images/{number}.png" for number in range(4)]
    pl.DataFrame({"file_name": names, "weight": [0.0, 1, 0, 3]}).write_parquet(tmp_path / "images.parquet")
    attached = hm.attach(make_detr("RTDetrV2"), hm.recipes.random(), mined=tmp_path)
    kind = attached.trainer_class(transformers.Trainer, [f"/data/{name}" for name in names])
    made = trainer(attached._seam.model, dataset, tmp_path / "out", kind)
    drawn = [index for _ in range(20) for index in made._get_train_sampler()]
    assert set(drawn) == {1, 3}
    short = attached.trainer_class(transformers.Trainer, [f"/data/{name}" for name in names])
    with pytest.raises(ConfigError, match="got 4 files of 2 images"):
        trainer(attached._seam.model, dataset[:2], tmp_path / "out", short)._get_train_sampler()


def gradients_of_rank(rank, folder, make_recipe, model, batches):
    """What one of two processes is left with after a step of DistributedDataParallel."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    if make_recipe is not None:
        hm.attach(model, make_recipe())
    trained = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    for _ in range(2):
        torch.manual_seed(3)
        model.zero_grad()
        trained(**batches[rank]).loss.backward()
    torch.save({name: of.grad for name, of in model.named_parameters() if of.grad is not None}, f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def on_two_ranks(folder, make_recipe, model, batches):
    folder.mkdir()
    torch.multiprocessing.spawn(gradients_of_rank, (str(folder), make_recipe, model, batches), nprocs=2)
    return [torch.load(folder / str(rank), weights_only=True) for rank in (0, 1)]


def test_two_ranks_of_which_one_has_no_object(make_detr, dataset, tmp_path):
    batches = [collate(dataset[:2]), collate([dataset[2], dataset[2]])]
    stock = on_two_ranks(tmp_path / "stock", None, make_detr("RTDetrV2"), batches)
    ours = on_two_ranks(tmp_path / "ours", hm.recipes.random, make_detr("RTDetrV2"), batches)
    mined = on_two_ranks(tmp_path / "mined", hm.recipes.hnm, make_detr("RTDetrV2"), batches)
    for rank in (0, 1):
        assert all(torch.equal(of, ours[rank][name]) for name, of in stock[rank].items())
        assert all(of.isfinite().all() for of in mined[rank].values())
        assert all(torch.equal(of, mined[0][name]) for name, of in mined[rank].items())
    assert mined[0].keys() == stock[0].keys()
    assert any(not torch.equal(of, stock[0][name]) for name, of in mined[0].items())


def test_drawing_needs_something_mined(make_detr):
    attached = hm.attach(make_detr("RTDetrV2"), hm.recipes.random())
    with pytest.raises(ConfigError, match="there are no mined images to draw"):
        attached.trainer_class(transformers.Trainer, [])
