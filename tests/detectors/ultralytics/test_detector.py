"""ultralytics' models in a loop of one's own."""

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from hardmine import wrap
from hardmine.equation.recipe import Recipe, Slot
from hardmine.errors import ConfigError
from hardmine.recipes import RECIPES
from hardmine.sampling import Sampling

pytest.importorskip("ultralytics", reason="ultralytics is not installed")

from ultralytics.utils.nms import non_max_suppression

from hardmine.detectors.ultralytics.criterion import new_criterion
from hardmine.detectors.ultralytics.detector import GREY, UltralyticsDetector, _suppressed

MODELS = ["yolo11n", "yolo26n"]
SIZE = 96


@pytest.fixture(params=MODELS)
def model(request, make_yolo):
    return make_yolo(request.param, SIZE)


def detector_of(model, recipe: str = "random") -> UltralyticsDetector:
    detector = wrap(model, RECIPES[recipe](), image_size=SIZE)
    assert isinstance(detector, UltralyticsDetector)
    return detector.train()


def as_theirs(detector: UltralyticsDetector, images, targets) -> dict[str, Tensor]:
    """The batch as ultralytics' loader would give it: normalised boxes of the padded images."""
    batch, resized = detector.resized(images, [dict(target) for target in targets])
    height, width = batch.shape[-2:]
    boxes = torch.cat([target["boxes"] for target in resized])
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return {
        "img": batch,
        "cls": torch.cat([target["labels"] for target in resized]).float()[:, None],
        "bboxes": torch.cat([middle, sides], dim=1) / torch.tensor([width, height, width, height]),
        "batch_idx": torch.tensor([float(b) for b, target in enumerate(resized) for _ in target["labels"]]),
    }


def test_losses_are_those_that_ultralytics_prints(model, make_batch, run_criterion):
    """But for the factor of the number of images; of an end-to-end detector those of both heads together."""
    images, targets = make_batch(0)
    detector, criterion = detector_of(model), new_criterion(model)
    before = copy.deepcopy(model.state_dict())
    losses = detector(images, targets)
    model.load_state_dict(before)
    expected, *_ = run_criterion(model, criterion, as_theirs(detector, images, targets))
    third = "dfl_loss" if model.model[-1].reg_max > 1 else "l1_loss"
    assert list(losses) == ["box_loss", "cls_loss", third]
    ours = torch.stack(list(losses.values())).detach()
    torch.testing.assert_close(ours, expected / len(images), rtol=1e-5, atol=1e-6)


def test_images_fill_the_longer_side_and_are_padded_in_grey(make_yolo):
    detector = detector_of(make_yolo(size=SIZE))
    images = [torch.zeros(3, 60, 120), torch.zeros(3, 48, 48)]
    targets = [{"boxes": torch.tensor([[0.0, 0, 120, 60]]), "labels": torch.tensor([0])}] * 2
    targets[1] = {"boxes": torch.tensor([[12.0, 12, 24, 48]]), "labels": torch.tensor([0])}
    batch, resized = detector.resized(images, targets)
    assert batch.shape == (2, 3, 96, 96)
    torch.testing.assert_close(resized[0]["boxes"], torch.tensor([[0.0, 0, 96, 48]]))
    torch.testing.assert_close(resized[1]["boxes"], torch.tensor([[24.0, 24, 48, 96]]))
    assert batch[0, :, :48].abs().max() < 1e-6
    torch.testing.assert_close(batch[0, :, 48:], torch.full((3, 48, 96), GREY))


def test_the_size_is_what_the_model_was_made_for(make_yolo):
    model = make_yolo(size=64)
    assert wrap(model, RECIPES["random"]()).transform.min_size == (64,)
    model.args = {"imgsz": 160}
    assert wrap(model, RECIPES["random"]()).transform.min_size == (160,)
    del model.args
    assert wrap(model, RECIPES["random"]()).transform.min_size == (640,)
    assert wrap(model, RECIPES["random"](), image_size=96).transform.min_size == (96,)


def test_the_model_stays_untouched(model, make_batch):
    names, criterion = list(model.state_dict()), getattr(model, "criterion", None)
    detector = detector_of(model, "ghm")
    detector(*make_batch(0))
    assert list(model.state_dict()) == names
    assert getattr(model, "criterion", None) is criterion is None
    remembered = set(detector.state_dict()) - {f"model.{name}" for name in names}
    heads = ["detect"] if len(detector.heads) == 1 else ["one2many", "one2one"]
    assert {name.split(".")[1] for name in remembered} == set(heads)


def test_samplings_remember_from_batch_to_batch(model, make_batch):
    detector = detector_of(model, "ghm")
    before = {name: value.clone() for name, value in detector.heads.state_dict().items()}
    detector(*make_batch(0))
    after = detector.heads.state_dict()
    assert before
    assert all(not torch.equal(value, after[name]) for name, value in before.items() if name.endswith("histogram"))


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_has_weights_of_its_own(how, model, make_batch):
    detector = detector_of(model, "ghm")
    images, targets = make_batch(0)
    detector(images, targets)
    detector.start_epoch(3, 3)
    twin = copy.deepcopy(detector) if how == "deepcopy" else pickle.loads(pickle.dumps(detector))
    torch.testing.assert_close(twin(images, targets), detector(images, targets))
    state = {name: value.clone() for name, value in detector.heads.state_dict().items()}
    twin(images, targets)
    torch.testing.assert_close(dict(detector.heads.state_dict()), state)
    assert any(not torch.equal(value, state[name]) for name, value in twin.heads.state_dict().items())


def test_averaged_weights_find_what_an_average_finds(model, make_batch):
    detector = detector_of(model, "ghm")
    average = AveragedModel(detector)
    detector(*make_batch(0))
    average.update_parameters(detector)
    found = average.module.eval()(make_batch(0)[0])
    assert [set(image) for image in found] == [{"boxes", "labels", "scores"}] * 3


def test_a_state_dict_goes_into_another_detector(model, make_batch, make_yolo):
    detector = detector_of(model, "ghm")
    detector(*make_batch(0))
    other = detector_of(make_yolo("yolo11n" if "detect" in detector.heads else "yolo26n", SIZE), "ghm")
    other.load_state_dict(detector.state_dict())
    torch.testing.assert_close(dict(other.state_dict()), dict(detector.state_dict()))


def test_half_precision_trains(model, make_batch):
    detector = detector_of(model, "hnm")
    with torch.autocast("cpu", torch.bfloat16):
        losses = detector(*make_batch(0))
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.requires_grad)


def test_the_share_of_the_two_heads_follows_the_epochs(make_yolo, make_batch):
    """As ultralytics counts: .8 of one-to-many in the first epoch, .1 in the last; after a restart as well."""
    model = make_yolo("yolo26n", SIZE)
    criterion = new_criterion(model)
    criterion.one2one.hyp.epochs = 5
    images, targets = make_batch(0)
    detector = detector_of(model).eval()
    detector.train()
    model.eval()
    model.model[-1].train()
    for epoch in range(1, 6):
        detector.start_epoch(epoch, 5)
        losses = torch.stack(list(detector(images, targets).values())).detach()
        batch = as_theirs(detector, images, targets)
        expected = criterion(model(batch["img"]), batch)[0].detach() / len(images)
        torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)
        criterion.update()


def test_crowds_and_weights_of_objects_are_taken_up(model, make_batch):
    images, targets = make_batch(0, (3, 0))
    detector = detector_of(model)
    everywhere = {"boxes": torch.tensor([[-1e3, -1e3, 1e3, 1e3]]), "labels": torch.tensor([0])}
    crowd = [{**everywhere, "iscrowd": torch.ones(1)}] * 2
    assert not any(detector(images, crowd).values())
    none = [{**target, "weights": torch.zeros(len(target["labels"]))} for target in targets]
    losses = detector(images, none)
    assert not losses["box_loss"].any()
    assert losses["cls_loss"] > 0


def test_detections_are_ultralytics_own(make_yolo, make_batch):
    model = make_yolo(size=SIZE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    detector, (images, _) = detector_of(model).eval(), make_batch(0)
    found = detector(images)
    for image, detections in zip(images, found, strict=True):
        batch, _ = detector.transform([image])
        with torch.no_grad():
            output = model(batch.tensors + GREY)[0]
        expected = non_max_suppression(output, 0.0, 0.7, multi_label=True, max_det=300)[0]
        height, width = image.shape[-2:]
        scale = torch.tensor([width / batch.image_sizes[0][1], height / batch.image_sizes[0][0]]).repeat(2)
        boxes = (expected[:, :4] * scale).clamp_min(0).minimum(torch.tensor([width, height, width, height]))
        alone = detector([image])[0]
        torch.testing.assert_close(alone["boxes"], boxes, rtol=1e-4, atol=1e-3)
        assert torch.equal(alone["labels"], expected[:, 5].long())
        torch.testing.assert_close(alone["scores"], expected[:, 4])
        assert detections["boxes"].shape[1:] == (4,)
        assert (detections["boxes"] >= 0).all()
        assert (detections["boxes"] <= torch.tensor([width, height, width, height])).all()


def test_an_end_to_end_output_is_taken_as_it_is(make_yolo, make_batch):
    model = make_yolo("yolo26n", SIZE)
    model.end2end = True
    detector, (images, _) = detector_of(model).eval(), make_batch(0, (1,))
    found = detector(images)[0]
    assert len(found["scores"]) == min(300, (SIZE // 8) ** 2 + (SIZE // 16) ** 2 + (SIZE // 32) ** 2)
    assert found["labels"].dtype == torch.int64
    assert (found["scores"].diff() <= 0).all()


def test_the_suppression_looks_further_where_the_best_are_all_alike():
    """3000 boxes on one place suppress each other; those of lower scores elsewhere are found all the same."""
    alike = torch.tensor([50.0, 50, 20, 20]).repeat(4000, 1)
    apart = torch.stack([torch.arange(400) * 30.0, torch.full((400,), 500.0)], dim=1)
    apart = torch.cat([apart, torch.full((400, 2), 20.0)], dim=1)
    scores = torch.cat([torch.linspace(0.9, 0.8, 4000), torch.linspace(0.7, 0.6, 400)])
    found = _suppressed(torch.cat([torch.cat([alike, apart]).mT, scores[None]]))
    assert len(found["scores"]) == 300
    torch.testing.assert_close(found["scores"], torch.cat([scores[:1], scores[4000:4299]]))


def test_a_prior_is_what_every_class_starts_with(model, make_batch):
    detector = detector_of(model)
    detector.initialize_prior(0.3)
    found = detector.eval()(make_batch(0)[0])
    assert all((image["scores"] - 0.3).abs().max() < 0.1 for image in found)


def test_a_model_without_gradients_is_refused(make_yolo, make_batch):
    model = make_yolo(size=SIZE).requires_grad_(False)
    detector = detector_of(model)
    with pytest.raises(ConfigError, match=r"requires_grad_\(True\)"):
        detector(*make_batch(0))
    assert len(detector.eval()(make_batch(0)[0])) == 3


def test_what_trains_by_itself_is_refused(make_yolo):
    from ultralytics import YOLO

    with pytest.raises(ConfigError, match=r"hardmine.attach\(model, recipe\)"):
        wrap(YOLO("yolo11n.yaml"), RECIPES["random"]())


class Ones(Sampling):
    def weigh(self, samples):
        return torch.ones_like(samples.assignment.iou)


def test_weights_of_one_change_nothing_in_a_loop_of_ones_own(model, make_batch):
    images, targets = make_batch(0)
    ones = Recipe("ones", lambda _: {"select": Slot(Ones())})
    before = copy.deepcopy(model.state_dict())
    plain = detector_of(model)(images, targets)
    model.load_state_dict(before)
    weighed = wrap(model, ones, image_size=SIZE).train()(images, targets)
    assert all(torch.equal(weighed[name], value) for name, value in plain.items())
