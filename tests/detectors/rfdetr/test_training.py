"""A recipe in rfdetr's own training, by Lightning: its own weights under a recipe that sets nothing, its checkpoints,
resumed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import hardmine
from hardmine import recipes
from hardmine.detectors.rfdetr.training import STATE
from hardmine.errors import ConfigError, RunError

pytest.importorskip("rfdetr", reason="needs rfdetr")
pytestmark = [
    pytest.mark.filterwarnings("ignore:::.*lightning"),  # of few workers, few steps, no validation
    pytest.mark.filterwarnings("ignore:RF-DETR has changed the default training augmentation"),  # with any data set
]
CATEGORIES = [{"id": number, "name": name, "supercategory": "none"} for number, name in enumerate("abc")]


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Four images of noise, one without objects, as Roboflow exports them."""
    folder = tmp_path_factory.mktemp("data")
    generator = torch.Generator().manual_seed(0)
    images = [{"id": i, "file_name": f"{i}.png", "width": 80, "height": 64} for i in range(4)]
    annotations = [
        {"id": i, "image_id": i % 3, "category_id": i % 3, "bbox": [4 + i, 6, 20, 30], "area": 600, "iscrowd": 0}
        for i in range(5)
    ]
    for split in ("train", "valid", "test"):
        (folder / split).mkdir()
        for image in images:
            pixels = torch.randint(256, (64, 80, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(folder / split / image["file_name"])
        text = json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES})
        (folder / split / "_annotations.coco.json").write_text(text)
    return folder


@pytest.fixture
def train(make_module, data, tmp_path):
    """Trains such a module with a recipe attached, none without one; gives module and what was attached."""
    from rfdetr import config
    from rfdetr.training import RFDETRDataModule, build_trainer

    def run(recipe=None, *, epochs=1, resume=None, out="run", use_callback=True):
        module = make_module()
        training = config.TrainConfig(
            dataset_dir=str(data), dataset_file="roboflow", output_dir=str(tmp_path / out), epochs=epochs, batch_size=2,
            num_workers=0, seed=3, tensorboard=False, run_test=False, multi_scale=False, checkpoint_interval=2,
            progress_bar=None, accelerator="cpu",
        )  # fmt: skip
        module.train_config = training
        attached = hardmine.attach(module, recipe) if recipe else None
        trainer = build_trainer(training, module.model_config, limit_val_batches=0, enable_model_summary=False)
        if attached and use_callback:
            trainer.callbacks.append(attached.callback())
        trainer.fit(module, RFDETRDataModule(module.model_config, training), ckpt_path=resume)
        return module, attached

    yield run
    shutil.rmtree(tmp_path)  # checkpoints are large


def same(first, second):
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items()) and set(first) == set(second)


def test_with_a_recipe_that_sets_nothing_the_weights_are_rfdetrs_own_to_the_last_bit(train):
    stock, _ = train(out="stock")
    ours, _ = train(recipes.random(), out="ours")
    assert same(stock.state_dict(), ours.state_dict())
    other, _ = train(recipes.hnm(ratio=1), out="other")
    assert not same(stock.state_dict(), other.state_dict())


WITHOUT_HARDMINE = """
import sys
sys.modules["hardmine"] = None  # importing it fails
import torch
found = torch.load(sys.argv[1], weights_only=True)
assert not any("hardmine" in str(type(value)) for value in found.values())
from rfdetr import config
from rfdetr.models.backbone import dinov2
from rfdetr.training import RFDETRModelModule
of_size = dinov2.get_config
dinov2.get_config = lambda *size: of_size(*size) | {"num_hidden_layers": 2}
training = config.TrainConfig(dataset_dir=".", output_dir=".")
module = RFDETRModelModule(config.RFDETRNanoConfig(**eval(sys.argv[2])), training)
module.load_state_dict(found["state_dict"], strict=True)
print("loaded")
"""


def test_a_checkpoint_opens_where_hardmine_is_not_installed(train, tmp_path, small):
    train(recipes.ghm())
    run = [sys.executable, "-c", WITHOUT_HARDMINE, str(tmp_path / "run" / "last.ckpt"), repr(small)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.endswith("loaded\n"), done.stderr


def test_what_samplings_remember_is_resumed(train, tmp_path):
    _, first = train(recipes.ghm())
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)[STATE]
    remembered = {name: value.clone() for name, value in first.heads.state_dict().items()}
    assert same(saved, remembered)
    assert all(type(value) is torch.Tensor for value in saved.values())
    _, resumed = train(recipes.ghm(), epochs=1, resume=tmp_path / "run" / "last.ckpt", out="same")
    assert same(resumed.heads.state_dict(), remembered)  # nothing was left to train
    _, further = train(recipes.ghm(), epochs=2, resume=tmp_path / "run" / "last.ckpt", out="further")
    assert not same(further.heads.state_dict(), remembered)
    with pytest.raises(RunError, match=r"state of this recipe's samplings"):
        train(recipes.eqlv2(), epochs=2, resume=tmp_path / "run" / "last.ckpt", out="other")


def test_a_recipe_that_remembers_nothing_leaves_no_trace_in_a_checkpoint(train, tmp_path):
    train(recipes.hnm())
    assert STATE not in torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)


def test_without_the_callback_a_resumed_training_says_so(train, tmp_path):
    train(recipes.ghm(), use_callback=False)
    with pytest.raises(RunError, match=r"written without attached\.callback\(\)"):
        train(recipes.ghm(), epochs=2, resume=tmp_path / "run" / "last.ckpt", out="resumed")


def test_the_module_is_as_it_was_once_detached(make_module):
    module = make_module()
    kind, before = type(module.criterion), set(vars(module.criterion))
    for recipe in (recipes.hnm(), recipes.random()):
        attached = hardmine.attach(module, recipe)
        assert set(module.state_dict()) == {name for name in module.state_dict() if name.startswith("model.")}
        attached.detach()
        assert type(module.criterion) is kind
        assert set(vars(module.criterion)) == before


def test_a_recipe_that_sets_nothing_leaves_rfdetrs_fused_path_open(make_module):
    """On CUDA, compiled, losses of all layers are one kernel, which is for the criterion's own class only."""
    module = make_module()
    kind = type(module.criterion)
    hardmine.attach(module, recipes.random())
    assert type(module.criterion) is kind
    hardmine.attach(module, recipes.hnm())
    assert type(module.criterion) is not kind


def test_it_is_attached_once(make_module):
    module = make_module()
    hardmine.attach(module, recipes.hnm())
    with pytest.raises(ConfigError, match="attached to this module already"):
        hardmine.attach(module, recipes.focal())


def test_what_has_no_place_for_it_is_told_what_has(make_module, tmp_path):
    from rfdetr import RFDETRNano

    with pytest.raises(ConfigError, match=r"RFDETRNano; expected an RFDETRModelModule.*build_trainer"):
        hardmine.attach(RFDETRNano.__new__(RFDETRNano), recipes.hnm())
    with pytest.raises(ConfigError, match="draws images by a sampler of its own"):
        hardmine.attach(make_module(), recipes.hnm(), mined=tmp_path)
