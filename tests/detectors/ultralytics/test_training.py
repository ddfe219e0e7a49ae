"""A recipe in ultralytics' own trainer."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch import Tensor

import hardmine
from hardmine.detectors.attached import STATE_FILE
from hardmine.equation.recipe import Recipe, Slot
from hardmine.errors import ConfigError, DataError, EvidenceError, RunError
from hardmine.recipes import RECIPES
from hardmine.sampling import Sampling

pytest.importorskip("ultralytics", reason="ultralytics is not installed")
cloudpickle = pytest.importorskip("cloudpickle", reason="ultralytics installs it when it trains on several GPUs")

from ultralytics import YOLO  # noqa: E402

from hardmine.detectors.ultralytics.criterion import new_criterion  # noqa: E402
from hardmine.detectors.ultralytics.training import AttachedToTrainer  # noqa: E402

SCRIPT = Path(__file__).with_name("two_processes.py")
NUM_OBJECTS = [3, 0, 6, 1, 2, 4, 1, 5]
STEP = {"warmup_epochs": 0, "optimizer": "SGD", "lr0": 0.01, "nbs": 4}  # weights move from the first step on


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Eight images of noise in each split, one without objects."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        for image, num in enumerate(NUM_OBJECTS):
            pixels = random.integers(0, 255, (64, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / split / f"{image}.png")
            boxes = np.column_stack([random.uniform(0.3, 0.7, (num, 2)), random.uniform(0.1, 0.4, (num, 2))])
            rows = [f"{random.integers(3)} {' '.join(map(str, box))}" for box in boxes]
            (folder / "labels" / split / f"{image}.txt").write_text("\n".join(rows))
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate("abc"))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames:\n{names}\n")
    return folder / "data.yaml"


@pytest.fixture
def train(data, tmp_path) -> Callable[..., Any]:
    """A short training; gives the trainer."""

    def run(yolo: Any, name: str = "run", **options: Any) -> Any:
        fixed = {"imgsz": 64, "batch": 4, "workers": 0, "plots": False, "device": "cpu", "amp": False, "verbose": False}
        place = {"project": str(tmp_path), "name": name, "exist_ok": True}
        yolo.train(data=str(data), **{"epochs": 2, **fixed, **place, **STEP, **options})
        return yolo.trainer

    return run


def weights_of(trainer: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def are_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


class Ones(Sampling):
    def weigh(self, samples):
        return torch.ones_like(samples.assignment.iou)


ONES = Recipe("ones", lambda _: {"select": Slot(Ones())})


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n"])
def test_a_recipe_that_changes_nothing_trains_bit_for_bit_as_ultralytics_does(name, train):
    """The weights, the averaged weights and the losses of validation."""
    stock = train(YOLO(f"{name}.yaml"), "stock")
    for recipe in (RECIPES["random"](), ONES):
        yolo = YOLO(f"{name}.yaml")
        hardmine.attach(yolo, recipe)
        ours = train(yolo, recipe.name)
        assert are_equal(weights_of(ours), weights_of(stock))
        assert are_equal(ours.ema.ema.state_dict(), stock.ema.ema.state_dict())
        table, expected = (pl.read_csv(trainer.csv).drop("time") for trainer in (ours, stock))
        assert table.equals(expected)


OPENS_WITHOUT = """
import sys
sys.modules["hardmine"] = None
from ultralytics import YOLO
print(len(YOLO(sys.argv[1]).names))
"""


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n"])
def test_a_recipe_that_mines_trains_otherwise_and_leaves_nothing_in_the_checkpoints(name, train):
    stock, yolo = train(YOLO(f"{name}.yaml"), "stock"), YOLO(f"{name}.yaml")
    attached = hardmine.attach(yolo, RECIPES["ghm"]())
    trainer = train(yolo, "ghm", cls_pw=0.5)
    assert not are_equal(weights_of(trainer), weights_of(stock))
    assert set(attached.heads) == ({"detect"} if name == "yolo11n" else {"one2many", "one2one"})
    assert {file.name for file in trainer.wdir.iterdir()} == {"last.pt", "best.pt", STATE_FILE}
    for file in ("last.pt", "best.pt"):
        named = torch.serialization.get_unsafe_globals_in_checkpoint(trainer.wdir / file)
        assert all(of.startswith(("torch.nn.", "ultralytics.nn.")) for of in named)
    opens = (
        "import sys; sys.modules['hardmine'] = None; from ultralytics import YOLO; print(len(YOLO(sys.argv[1]).names))"
    )
    command = [sys.executable, "-c", opens, str(trainer.best)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "3"


def shares_of_heads(yolo: Any, train: Callable[..., Any], **options: Any) -> list[tuple[float, float]]:
    """What the losses of the two heads of a YOLO26 weigh in each step of a training."""
    seen = []

    def look(trainer: Any) -> None:
        criterion = trainer.model.criterion
        seen.append((criterion.o2m, criterion.o2o))

    yolo.add_callback("on_train_batch_end", look)
    train(yolo, **options)
    return seen


def test_the_schedule_of_the_two_heads_of_yolo26_stays_ultralytics_own(train):
    """One-to-many gives way to one-to-one, epoch by epoch, whatever the recipe does."""
    stock = shares_of_heads(YOLO("yolo26n.yaml"), train, name="stock", epochs=3)
    yolo = YOLO("yolo26n.yaml")
    hardmine.attach(yolo, RECIPES["ghm"]())
    assert shares_of_heads(yolo, train, name="ghm", epochs=3) == stock
    assert len(set(stock)) == 3
    assert stock == sorted(stock, reverse=True)


def test_a_trainer_says_how_far_it_is_before_each_epoch(train):
    told = []

    class Watched(Sampling):
        needs = frozenset({"progress"})

        def weigh(self, samples):
            told.append(float(samples["progress"].max()))
            return torch.ones_like(samples.assignment.iou)

    yolo = YOLO("yolo11n.yaml")
    hardmine.attach(yolo, Recipe("watched", lambda _: {"select": Slot(Watched())}))
    train(yolo, epochs=2)
    assert set(told) == {0.0, 0.5}
    assert told == sorted(told)


def test_the_averaged_model_is_evaluated_with_the_frameworks_loss(train, monkeypatch):
    from ultralytics.engine.validator import BaseValidator

    criteria, original = [], BaseValidator.__call__

    def spied(self, trainer=None, model=None):
        found = original(self, trainer, model)
        if trainer is not None:
            criteria.append(trainer.ema.ema.criterion)
        return found

    monkeypatch.setattr(BaseValidator, "__call__", spied)
    yolo = YOLO("yolo11n.yaml")
    hardmine.attach(yolo, RECIPES["hnm"]())
    train(yolo, epochs=1)
    assert criteria
    assert all("get_assigned_targets_and_loss" not in vars(criterion) for criterion in criteria)


class StoppedError(Exception):
    pass


def stop_after(epoch: int) -> Callable[[Any], None]:
    def callback(trainer: Any) -> None:
        if trainer.epoch == epoch:
            raise StoppedError

    return callback


@pytest.fixture
def stopped(train, tmp_path) -> Path:
    """A training under ghm of which the first of three epochs was finished."""
    yolo = YOLO("yolo26n.yaml")
    hardmine.attach(yolo, RECIPES["ghm"]())
    yolo.add_callback("on_train_epoch_start", stop_after(1))
    with pytest.raises(StoppedError):
        train(yolo, epochs=3)
    return tmp_path / "run" / "weights"


def remembered(attached: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in attached.heads.state_dict().items()}


def test_a_resumed_training_goes_on_with_what_samplings_remember(stopped, data):
    yolo, seen = YOLO(stopped / "last.pt"), []
    attached = hardmine.attach(yolo, RECIPES["ghm"]())
    yolo.add_callback("on_train_start", lambda _: seen.append(remembered(attached)))
    fresh = remembered(attached)
    yolo.train(resume=True)
    from safetensors.torch import load_file

    assert any(value.any() for value in seen[0].values())
    assert not are_equal(seen[0], fresh)
    assert not are_equal(remembered(attached), seen[0])
    assert are_equal(load_file(stopped / STATE_FILE), remembered(attached))


@pytest.mark.parametrize("recipe", ["ghm", "efl"])
def test_a_training_is_not_resumed_without_what_its_samplings_remembered(recipe, stopped):
    if recipe == "ghm":
        (stopped / STATE_FILE).unlink()
    yolo = YOLO(stopped / "last.pt")
    hardmine.attach(yolo, RECIPES[recipe]())
    with pytest.raises(RunError, match=rf"{STATE_FILE}: not the state of this recipe's samplings"):
        yolo.train(resume=True)


def test_a_recipe_without_memory_is_resumed_without_a_file(stopped):
    (stopped / STATE_FILE).unlink()
    yolo = YOLO(stopped / "last.pt")
    hardmine.attach(yolo, RECIPES["hnm"]())
    yolo.train(resume=True)
    assert not (stopped / STATE_FILE).exists()


def test_callbacks_reach_other_processes(train):
    """As ultralytics sends them when it trains on several GPUs: recipes hold functions made by functions."""
    yolo = YOLO("yolo11n.yaml")
    hardmine.attach(yolo, RECIPES["ghm"](), mined="mined")
    sent = cloudpickle.loads(cloudpickle.dumps({"callbacks": yolo.callbacks, "args": {}}))["callbacks"]
    ours = [
        callback for added in sent.values() for callback in added if isinstance(_owner(callback), AttachedToTrainer)
    ]
    assert sorted(callback.__name__ for callback in ours) == ["on_model_save", "on_train_epoch_start", "on_train_start"]
    owners = {id(_owner(callback)): _owner(callback) for callback in ours}
    assert len(owners) == 1
    (attached,) = owners.values()
    assert attached.recipe.name == "ghm"
    assert attached.mined == Path("mined").absolute()
    other = YOLO("yolo11n.yaml")
    for callback in ours:
        if callback.__name__ != "on_train_epoch_start":
            other.add_callback(callback.__name__, callback)
    trainer = train(other, epochs=1)
    assert (trainer.wdir / STATE_FILE).exists()


def _owner(callback: Any) -> Any:
    return getattr(callback, "__self__", None)


def test_what_is_detached_trains_as_ultralytics_does(train):
    stock, yolo = train(YOLO("yolo11n.yaml"), "stock"), YOLO("yolo11n.yaml")
    attached = hardmine.attach(yolo, RECIPES["hnm"]())
    attached.detach()
    attached.detach()
    assert are_equal(weights_of(train(yolo, "detached")), weights_of(stock))


def test_a_recipe_is_refused_before_the_training():
    with pytest.raises(EvidenceError, match="recipe 'ohem'"):
        hardmine.attach(YOLO("yolo11n.yaml"), RECIPES["ohem"]())


@pytest.mark.parametrize("name", ["yolo11n-seg", "yolo11n-pose", "yolo11n-obb", "yolo11n-cls"])
def test_a_yolo_of_another_task_is_refused(name):
    with pytest.raises(ConfigError, match="expected a DetectionModel"):
        hardmine.attach(YOLO(f"{name}.yaml"), RECIPES["hnm"]())


def test_an_exported_model_is_refused(tmp_path):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ConfigError, match=r"exported model .*model\.onnx"):
        hardmine.attach(YOLO(tmp_path / "model.onnx", task="detect"), RECIPES["hnm"]())


def write_mined(folder: Path, weights: list[float]) -> Path:
    folder.mkdir()
    names = [f"{image}.png" for image in range(len(weights))]
    pl.DataFrame({"file_name": names, "weight": weights}).write_parquet(folder / "images.parquet")
    return folder


def test_mined_images_are_drawn_by_their_weights(train, tmp_path):
    """Without mosaic, which adds images of its own choice."""
    yolo, drawn = YOLO("yolo11n.yaml"), []
    hardmine.attach(yolo, RECIPES["random"](), mined=write_mined(tmp_path / "mined", [0, 0, 1, 0, 0, 3, 0, 0]))
    yolo.add_callback("on_train_start", lambda trainer: _watch(trainer, drawn))
    train(yolo, epochs=40, mosaic=0.0, val=False, save=False)
    assert len(drawn) == 40 * 8
    assert set(drawn) == {"2.png", "5.png"}
    assert drawn.count("5.png") / drawn.count("2.png") == pytest.approx(3, rel=0.35)


def _watch(trainer: Any, drawn: list[str]) -> None:
    preprocess = trainer.preprocess_batch

    def watched(batch):
        drawn.extend(Path(file).name for file in batch["im_file"])
        return preprocess(batch)

    trainer.preprocess_batch = watched


def test_an_image_that_was_not_mined_is_named(train, tmp_path):
    yolo = YOLO("yolo11n.yaml")
    hardmine.attach(yolo, RECIPES["random"](), mined=write_mined(tmp_path / "mined", [1.0, 1.0]))
    with pytest.raises(DataError, match=r"no image .*images/train/2\.png"):
        train(yolo)


def test_mined_images_have_no_fixed_order(train, tmp_path):
    yolo = YOLO("yolo11n.yaml")
    hardmine.attach(yolo, RECIPES["random"](), mined=write_mined(tmp_path / "mined", [1.0] * 8))
    with pytest.raises(ConfigError, match="rect=True"):
        train(yolo, rect=True)


def test_a_model_in_a_loop_of_ones_own(make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo(), make_yolo_batch()
    stock, *_ = run_criterion(model, new_criterion(model), batch)
    attached = hardmine.attach(model, RECIPES["ghm"]())
    losses, *_ = run_criterion(model, lambda preds, batch: model.loss(batch, preds), batch)
    assert not torch.equal(losses, stock)
    assert any(value.any() for value in remembered(attached).values())
    attached.detach()
    losses, *_ = run_criterion(model, lambda preds, batch: model.loss(batch, preds), batch)
    assert torch.equal(losses, stock)


def test_a_model_without_a_trainer_draws_no_images(make_yolo):
    with pytest.raises(ConfigError, match="MinedSampler"):
        hardmine.attach(make_yolo(), RECIPES["hnm"](), mined="mined")


def test_two_processes_of_which_one_has_no_object(tmp_path):
    """Gradients under weights of 1 are the framework's, and a sampling with statistics over processes does not wait."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*launch, str(SCRIPT), str(tmp_path)], env=dict(os.environ), check=True)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    assert found["names"] == found["stock names"]
    assert found["difference"] == 0
    assert found["histograms"][0] == found["histograms"][1]
    assert all(total > 0 for total in found["histograms"][0])
