"""With default slots every adapter gives its framework's own losses, and the same gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from hardmine import recipes, wrap
from hardmine.detectors import Detector

DENSE = ["retinanet, l1", "retinanet, giou", "ssd", "ssdlite", "fcos"]
BATCHES = [(3, 0, 6), (0, 0), (4,), (0,)]


@pytest.fixture
def make_dense(make_model) -> Callable[[str], tuple[nn.Module, Detector]]:
    def make(kind: str) -> tuple[nn.Module, Detector]:
        name, *box_loss = kind.split(", ")
        model = make_model(name)
        if box_loss:
            model.head.regression_head._loss_type = box_loss[0]
        return model, wrap(model, recipes.random()).train()

    return make


def assert_equal_losses(ours: tuple[dict, dict], theirs: tuple[dict, dict], num_objects: tuple[int, ...]) -> None:
    box_losses = {"bbox_regression", "loss_box_reg", "loss_rpn_box_reg"} & set(ours[0])
    assert all((ours[0][name] > 0) == (sum(num_objects) > 0) for name in box_losses)
    assert set(ours[0]) == set(theirs[0])
    for name, loss in theirs[0].items():
        torch.testing.assert_close(ours[0][name], loss, rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    for name, their_gradient in theirs[1].items():
        gradient = torch.zeros_like(ours[1][name]) if their_gradient is None else their_gradient
        scale = gradient.abs().max().item()
        torch.testing.assert_close(
            ours[1][name], gradient, rtol=1e-4, atol=1e-5 * max(scale, 1), msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("num_objects", BATCHES, ids=str)
def test_dense_detectors_have_their_own_losses(kind, num_objects, make_dense, make_batch, loss_and_gradients):
    model, detector = make_dense(kind)
    batch = make_batch(detector.label_offset, num_objects)
    ours = loss_and_gradients(detector, model, *batch)
    assert_equal_losses(ours, loss_and_gradients(model, model, *batch), num_objects)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_box_codes_are_those_that_the_head_trains_with(scale, make_dense, make_batch, loss_and_gradients):
    """RetinaNet has a second coder, for inference."""
    model, _ = make_dense("retinanet, l1")
    model.head.regression_head.box_coder.weights = (scale,) * 4
    detector, batch = wrap(model, recipes.random()).train(), make_batch(0)
    ours = loss_and_gradients(detector, model, *batch)
    assert_equal_losses(ours, loss_and_gradients(model, model, *batch), (3, 0, 6))


class Replay:
    """A torchvision sampler that picks what ours has picked, so that the losses of the two can be compared."""

    def __init__(self, positives: list[Tensor], negatives: list[Tensor]):
        self.positives, self.negatives = positives, negatives

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        for label, positive, negative in zip(labels, self.positives, self.negatives, strict=True):
            assert (label[positive] >= 1).all()
            assert (label[negative] == 0).all()
        return self.positives, self.negatives


def record_and_replay(model: FasterRCNN, detector: Detector) -> Callable[[], None]:
    """Watches what our two heads select in the next step; the call puts it into the model's own samplers."""
    seen: dict[str, tuple] = {}

    def watch(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _, args, out: seen.__setitem__(name, (args[0].assignment, out > 0)))

    def watch_padding(_module: nn.Module, _args: tuple, kwargs: dict) -> None:
        seen["padding"] = kwargs["is_padding"]

    watch("rpn", detector.rpn_head.select)
    watch("roi", detector.roi_head.select)
    detector.roi_head.assigner.register_forward_pre_hook(watch_padding, with_kwargs=True)

    def replay() -> None:
        real = ~seen["padding"]
        for part, module, rows in (("rpn", model.rpn, None), ("roi", model.roi_heads, real)):
            assignment, kept = seen[part]
            keep = torch.ones_like(kept) if rows is None else rows
            positives = [(k & p)[r] for k, p, r in zip(kept, assignment.is_positive, keep, strict=True)]
            negatives = [(k & n)[r] for k, n, r in zip(kept, assignment.is_negative, keep, strict=True)]
            module.fg_bg_sampler = Replay(positives, negatives)

    return replay


@pytest.mark.parametrize("name", ["fasterrcnn", "maskrcnn", "keypointrcnn"])
@pytest.mark.parametrize("num_objects", BATCHES, ids=str)
@pytest.mark.parametrize("batch_size", [4, 10**6], ids=["few", "all"])
def test_two_stage_detectors_have_their_own_losses_for_the_same_samples(
    name, num_objects, batch_size, make_model, make_full_batch, loss_and_gradients
):
    model = make_model(name)
    for part in (model.rpn, model.roi_heads):
        part.fg_bg_sampler.batch_size_per_image = batch_size
        part.fg_bg_sampler.positive_fraction = 0.5
    detector = wrap(model, recipes.random()).train()
    replay = record_and_replay(model, detector)
    batch = make_full_batch(num_objects)
    ours = loss_and_gradients(detector, model, *batch)
    replay()
    assert_equal_losses(ours, loss_and_gradients(model, model, *batch), num_objects)


@pytest.mark.parametrize(
    "detector", ["retinanet", "fasterrcnn", "cascadercnn", "maskrcnn", "keypointrcnn", "ssd", "ssdlite", "fcos"]
)
def test_the_model_its_state_and_its_inference_stay_as_they_are(detector, make_model, make_batch):
    model = make_model(detector)
    (model.roi_heads if detector.endswith("rcnn") else model).score_thresh = 0.0
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapted = wrap(model, recipes.ce())
    images, _ = make_batch(1)
    assert adapted.model is model
    assert {name.removeprefix("model.") for name in adapted.state_dict()} == set(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert len(list(adapted.parameters())) == len(list(model.parameters()))
    adapted.eval()
    with torch.no_grad():
        ours, theirs = adapted(images), model(images)
    assert sum(len(image["boxes"]) for image in theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)
