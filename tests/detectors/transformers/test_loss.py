"""Weights of 1 in the losses of transformers' detectors leave these as they are; evaluation is never weighed."""

import copy

import pytest
import torch

import hardmine as hm
from hardmine import Recipe, Sampling, Slot
from hardmine.core.samples import GroundTruth
from hardmine.detectors.transformers.loss import make_heads
from hardmine.detectors.weighted_layers import SIDE as PIXELS
from hardmine.errors import ConfigError, EvidenceError, FrameworkError

pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")

KINDS = ["RTDetr", "RTDetrV2", "Detr", "ConditionalDetr", "DeformableDetr", "Yolos"]
IMAGES = {"objects in all": (2, 1), "one image empty": (3, 0), "all images empty": (0, 0)}


class Ones(Sampling):
    """Leaves everything as it is without being `All`."""

    def weigh(self, samples):
        return torch.ones_like(samples.assignment.iou)


ONES = Recipe("ones", lambda head: {"select": Slot(Ones()), "regress": Slot(Ones())})


def step(model, labels, precision=None):
    """Losses by name and gradients of one batch, the second after any first look of ours."""
    images = torch.rand(len(labels), 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        torch.manual_seed(2)  # of the denoising queries
        model.zero_grad()
        with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
            found = model(pixel_values=images, labels=labels)
    found.loss.backward()
    losses = {name: float(of.detach()) for name, of in {**found.loss_dict, "loss": found.loss}.items()}
    return losses, {name: of.grad for name, of in model.named_parameters() if of.grad is not None}


@pytest.mark.parametrize("numbers", IMAGES.values(), ids=list(IMAGES))
@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_one_leave_losses_and_gradients(kind, numbers, make_detr, make_labels):
    model, labels = make_detr(kind), make_labels(*numbers)
    losses, gradients = step(model, labels)
    hm.attach(model, ONES)
    ours, our_gradients = step(model, labels)
    assert ours == pytest.approx(losses, rel=1e-5, abs=1e-6)
    assert our_gradients.keys() == gradients.keys()
    largest = max(float(of.abs().max()) for of in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, rtol=1e-3, atol=1e-6 * largest, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_that_sets_nothing_leaves_every_bit(kind, make_detr, make_labels):
    model, labels = make_detr(kind), make_labels(2, 0)
    losses, gradients = step(model, labels)
    hm.attach(model, hm.recipes.random())
    ours, our_gradients = step(model, labels)
    assert ours == losses
    assert all(torch.equal(our_gradients[name], gradient) for name, gradient in gradients.items())


def test_in_half_precision_weights_of_one_leave_the_loss(make_detr, make_labels):
    model, labels = make_detr("RTDetrV2"), make_labels(2, 1)
    losses, _ = step(model, labels, torch.bfloat16)
    hm.attach(model, ONES)
    assert step(model, labels, torch.bfloat16)[0] == pytest.approx(losses, rel=1e-2, abs=1e-3)


def taken(kind: str) -> list[str]:
    softmax = {"Detr"}
    names = []
    for name, make in hm.recipes.RECIPES.items():
        from hardmine.detectors.traits import set_traits
        from hardmine.equation.framework_head import FrameworkHead

        try:
            FrameworkHead(set_traits("transformers", 4, "softmax" if kind in softmax else "sigmoid"), make())
        except EvidenceError:
            continue
        names.append(name)
    return names


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ("RTDetrV2", "Detr") for name in taken(kind)])
def test_every_recipe_that_is_taken_trains(kind, name, make_detr, make_labels):
    model, labels = make_detr(kind), make_labels(3, 0)
    _, stock = step(model, labels)
    hm.attach(model, hm.recipes.RECIPES[name]())
    optimizer = torch.optim.SGD(model.parameters(), 1e-5)
    for _ in range(2):
        losses, gradients = step(model, labels)
        assert all(torch.isfinite(torch.tensor(of)) for of in losses.values())
        assert gradients.keys() == stock.keys()
        assert all(of.isfinite().all() for of in gradients.values())
        optimizer.step()


def test_hard_negatives_take_away_losses_of_classes_and_none_of_boxes(make_detr, make_labels):
    model, labels = make_detr("RTDetrV2"), make_labels(2, 1)
    losses, _ = step(model, labels)
    hm.attach(model, hm.recipes.hnm())
    ours, _ = step(model, labels)
    for name, loss in losses.items():
        if name.startswith("loss_vfl") and "dn" not in name:
            assert ours[name] < loss
        elif name != "loss":
            assert ours[name] == pytest.approx(loss, rel=1e-5, abs=1e-6)


def test_objects_of_weight_0_have_no_loss_of_boxes(make_detr, make_labels):
    model, labels = make_detr("Detr"), make_labels(2, 1)
    attached = hm.attach(model, hm.recipes.random())
    boxes = [torch.tensor([[0.0, 0, 10, 10]]).repeat(len(of["boxes"]), 1) * PIXELS / 64 for of in labels]
    weights = [torch.zeros(len(of["boxes"])) for of in labels]
    attached._seam.expect(GroundTruth.from_lists(boxes, [of["class_labels"] for of in labels], weights=weights))
    losses, _ = step(model, labels)
    assert losses["loss_bbox"] == losses["loss_giou"] == 0


def test_evaluation_is_not_weighed_and_remembers_nothing(make_detr, make_labels):
    model, labels = make_detr("RTDetrV2").eval(), make_labels(2, 1)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        loss = model(pixel_values=images, labels=labels).loss
        attached = hm.attach(model, hm.recipes.ghm())
        before = copy.deepcopy(attached.heads.state_dict())
        assert torch.equal(model(pixel_values=images, labels=labels).loss, loss)
    torch.testing.assert_close(attached.heads.state_dict(), before)


def test_nothing_of_it_is_in_the_model(make_detr):
    model = make_detr("RTDetrV2")
    names = list(model.state_dict())
    attached = hm.attach(model, hm.recipes.ghm())
    assert list(model.state_dict()) == names
    assert list(copy.deepcopy(model).state_dict()) == names
    attached.detach()
    assert "_loss_function" not in vars(model)


def test_a_function_that_was_there_is_put_back(make_detr):
    model = make_detr("Detr")
    before = model.loss_function
    model.loss_function = before
    hm.attach(model, hm.recipes.hnm()).detach()
    assert model.loss_function is before


def test_a_second_recipe_takes_the_place_of_the_first(make_detr, make_labels):
    """As when a trained detector is looked at under another recipe: the weights of two are not multiplied."""
    labels = make_labels(2, 1)
    (model, alone) = make_detr("RTDetr"), make_detr("RTDetr")
    alone.load_state_dict(model.state_dict())
    hm.attach(model, hm.recipes.hnm())
    step(model, labels)
    for each in (model, alone):
        hm.attach(each, hm.recipes.ghm())
    assert step(model, labels)[0] == step(alone, labels)[0]


def test_a_loss_function_of_ones_own_is_named(make_detr):
    model = make_detr("Detr")
    model.loss_function = lambda *_, **__: None
    with pytest.raises(FrameworkError, match="the loss function of DetrForObjectDetection makes no ImageLoss"):
        hm.attach(model, hm.recipes.hnm())


def test_a_changed_formula_is_refused(make_detr, make_labels, monkeypatch):
    from transformers.loss import loss_rt_detr

    stock = loss_rt_detr.RTDetrLoss.loss_labels_vfl
    monkeypatch.setattr(
        loss_rt_detr.RTDetrLoss,
        "loss_labels_vfl",
        lambda self, *given, **named: {name: of * 2 for name, of in stock(self, *given, **named).items()},
    )
    model = make_detr("RTDetrV2")
    hm.attach(model, hm.recipes.random())
    with pytest.raises(FrameworkError, match=r"transformers .* computes its loss of classes in layer 'last'"):
        step(model, make_labels(2, 1))


def test_each_layer_of_the_decoder_and_the_encoder_has_a_head(make_detr):
    model = make_detr("RTDetrV2")
    assert list(make_heads(model, hm.recipes.hnm())) == ["last", "aux_0", "aux_1", "encoder"]


def test_another_model_is_named():
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    with pytest.raises(ConfigError, match="got transformers' BertForMaskedLM; expected a"):
        hm.attach(BertForMaskedLM(BertConfig(**sizes)), hm.recipes.hnm())
