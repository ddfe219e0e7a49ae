"""torchvision's segmenters: its own losses to 1e-6, gradients too; every recipe of pixels, and nothing of the model."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import segmentation
from torchvision.models.segmentation import FCN, LRASPP, DeepLabV3
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from hardmine import RECIPES, Recipe, Segmenter, recipes, wrap
from hardmine.core.pixels import IGNORED
from hardmine.detectors.torchvision.segmentation import TorchvisionSegmenter
from hardmine.errors import ConfigError, EvidenceError

CLASSES, SIDE = 5, 32
TAKEN = ("random", "ce", "focal", "class_balanced", "ghm", "pixel_ohem")


class Backbone(nn.Module):
    """Two maps of features, under the names that each kind of model looks for."""

    def __init__(self, first: str, second: str, stride: int = 4):
        super().__init__()
        self.names = first, second
        self.low = nn.Sequential(nn.Conv2d(3, 16, 3, stride, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.high = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        low = self.low(images)
        return dict(zip(self.names, (low, self.high(low)), strict=True))


MODELS = {
    "lraspp": lambda: LRASPP(Backbone("low", "high"), 16, 16, CLASSES, 8),
    "deeplabv3": lambda: DeepLabV3(Backbone("aux", "out"), DeepLabHead(16, CLASSES, (2, 3, 4))),
    "deeplabv3, auxiliary": lambda: DeepLabV3(
        Backbone("aux", "out"), DeepLabHead(16, CLASSES, (2, 3, 4)), FCNHead(16, CLASSES)
    ),
    "fcn, auxiliary": lambda: FCN(Backbone("aux", "out"), FCNHead(16, CLASSES), FCNHead(16, CLASSES)),
}


@pytest.fixture(params=list(MODELS))
def model(request) -> nn.Module:
    return MODELS[request.param]().train()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    masks = torch.randint(0, CLASSES, (2, SIDE, SIDE))
    masks[0, :5] = IGNORED
    return torch.rand(2, 3, SIDE, SIDE), masks


def of_torchvision(model: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
    """What its training script minimises."""
    losses = {name: F.cross_entropy(scores, masks, ignore_index=IGNORED) for name, scores in model(images).items()}
    return losses["out"] + 0.5 * losses["aux"] if "aux" in losses else losses["out"]


def ours(model: nn.Module, recipe: Recipe, images: Tensor, masks: Tensor) -> Tensor:
    torch.manual_seed(1)  # of dropout
    return sum(wrap(model, recipe).train()(images, masks).values())


def gradients(loss: Tensor, model: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


def test_by_default_losses_and_gradients_are_torchvision_s(model, batch):
    theirs = copy.deepcopy(model)
    loss = ours(model, recipes.random(), *batch)
    torch.manual_seed(1)
    expected = of_torchvision(theirs, *batch)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    for name, one, other in zip(
        dict(model.named_parameters()), gradients(loss, model), gradients(expected, theirs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("kind", ["some", "all ignored"])
def test_every_parameter_gets_a_finite_gradient(name, kind, model, batch):
    images, masks = batch
    masks = torch.full_like(masks, IGNORED) if kind == "all ignored" else masks
    loss = ours(model, RECIPES[name](), images, masks)
    assert torch.isfinite(loss)
    assert (loss > 0) == (kind == "some")
    for gradient in gradients(loss, model):
        assert gradient is not None
        assert torch.isfinite(gradient).all()


def test_losses_have_the_names_of_the_heads(model, batch):
    losses = wrap(model, recipes.pixel_ohem()).train()(*batch)
    has_auxiliary = getattr(model, "aux_classifier", None) is not None
    assert list(losses) == ["classification", "auxiliary"][: 1 + has_auxiliary]


def test_each_head_remembers_what_is_its_own():
    segmenter = wrap(MODELS["fcn, auxiliary"](), recipes.class_balanced())
    assert segmenter.auxiliary.classify.sampling is not segmenter.head.classify.sampling


def test_the_model_stays_as_it_is(model, batch):
    names = set(model.state_dict())
    segmenter = wrap(model, recipes.ghm())
    assert isinstance(segmenter, Segmenter)
    assert segmenter.model is model
    assert set(model.state_dict()) == names
    model.eval()
    with torch.no_grad():
        expected, found = model(batch[0]), segmenter.eval()(batch[0])
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert torch.equal(segmenter.scores(batch[0]), expected["out"])


def test_classes_are_counted_at_the_last_convolution(model):
    assert wrap(model, recipes.random()).num_classes == CLASSES


def test_torchvision_s_own_builders_are_taken():
    model = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=7)
    assert wrap(model, recipes.pixel_ohem()).num_classes == 7


def test_a_classifier_without_a_convolution_is_refused():
    with pytest.raises(ConfigError, match=r"last convolution of model.classifier, but this Linear has none"):
        TorchvisionSegmenter(FCN(Backbone("aux", "out"), nn.Linear(2, 2)), recipes.random())


def test_recipes_for_boxes_are_refused_and_those_for_pixels_elsewhere(model, make_model):
    with pytest.raises(EvidenceError, match="'ohem' needs samples that are boxes"):
        wrap(model, recipes.ohem())
    with pytest.raises(EvidenceError, match=r"'pixel_ohem' needs samples that are pixels, .* retinanet's dense head"):
        wrap(make_model("retinanet"), recipes.pixel_ohem())


def test_bfloat16_autocast_gives_float32_losses_near_those_without(model, batch):
    exact = ours(model, recipes.random(), *batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = ours(model, recipes.random(), *batch)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0)
