"""RF-DETR in a loop of one's own: its total loss, detections in pixels of the images, copies with their own state."""

from copy import deepcopy

import pytest
import torch
from torch.optim.swa_utils import AveragedModel
from torchvision.ops import box_convert

from hardmine import recipes, wrap
from hardmine.detectors.traits import set_traits
from hardmine.equation.framework_head import FrameworkHead
from hardmine.errors import ConfigError, EvidenceError
from hardmine.recipes import RECIPES

STEPS = 2


@pytest.fixture
def detector(make_module):
    return wrap(make_module(), recipes.random()).train()


def stock_total(module, batch, targets):
    """What rfdetr's training step makes of a batch that is resized already."""
    side = batch.shape[-1]
    own = [
        {"labels": target["labels"], "boxes": box_convert(target["boxes"], "xyxy", "cxcywh") / side}
        for target in targets
    ]
    losses, gains = module.criterion(module.model(batch, own), own), module.criterion.weight_dict
    return torch.stack([value * gains[name] for name, value in losses.items() if name in gains]).sum()


def gradients(module):
    found = {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}
    module.zero_grad()
    return found


@pytest.mark.parametrize("num_objects", [(3, 2), (4, 0), (0, 0)])
@pytest.mark.parametrize("recipe", ["random", "ones"])
def test_the_sum_of_its_losses_is_rfdetrs_own(recipe, num_objects, make_module, make_batch, ones):
    module = make_module()
    detector = wrap(module, ones if recipe == "ones" else recipes.random()).train()
    images, targets = make_batch(*num_objects)
    batch, resized = detector.resized(images, targets)
    for _ in range(2):
        losses = detector(images, targets)
        assert set(losses) == {"loss_ce", "loss_bbox", "loss_giou"}
        total = sum(losses.values())
        total.backward()
        ours = gradients(module)
        stock = stock_total(module, batch, resized)
        stock.backward()
        torch.testing.assert_close(total, stock, rtol=1e-5, atol=1e-6)
        for name, gradient in gradients(module).items():
            if gradient is None:
                assert ours[name] is None, name
            else:
                torch.testing.assert_close(ours[name], gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max()))


def fits(name):
    try:
        FrameworkHead(set_traits("rfdetr", 4), RECIPES[name]())
    except EvidenceError:
        return False
    return True


FITTING = [name for name in RECIPES if fits(name)]


@pytest.mark.parametrize("name", FITTING)
def test_every_recipe_that_fits_trains_all_that_rfdetr_trains(name, make_module, make_batch):
    module = make_module()
    detector = wrap(module, RECIPES[name]()).train()
    images, targets = make_batch(3, 0)
    stock_total(module, *detector.resized(images, targets)).backward()
    trained = {name for name, gradient in gradients(module).items() if gradient is not None}
    optimizer = torch.optim.SGD(module.parameters(), 1e-4)
    for _ in range(STEPS):
        loss = sum(detector(images, targets).values())
        loss.backward()
        assert {name for name, p in module.named_parameters() if p.grad is not None} == trained
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
        assert loss.isfinite()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", sorted(set(RECIPES) - set(FITTING)))
def test_others_are_refused_by_name_of_the_head(name, make_module):
    with pytest.raises(EvidenceError, match="rfdetr's set head"):
        wrap(make_module(), RECIPES[name]())


def test_most_recipes_fit():
    assert set(FITTING) >= {"random", "ce", "focal", "hnm", "ohem_mmdet", "ghm", "class_balanced", "ap_loss"}


def test_images_are_resized_to_the_square_of_the_model_and_boxes_with_them(detector, make_batch):
    images, targets = make_batch(2, 1)
    batch, resized = detector.resized(images, targets)
    assert batch.shape == (2, 3, 64, 64)
    height, width = images[1].shape[-2:]
    scale = torch.tensor([64 / width, 64 / height] * 2)
    torch.testing.assert_close(resized[1]["boxes"], targets[1]["boxes"] * scale)
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    grey = [torch.full((3, 80, 80), 0.5), torch.full((3, 64, 64), 0.5)]
    torch.testing.assert_close(
        detector.resized(grey, make_batch(0, 0)[1])[0][0], ((0.5 - mean) / std).expand(3, 64, 64)
    )


@pytest.mark.parametrize("size", [32, 96])
def test_another_size_of_images_is_that_of_the_batch(size, make_module, make_batch):
    detector = wrap(make_module(num_queries=4, num_select=4), recipes.random(), image_size=size).train()
    images, targets = make_batch(2)
    assert detector.resized(images, targets)[0].shape[-1] == size
    assert all(loss.isfinite() for loss in detector(images, targets).values())


def test_a_size_that_does_not_divide_is_refused(make_module):
    with pytest.raises(ConfigError, match="multiple of 32, got 100"):
        wrap(make_module(), recipes.random(), image_size=100)


def test_detections_are_rfdetrs_own_in_pixels_of_each_image(detector, make_batch):
    detector.eval()
    with torch.no_grad():  # as a trained model, which has boxes of all sizes
        detector.model.model.refpoint_embed.weight.normal_(std=3)
    images, _ = make_batch(0, 0)
    found = detector(images)
    sizes = torch.tensor([image.shape[-2:] for image in images])
    batch, _ = detector.transform(images)
    with torch.no_grad():
        outputs = detector.model.model(batch.tensors)
        outputs["pred_logits"] = outputs["pred_logits"][..., :3]
        detector.model.postprocess.num_select = 300
        expected = detector.model.postprocess(outputs, sizes)
    for ours, theirs, image in zip(found, expected, images, strict=True):
        height, width = image.shape[-2:]
        for name in ("boxes", "labels", "scores"):
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4)
        assert (ours["boxes"] >= 0).all()
        assert (ours["boxes"] <= torch.tensor([width, height] * 2)).all()
        assert ours["labels"].max() < detector.num_classes == 3
        assert not ours["scores"].requires_grad


def test_objects_of_weight_0_are_not_learnt(detector, make_batch):
    images, targets = make_batch(2, 1)
    targets = [target | {"weights": torch.zeros(len(target["labels"]))} for target in targets]
    losses = detector(images, targets)
    assert losses["loss_bbox"] == losses["loss_giou"] == 0
    half = [target | {"weights": target["weights"] + 0.5} for target in targets]
    whole = [target | {"weights": target["weights"] + 1} for target in targets]
    torch.testing.assert_close(detector(images, half)["loss_bbox"] * 2, detector(images, whole)["loss_bbox"])


def test_crowds_are_neither_objects_nor_background(detector, make_batch):
    images, _targets = make_batch(1)
    everywhere = torch.tensor([[0.0, 0, images[0].shape[2], images[0].shape[1]]])
    crowd = [{"boxes": everywhere, "labels": torch.tensor([0]), "iscrowd": torch.tensor([1])}]
    without = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    assert sum(detector(images, [without]).values()) > 0
    assert sum(detector(images, crowd).values()) == 0


def test_the_model_is_neither_copied_nor_changed(make_module, make_batch):
    module = make_module()
    before, kinds = list(module.state_dict()), [type(part) for part in module.modules()]
    first = wrap(module, recipes.ghm()).train()
    second = wrap(module, recipes.random()).train()
    assert first.model is second.model is module
    assert list(module.state_dict()) == before
    assert [type(part) for part in module.modules()] == kinds
    images, targets = make_batch(3, 1)
    assert first(images, targets)["loss_ce"] != second(images, targets)["loss_ce"]


def test_what_samplings_remember_is_in_the_detectors_state(make_module, make_batch):
    detector = wrap(make_module(), recipes.ghm()).train()
    heads = {name for name in detector.state_dict() if not name.startswith("model.")}
    assert heads
    assert all(name.startswith("heads.") for name in heads)


def test_a_copy_has_a_state_of_its_own(make_module, make_batch):
    detector = wrap(make_module(), recipes.ghm()).train()
    images, targets = make_batch(3, 1)
    detector(images, targets)
    average = AveragedModel(detector)
    other = deepcopy(detector)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    other(images, targets)
    assert all(torch.equal(value, before[name]) for name, value in detector.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in other.state_dict().items())
    average.update_parameters(detector)
    assert len(average.module.eval()(images)) == 2


def test_a_module_with_a_recipe_attached_is_refused(make_module):
    import hardmine

    module = make_module()
    attached = hardmine.attach(module, recipes.hnm())
    with pytest.raises(ConfigError, match="detach"):
        wrap(module, recipes.random())
    attached.detach()
    wrap(module, recipes.random())


def test_another_model_of_rfdetrs_is_refused(make_module):
    with pytest.raises(ConfigError, match="LWDETR; expected an RFDETRModelModule"):
        wrap(make_module().model, recipes.random())
