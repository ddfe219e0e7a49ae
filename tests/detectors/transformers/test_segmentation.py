"""SegFormer: its own loss to 1e-6, gradients too; every recipe of pixels."""

import copy

import pytest
import torch
from torch import Tensor, nn

from hardmine import RECIPES, attach, recipes, wrap
from hardmine.errors import ConfigError, EvidenceError

transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'hardmine[transformers]'")

CLASSES, SIDE, IGNORED = 5, 64, 255
SMALL = {
    "num_encoder_blocks": 4, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "decoder_hidden_size": 16,
    "num_attention_heads": [1, 1, 2, 2], "classifier_dropout_prob": 0.0, "drop_path_rate": 0.0,
}  # fmt: skip
TAKEN = ("random", "ce", "focal", "class_balanced", "ghm", "pixel_ohem")


def segformer(**options) -> nn.Module:
    config = transformers.SegformerConfig(**SMALL, num_labels=CLASSES, **options)
    return transformers.SegformerForSemanticSegmentation(config).train()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    masks = torch.randint(0, CLASSES, (2, SIDE, SIDE))
    masks[0, :9] = IGNORED
    return torch.rand(2, 3, SIDE, SIDE), masks


def test_by_default_loss_and_gradients_are_the_model_s(batch):
    model = segformer()
    theirs, (images, masks) = copy.deepcopy(model), batch
    loss = wrap(model, recipes.random()).train()(images, masks)["classification"]
    expected = theirs(pixel_values=images, labels=masks).loss
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    loss.backward()
    expected.backward()
    for (name, one), other in zip(model.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")


def test_what_its_configuration_ignores_is_ignored(batch):
    images, masks = batch
    masks = torch.where(masks == IGNORED, 77, masks)
    model = segformer(semantic_loss_ignore_index=77)
    loss = wrap(model, recipes.random()).train()(images, masks)["classification"]
    torch.testing.assert_close(loss, model(pixel_values=images, labels=masks).loss, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("kind", ["some", "all ignored"])
def test_every_parameter_gets_a_finite_gradient(name, kind, batch):
    images, masks = batch
    model = segformer()
    masks = torch.full_like(masks, IGNORED) if kind == "all ignored" else masks
    (loss,) = wrap(model, RECIPES[name]()).train()(images, masks).values()
    assert (loss > 0) == (kind == "some")
    loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_in_eval_mode_it_is_the_model(batch):
    model = segformer().eval()
    segmenter = wrap(model, recipes.pixel_ohem()).eval()
    with torch.no_grad():
        assert torch.equal(segmenter(batch[0]).logits, model(batch[0]).logits)
        assert segmenter.scores(batch[0]).shape == (2, CLASSES, SIDE, SIDE)


def test_what_is_not_adapted_is_refused():
    with pytest.raises(EvidenceError, match="'hnm' needs samples that are boxes, but those of segformer's pixels"):
        wrap(segformer(), recipes.hnm())
    with pytest.raises(ConfigError, match=r"nothing can be attached: use hardmine.wrap"):
        attach(segformer(), recipes.pixel_ohem())
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    other = transformers.BeitForSemanticSegmentation(
        transformers.BeitConfig(**sizes, image_size=32, patch_size=8, out_indices=[1, 2, 3, 4])
    )
    with pytest.raises(ConfigError, match="BeitForSemanticSegmentation; of its segmenters segformer is adapted"):
        wrap(other, recipes.random())
