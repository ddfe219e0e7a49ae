"""Every recipe on every detector: finite, connected, and indifferent to crowds."""

import pytest
import torch
from torch import Tensor

from hardmine import RECIPES, wrap
from hardmine.errors import EvidenceError

DETECTORS = ["retinanet", "fasterrcnn", "cascadercnn", "ssd", "ssdlite", "fcos"]
SIGMOID, TWO_STAGE = {"retinanet", "fcos"}, {"fasterrcnn", "cascadercnn"}
SOFTMAX = {*TWO_STAGE, "ssd", "ssdlite"}
REFUSED = {
    # made for a sigmoid of each class
    **dict.fromkeys(["qfl", "gfl", "vfl", "mal", "ia_bce", "tood", "eqlv2", "efl"], SOFTMAX),
    **dict.fromkeys(["ap_loss", "alrp", "rs_loss", "dr_loss"], SOFTMAX),
    **dict.fromkeys(["atss", "fcos", "simota"], TWO_STAGE),  # a proposal lies on no level of the pyramid
    "seesaw": SIGMOID,
    "ohem": {"fcos"},  # points have no boxes to suppress
    "pixel_ohem": {*SIGMOID, *SOFTMAX},  # made for pixels
    "libra": {"fcos"},  # its codes are distances, not corrections of an anchor
}


@pytest.fixture(params=DETECTORS)
def model(request, make_model):
    return make_model(request.param)


def under_a_crowd(images: list[Tensor]) -> list[dict[str, Tensor]]:
    """Nothing but a crowd far larger than each image, so that no sample counts."""
    everywhere = torch.tensor([[-1e4, -1e4, 1e4, 1e4]])
    crowd = {"boxes": everywhere, "labels": torch.ones(1, dtype=torch.int64), "iscrowd": torch.ones(1)}
    return [dict(crowd) for _ in images]


def kind_of(model) -> str:
    """The detector's name, SSDLite being an SSD."""
    names = {"FasterRCNN": "fasterrcnn", "CascadeRCNN": "cascadercnn", "RetinaNet": "retinanet"}
    return (names | {"FCOS": "fcos", "SSD": "ssd"})[type(model).__name__]


def sum_of(losses: dict[str, Tensor], name: str) -> Tensor:
    """The losses of "classes" or "boxes", the RPN's apart, over all stages of a cascade."""
    kinds = {"classes": ("loss_classifier", "classification"), "boxes": ("loss_box_reg", "bbox_regression")}[name]
    return sum(loss for key, loss in losses.items() if key.startswith(kinds))


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("kind", ["some objects", "no objects", "all ignored"])
def test_every_trainable_parameter_gets_a_finite_gradient(name, kind, model, make_batch, loss_and_gradients):
    """Also where nothing is to be learnt: a parameter without gradient stops data-parallel training."""
    if kind_of(model) in REFUSED.get(name, ()):
        with pytest.raises(EvidenceError, match=rf"recipe '{name}' .*{kind_of(model)}'s .*head.*"):
            wrap(model, RECIPES[name]())
        return
    detector = wrap(model, RECIPES[name]()).train()
    images, targets = make_batch(detector.label_offset, (2, 0) if kind == "some objects" else (0, 0))
    if kind == "all ignored":
        targets = under_a_crowd(images)
    losses, gradients = loss_and_gradients(detector, model, images, targets)
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert kind != "all ignored" or not any(losses.values())
    for parameter, gradient in gradients.items():
        assert gradient is not None, parameter
        assert torch.isfinite(gradient).all(), parameter


RANKINGS = {"ap_loss", "alrp", "rs_loss"}  # without a positive there is nothing to rank
OF_SSD_ITSELF = {  # SSD's own three negatives a positive, which these recipes leave as they are
    *("random", "class_balanced", "libra", "isr", "carl", "pisa", "seesaw", "correlation", "max_iou", "atss", "fcos"),
    "simota",
}


@pytest.mark.parametrize("name", list(RECIPES))
def test_images_without_objects_teach_the_background(name, model, make_batch):
    """Others leave such batches out; here only those do whose method says so."""
    kind = kind_of(model)
    if kind in REFUSED.get(name, ()):
        return  # see above
    detector = wrap(model, RECIPES[name]()).train()
    losses = detector(*make_batch(detector.label_offset, (0, 0)))
    sum_of(losses, "classes").backward()
    gradient = sum(parameter.grad.abs().sum() for parameter in model.parameters() if parameter.grad is not None)
    teaches = name not in RANKINGS and not (kind == "ssd" and name in OF_SSD_ITSELF)
    assert (gradient > 0) == teaches


@pytest.mark.parametrize("name", list(RECIPES))
def test_an_object_without_weight_teaches_no_box(name, model, make_batch):
    """And one with weight does: the factor reaches the w of every recipe."""
    kind = kind_of(model)
    if kind in REFUSED.get(name, ()):
        return  # see above
    detector = wrap(model, RECIPES[name]()).train()
    images, targets = make_batch(detector.label_offset, (2, 3))
    losses = {}
    for weight in (0.0, 1.0):
        weighted = [target | {"weights": torch.full((len(target["boxes"]),), weight)} for target in targets]
        losses[weight] = float(sum_of(detector(images, weighted), "boxes").detach())
    assert losses[0.0] == 0
    assert losses[1.0] > 0


@pytest.mark.parametrize("name", ["random", "ohem_mmdet"])
def test_bfloat16_autocast_gives_float32_losses_near_those_without(name, model, make_batch):
    detector = wrap(model, RECIPES[name]()).train()
    batch = make_batch(detector.label_offset)
    torch.manual_seed(1)
    exact = detector(*batch)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = detector(*batch)
    for key, loss in rounded.items():
        assert loss.dtype == torch.float32, key
        torch.testing.assert_close(loss, exact[key], rtol=0.1, atol=0.05, msg=lambda m, k=key: f"{k}: {m}")
