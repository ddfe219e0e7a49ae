"""Losses of the layers of a set-prediction detector under a recipe, on a criterion of our own."""

import pytest
import torch
from torch import Tensor, nn

from hardmine import Recipe, Sampling, Slot, recipes
from hardmine.core.samples import GroundTruth
from hardmine.detectors.query_losses import focal
from hardmine.detectors.traits import set_traits
from hardmine.detectors.weighted_layers import SIDE, Dialect, Layer, WeightedLayers, layer_names
from hardmine.equation.framework_head import FrameworkHead
from hardmine.errors import FrameworkError

B, N, C = 2, 30, 3


class Ones(Sampling):
    def weigh(self, samples):
        return torch.ones_like(samples.assignment.iou)


ONES = Recipe("ones", lambda head: {"select": Slot(Ones()), "regress": Slot(Ones())})
DIALECT = Dialect("torch", lambda logits, labels, iou: focal(logits, labels, iou, alpha=0.25))


def layers(recipe: Recipe) -> WeightedLayers:
    heads = {name: FrameworkHead(set_traits("detr", C), recipe) for name in ("last", "aux_0")}
    return WeightedLayers(DIALECT, nn.ModuleDict(heads))


@pytest.fixture
def layer() -> Layer:
    outputs = {"logits": torch.randn(B, N, C), "pred_boxes": torch.rand(B, N, 4) * 0.3 + 0.2}
    outputs = {name: value.requires_grad_() for name, value in outputs.items()}
    targets = [{"class_labels": torch.tensor([1, 0]), "boxes": torch.rand(2, 4) * 0.3 + 0.2}]
    targets.append({"class_labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)})
    nothing = torch.zeros(0, dtype=torch.int64)
    return Layer("last", outputs, targets, [(torch.tensor([7, 3]), torch.tensor([1, 0])), (nothing, nothing)], 2.0)


def stock_of(layer: Layer, gain: float = 1.0):
    """A framework's own losses, written as its criteria do: by pair."""
    labels = torch.full((B, N), -1)
    labels[0, 7], labels[0, 3] = 0, 1

    def classes() -> Tensor:
        return focal(layer.outputs["logits"], labels, torch.zeros(B, N), alpha=0.25).sum() / layer.divisor * gain

    def boxes() -> dict[str, Tensor]:
        from torchvision.ops import box_convert, generalized_box_iou_loss

        predicted, goal = layer.outputs["pred_boxes"][0, [7, 3]], layer.targets[0]["boxes"][[1, 0]]
        corners = (box_convert(of, "cxcywh", "xyxy") for of in (predicted, goal))
        return {
            "loss_bbox": (predicted - goal).abs().sum() / layer.divisor * gain,
            "loss_giou": generalized_box_iou_loss(*corners, eps=0).sum() / layer.divisor * gain,
        }

    return classes, boxes


def gradients(loss: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True, materialize_grads=True)


def test_weights_of_one_give_the_frameworks_losses_and_gradients(layer):
    weighted, (classes, boxes) = layers(ONES), stock_of(layer)
    ours = [weighted.classification(layer, classes), *weighted.boxes(layer, boxes).values()]
    theirs = [classes(), *boxes().values()]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    inputs = list(layer.outputs.values())
    for our, their in zip(ours, theirs, strict=True):
        gradients = (
            torch.autograd.grad(of, inputs, retain_graph=True, allow_unused=True, materialize_grads=True)
            for of in (our, their)
        )
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_a_recipe_that_sets_nothing_gives_the_frameworks_own_numbers(layer):
    weighted, (classes, boxes) = layers(recipes.random()), stock_of(layer)
    for _ in range(2):
        assert torch.equal(weighted.classification(layer, classes), classes())
        for ours, theirs in zip(weighted.boxes(layer, boxes).values(), boxes().values(), strict=True):
            assert torch.equal(ours, theirs)


def test_without_gradient_nothing_is_weighed_nor_remembered(layer):
    weighted, (classes, _) = layers(recipes.ghm()), stock_of(layer)
    before = {name: of.clone() for name, of in weighted.heads.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(weighted.classification(layer, classes), classes())
    torch.testing.assert_close(dict(weighted.heads.state_dict()), before)
    weighted.classification(layer, classes)
    assert any(not torch.equal(of, before[name]) for name, of in weighted.heads.state_dict().items())


def test_an_objects_weight_counts_in_all_its_losses(layer):
    weighted, (classes, boxes) = layers(recipes.random()), stock_of(layer)
    objects = GroundTruth.from_lists(
        [(of["boxes"][:, :2].repeat(1, 2) + torch.cat([-of["boxes"][:, 2:], of["boxes"][:, 2:]], 1) / 2) * SIDE
         for of in layer.targets],
        [of["class_labels"] for of in layer.targets],
        weights=[torch.zeros(2), torch.zeros(0)],
    )  # fmt: skip
    weighted.expect(objects)
    loss = weighted.classification(layer, classes)
    assert all(not of.any() for of in weighted.boxes(layer, boxes).values())
    (gradient,) = torch.autograd.grad(loss, layer.outputs["logits"])
    assert not gradient[0, [3, 7]].any()
    assert gradient[1].any()


def test_boxes_matched_otherwise_are_looked_at_again_and_nothing_is_remembered_twice(layer):
    recipe = Recipe("mine", lambda head: {"select": Slot(Only()), "classify": recipes.ghm().slots(head)["classify"]})
    weighted, (classes, boxes) = layers(recipe), stock_of(layer)
    weighted.classification(layer, classes)
    weighted._checked.add(("last", "boxes"))
    state = {name: of.clone() for name, of in weighted.heads["last"].state_dict().items()}
    other = Layer("last", layer.outputs, layer.targets, [(torch.tensor([1]), torch.tensor([0])), layer.indices[1]], 2.0)
    assert (weighted.boxes(other, boxes)["loss_bbox"] > 0).all()
    torch.testing.assert_close(dict(weighted.heads["last"].state_dict()), state)


class Only(Ones):
    """Keeps what belongs to an object."""

    def weigh(self, samples):
        return samples.assignment.is_positive.float()


def test_a_loss_of_classes_that_is_not_theirs_is_refused(layer):
    classes, _ = stock_of(layer, gain=2.0)
    with pytest.raises(FrameworkError, match="loss of classes in layer 'last'"):
        layers(recipes.random()).classification(layer, classes)


def test_a_loss_of_boxes_that_is_not_theirs_is_refused(layer):
    _, boxes = stock_of(layer, gain=2.0)
    with pytest.raises(FrameworkError, match="loss of boxes in layer 'last'"):
        layers(recipes.random()).boxes(layer, boxes)


def test_layers_are_known_by_their_outputs():
    first, second, encoder, denoising = ({} for _ in range(4))
    outputs = {"aux": [first, second], "enc_outputs": encoder, "dn": [denoising]}
    names = layer_names(outputs, "aux", "dn")
    assert [names[id(of)] for of in (first, second, encoder, denoising)] == ["aux_0", "aux_1", "encoder", ""]
    assert id(outputs) not in names


def test_what_is_not_mined_stays_as_it_is(layer):
    weighted, (classes, boxes) = layers(ONES), stock_of(layer, gain=3.0)
    unmined = Layer("", layer.outputs, layer.targets, layer.indices, 2.0)
    assert torch.equal(weighted.classification(unmined, classes), classes())
    assert set(weighted.boxes(unmined, boxes)) == {"loss_bbox", "loss_giou"}


def test_a_list_of_targets_that_is_filled_anew_is_read_anew(layer):
    weighted, (classes, _) = layers(recipes.focal()), stock_of(layer)
    weighted.classification(layer, classes)
    first = float(weighted.classification(layer, classes).detach())
    layer.targets[0]["class_labels"] = torch.tensor([2, 2])
    assert float(weighted.classification(layer, classes).detach()) != pytest.approx(first)
