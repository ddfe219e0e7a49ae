"""Weights from files, read as tensors only; and from nowhere."""

import pickle
import urllib.request
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from hardmine.detectors import build
from hardmine.detectors.torchvision.weights import imagenet_network, load_coco
from hardmine.errors import ConfigError


@pytest.fixture
def trained():
    torch.manual_seed(5)
    return build("retinanet", 3, backbone="tiny", image_size=64)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_detectors_own_state_is_loaded(suffix, trained, tmp_path):
    file = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(trained.state_dict(), file)
    model = build("retinanet", 3, backbone="tiny", image_size=64, weights=str(file))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name]), name


def test_layers_of_another_number_of_classes_start_anew_and_this_is_said(trained, tmp_path, caplog):
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    model = build("retinanet", 5, backbone="tiny", image_size=64, weights=str(tmp_path / "w.safetensors"))
    state = trained.state_dict()
    same = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, state[name][: len(tensor)])}
    assert set(state) - same == {f"head.classification_head.cls_logits.{part}" for part in ("weight", "bias")}
    assert "2 start anew, the first is head.classification_head.cls_logits" in caplog.text


def test_a_networks_state_is_loaded_into_the_backbone(tmp_path):
    from torchvision.models import mobilenet_v3_small

    network = mobilenet_v3_small()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = build("retinanet", 3, backbone="mobilenet_v3_small", image_size=64, weights=str(tmp_path / "w.pth"))
    body = model.backbone.body.state_dict()
    assert body
    for name, tensor in body.items():
        assert torch.equal(tensor, network.state_dict()[f"features.{name}"]), name


class Code:
    """What an attacker would put into a file."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code from the file has run')",))


def broken_files(folder):
    state = build("retinanet", 3, backbone="tiny", image_size=64).state_dict()
    save_file(state, folder / "whole.safetensors")
    torch.save(state, folder / "whole.pth")
    for name in ("whole.safetensors", "whole.pth"):
        whole = (folder / name).read_bytes()
        (folder / name.replace("whole", "truncated")).write_bytes(whole[: len(whole) // 2])
        (folder / name.replace("whole", "empty")).write_bytes(b"")
        (folder / name.replace("whole", "text")).write_text("not weights")
    (folder / "code.pth").write_bytes(pickle.dumps(Code(), protocol=2))
    torch.save({"state": Code()}, folder / "code_in_zip.pth")
    (folder / "misnamed.safetensors").write_bytes((folder / "whole.pth").read_bytes())
    whole = bytearray((folder / "whole.pth").read_bytes())
    whole[100:400] = bytes(range(200, 250)) * 6
    (folder / "damaged.pth").write_bytes(whole)
    torch.save({1: torch.zeros(2), None: torch.zeros(2)}, folder / "nameless.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save({"other": torch.zeros(2)}, folder / "other.pth")


BROKEN = [
    "truncated.safetensors", "truncated.pth", "empty.safetensors", "empty.pth", "text.safetensors", "text.pth",
    "code.pth", "code_in_zip.pth", "misnamed.safetensors", "list.pth", "other.pth",
    "damaged.pth", "nameless.pth",
]  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_no_code_runs(name, tmp_path):
    broken_files(tmp_path)
    with pytest.raises(ConfigError, match=name):
        build("retinanet", 3, backbone="tiny", image_size=64, weights=str(tmp_path / name))


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ConfigError, match="path of an existing file"):
        build("retinanet", 3, backbone="tiny", image_size=64, weights=str(tmp_path))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def refuse(*_args, **_kwargs):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)


def test_without_network_the_answer_says_how_to_give_a_file(offline):
    from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights

    with pytest.raises(ConfigError, match=r"cannot fetch the ImageNet weights of resnet18.*--weights FILE.safetensors"):
        imagenet_network("resnet18")
    with pytest.raises(ConfigError, match=r"cannot fetch the COCO weights.*--weights FILE.safetensors"):
        load_coco(torch.nn.Linear(1, 1), SSDLite320_MobileNet_V3_Large_Weights.COCO_V1)


def test_load_false_fetches_nothing(offline):
    build("retinanet", 3, backbone="resnet18", image_size=64, weights="imagenet", load=False)


@pytest.mark.parametrize("name", ["state_dict", "model"])
def test_a_state_inside_a_checkpoint_is_found(name, trained, tmp_path):
    torch.save({name: trained.state_dict(), "epoch": 3}, tmp_path / "last.pth")
    model = build("retinanet", 3, backbone="tiny", image_size=64, weights=str(tmp_path / "last.pth"))
    assert all(torch.equal(tensor, trained.state_dict()[key]) for key, tensor in model.state_dict().items())
