"""Detectors of transformers are built from scratch or from a folder, and nothing is fetched for that."""

import pytest
import torch

from hardmine.detectors import build
from hardmine.errors import ConfigError

pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")


def test_a_folder_gives_its_weights_but_for_layers_of_other_classes(make_detr, tmp_path):
    model = make_detr("RTDetrV2")
    model.save_pretrained(tmp_path)
    same = build(f"transformers:{tmp_path}", 4)
    assert all(torch.equal(of, same.state_dict()[name]) for name, of in model.state_dict().items())
    other = build(f"transformers:{tmp_path}", 7)
    assert other.config.num_labels == 7
    name = "model.encoder_input_proj.0.0.weight"
    assert torch.equal(other.state_dict()[name], model.state_dict()[name])


def test_without_loading_only_the_architecture_is_the_folders(make_detr, tmp_path):
    model = make_detr("Detr")
    model.save_pretrained(tmp_path)
    built = build(f"transformers:{tmp_path}", 4, load=False)
    assert {name: of.shape for name, of in built.state_dict().items()} == {
        name: of.shape for name, of in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        (
            "rtdter_v2",
            "none",
            "unknown kind of transformers' detectors, folder or name on the hub 'rtdter_v2'",
        ),
        ("rtdetr_v2", "imagenet", "weights 'imagenet' are of a torchvision backbone"),
        ("rtdetr_v2", "coco", "weights 'coco' are torchvision's"),
    ],
)
def test_what_cannot_be_had_is_named(name, weights, message):
    with pytest.raises(ConfigError, match=message):
        build(f"transformers:{name}", 4, weights=weights)


def test_a_folder_that_holds_something_else_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be had .*; give a folder with config.json"):
        build(f"transformers:{tmp_path}", 4)


@pytest.mark.parametrize("kind", ["rtdetr_v2", "deformable_detr", "lw_detr"])
def test_a_kind_is_built_from_scratch_for_so_many_classes(kind):
    assert build(f"transformers:{kind}", 4, load=False).config.num_labels == 4


def test_a_segmenter_is_built_from_scratch_and_from_a_folder(tmp_path):
    model = build("transformers:segformer", 4)
    assert type(model).__name__ == "SegformerForSemanticSegmentation"
    model.save_pretrained(tmp_path)
    again = build(f"transformers:{tmp_path}", 4)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert build(f"transformers:{tmp_path}", 6, load=False).config.num_labels == 6
