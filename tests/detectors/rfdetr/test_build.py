"""rfdetr's models for a data set: from scratch without a download, or from a file."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from hardmine.detectors import build
from hardmine.errors import ConfigError

pytest.importorskip("rfdetr", reason="needs rfdetr")
SIZE, SIZES = 64, ("nano", "small", "medium", "base", "large")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Whatever would be fetched fails at once."""
    import requests

    def refuse(*given, **named):
        raise requests.ConnectionError("no network")

    monkeypatch.setenv("RF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(requests.Session, "request", refuse)
    from rfdetr.models.backbone import dinov2

    def fetch(*given, **named):
        raise OSError("the encoder's weights were asked for")

    monkeypatch.setattr(dinov2.WindowedDinov2WithRegistersBackbone, "from_pretrained", fetch)
    yield
    shutil.rmtree(tmp_path)  # weights are large


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"weights": "coco", "load": False}], ids=["none", "load=False"])
def test_every_size_is_built_without_fetching_anything(size, options):
    from rfdetr.models.backbone import dinov2

    before = dinov2.WindowedDinov2WithRegistersBackbone
    with torch.device("meta"):
        module = build(f"rfdetr:{size}", 3, **options)
    assert dinov2.WindowedDinov2WithRegistersBackbone is before
    assert module.model.class_embed.out_features == 4  # rfdetr's own has one column more
    assert module.model_config.num_classes == 3


def test_the_image_size_is_the_models_resolution():
    assert build("rfdetr:nano", 3, image_size=SIZE).model_config.resolution == SIZE


@pytest.fixture
def trained():
    torch.manual_seed(5)
    return build("rfdetr:nano", 3, image_size=SIZE)


def own_state(module):
    return dict(module.state_dict())


def state_of_model(module):
    """As rfdetr's checkpoint_best_total.pth has it."""
    return {"model": module.model.state_dict(), "epoch": 3}


def of_lightning(module):
    return {"state_dict": module.state_dict(), "epoch": 3}


@pytest.mark.parametrize("form", [own_state, state_of_model, of_lightning])
def test_a_file_is_loaded(form, trained, tmp_path):
    torch.save(form(trained), tmp_path / "w.pth")
    module = build("rfdetr:nano", 3, image_size=SIZE, weights=str(tmp_path / "w.pth"))
    assert all(torch.equal(tensor, trained.state_dict()[name]) for name, tensor in module.state_dict().items())


def test_layers_of_another_number_of_classes_start_anew(trained, tmp_path, caplog):
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    module = build("rfdetr:nano", 5, image_size=SIZE, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(module.model.query_feat.weight, trained.model.query_feat.weight)
    assert "28 start anew" in caplog.text  # weight and bias: of the decoder, and of the encoder in 13 groups


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("nan", {}, "unknown size of rfdetr 'nan'; did you mean nano"),
        ("nano", {"weights": "imagenet"}, "rfdetr:nano has its own"),
        ("nano", {"weights": "coco"}, "cannot fetch the weights of rfdetr:nano.*no network.*give a file"),
        ("nano", {"weights": "absent.pth"}, "absent.pth"),
        ("nano", {"backbone": "resnet50"}, "a backbone of its own"),
    ],
)
def test_what_cannot_be_had_is_said(name, options, said):
    with pytest.raises(ConfigError, match=said):
        build(f"rfdetr:{name}", 3, **options)
