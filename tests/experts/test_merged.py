"""A second model behind a last layer: the framework's forms and checkpoints stay."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.segmentation import FCN, LRASPP

import hardmine as hm
from hardmine.errors import ConfigError, ShapeError
from hardmine.experts import Bank, Expert, Merged, add_expert, remove_expert

SIDE = 64


class Backbone(nn.Module):
    def __init__(self, *names: str):
        super().__init__()
        self.names, self.layer = names, nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict.fromkeys(self.names, self.layer(images))


def detector() -> nn.Module:
    return hm.build("fasterrcnn", 2, backbone="micro", image_size=SIDE).eval()


def segmenter() -> FCN:
    classifier = nn.Sequential(nn.Conv2d(8, 6, 3, 1, 1), nn.ReLU(), nn.Conv2d(6, 3, 1))
    return FCN(Backbone("out"), classifier).eval()


@pytest.fixture(params=["detector", "segmenter"])
def case(request):
    """A model, a second model for it, images for it, and a function of the scores that it gives."""
    if request.param == "detector":
        return detector(), Expert(128, 3), [torch.rand(3, SIDE, SIDE)], lambda found: found[0]["scores"]
    return segmenter(), Expert(6, 3), torch.rand(2, 3, SIDE, SIDE), lambda found: found["out"]


def opened(expert: Expert, share: float) -> Expert:
    with torch.no_grad():
        expert.opening.bias.fill_(share)
    return expert


@torch.no_grad()
def test_with_a_shut_gate_the_model_says_what_it_said_bit_for_bit(case):
    model, expert, images, scores = case
    before = scores(model(images))
    add_expert(model, opened(expert, -torch.inf))
    assert torch.equal(scores(model(images)), before)


@torch.no_grad()
def test_with_an_open_gate_it_says_what_the_expert_says_in_the_framework_s_form(case):
    model, expert, images, scores = case
    before = model(images)
    add_expert(model, opened(expert, 3.0))
    after = model(images)
    assert scores(after).shape[1:] == scores(before).shape[1:]
    if isinstance(after, list):
        assert [set(of) for of in after] == [set(of) for of in before]
        assert after[0]["boxes"].shape[1:] == (4,)
        assert after[0]["labels"].dtype == torch.int64
    assert not torch.equal(scores(after)[:1], scores(before)[:1])


@torch.no_grad()
def test_each_pixel_is_asked_for_by_itself():
    model, expert = segmenter(), opened(Expert(6, 3), 1.0)
    images = torch.rand(2, 3, 32, 48)
    features = model.classifier[1](model.classifier[0](model.backbone(images)["out"]))
    logits = model.classifier[2](features)
    merged = add_expert(model, expert)(features)
    assert merged.shape == logits.shape
    torch.testing.assert_close(
        merged[1, :, 3, 5], expert(features[1, :, 3, 5][None], logits[1, :, 3, 5][None])[0], rtol=1e-4, atol=1e-5
    )


def test_boxes_stay_the_base_s_own():
    predictor = FastRCNNPredictor(8, 3)
    features = torch.randn(5, 8)
    _, boxes = predictor(features)
    merged = Merged(predictor, Expert(8, 3))
    assert torch.equal(merged(features)[1], boxes)
    assert torch.equal(merged(features[:, :, None, None])[0], merged(features)[0])  # as torchvision allows


def test_it_can_be_taken_off_again(case):
    model, expert, _, _ = case
    names = list(model.state_dict())
    add_expert(model, expert)
    assert list(model.state_dict()) != names
    assert remove_expert(model) is expert
    assert list(model.state_dict()) == names
    with pytest.raises(ConfigError, match="without an expert"):
        remove_expert(model)


@torch.no_grad()
@pytest.mark.parametrize("make", [lambda d: Expert(d, 3, hidden=5), lambda d: Bank(d, 3, size=7)])
def test_a_state_dict_goes_round(case, make):
    model, expert, images, scores = case
    other = copy.deepcopy(model)
    first, second = make(expert.num_features), make(expert.num_features)
    if isinstance(first, Bank):
        first.add(torch.randn(3, first.num_features), torch.tensor([0, 1, 2]))
    first.opening.bias.fill_(0.0)
    add_expert(model, first)
    add_expert(other, second)
    other.load_state_dict(model.state_dict())
    assert torch.equal(scores(other(images)), scores(model(images)))


def test_a_recipe_trains_all_of_it_through_the_mixture():
    model = detector()
    add_expert(model, Expert(128, 3))
    wrapped = hm.wrap(model, hm.recipes.ohem(budget=16)).train()
    assert wrapped.num_classes == 2
    targets = [{"boxes": torch.tensor([[10.0, 10, 40, 40]]), "labels": torch.tensor([2])}]
    wrapped([torch.rand(3, SIDE, SIDE)], targets)["loss_classifier"].backward()
    merged = model.roi_heads.box_predictor
    assert all(parameter.grad is not None for parameter in merged.second.parameters())
    assert merged.base.cls_score.weight.grad is not None


def test_it_is_put_on_what_wrap_gives_as_on_the_model(case):
    model, expert, _, _ = case
    wrapped = hm.wrap(model, hm.recipes.random())
    add_expert(wrapped, expert)
    assert remove_expert(model) is expert


def test_any_layer_can_be_named():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    add_expert(model, Expert(8, 3), at="2")
    assert model(torch.randn(5, 4)).shape == (5, 3)


def test_two_experts_one_after_the_other_are_refused(case):
    model, expert, _, _ = case
    add_expert(model, expert)
    with pytest.raises(ConfigError, match="has an expert already"):
        add_expert(model, expert)


@pytest.mark.parametrize("numbers", [(5, 3), (6, 4)])
def test_an_expert_of_another_model_is_refused_when_it_is_asked(numbers):
    model = segmenter()
    add_expert(model, Expert(*numbers))
    with pytest.raises(ShapeError, match="fit one on samples of this model"):
        model(torch.rand(1, 3, SIDE, SIDE))


def test_a_model_whose_last_layer_is_not_one_is_refused():
    with pytest.raises(ConfigError, match="the last layer of LRASPP is not known"):
        add_expert(LRASPP(Backbone("low", "high"), 8, 8, 3, 8), Expert(8, 3))
    with pytest.raises(ConfigError, match=r"no module at 'classifier\.9'"):
        add_expert(segmenter(), Expert(6, 3), at="classifier.9")
