import copy
from contextlib import ExitStack

import pytest
import torch
from torch import nn
from torchvision.models import segmentation
from torchvision.models.segmentation.fcn import FCNHead

import hardmine
from hardmine.core.boxes import pairwise_iou
from hardmine.core.pixels import IGNORED
from hardmine.detectors import wrap
from hardmine.diagnosis import HeadTables, watch
from hardmine.errors import ConfigError, RunError
from hardmine.recipes import RECIPES, Recipe

HEADS = {"retinanet": ["dense"], "fcos": ["dense"], "ssd": ["dense"], "fasterrcnn": ["rpn", "roi"]}
TABLES = {"kind", "iou", "object_size", "class", "score", "loss_decile", "image"}
SHARES = ("samples", "loss", "weight", "gradient")


def first_label(detector: str) -> int:
    return 0 if detector in ("retinanet", "fcos") else 1


def check_consistency(found: HeadTables) -> None:
    assert found.totals["samples"] > 0
    assert found.totals["gradient"] > 0
    for name, rows in found.tables.items():
        ignored = sum(row["count"] for row in rows if row["bin"] == "ignored")
        assert sum(row["count"] for row in rows) - ignored == found.totals["samples"], name
        for of in SHARES:
            assert sum(row[of] for row in rows) == pytest.approx(1), (name, of)


@pytest.fixture
def step(make_model, make_batch, loss_and_gradients):
    """Losses and gradients of one step, and what a watch saw of it, if there was one; always from the same seed."""

    def run(detector: str, recipe: Recipe, *, is_watched: bool, **named):
        torch.manual_seed(0)
        model = make_model(detector)
        images, targets = make_batch(first_label(detector))
        wrapped = wrap(model, recipe).train()
        torch.manual_seed(1)
        if not is_watched:
            return *loss_and_gradients(wrapped, model, images, targets), torch.get_rng_state(), None
        with watch(wrapped, **named) as watched:
            found = loss_and_gradients(wrapped, model, images, targets)
        return *found, torch.get_rng_state(), watched

    return run


@pytest.mark.parametrize(
    ("detector", "recipe"),
    [(detector, "random") for detector in HEADS]
    + [("retinanet", "ghm"), ("retinanet", "ap_loss"), ("fasterrcnn", "ohem"), ("fasterrcnn", "pisa")],
)
def test_a_watched_step_is_the_same_step(step, detector, recipe):
    losses, gradients, state, _ = step(detector, RECIPES[recipe](), is_watched=False)
    seen_losses, seen_gradients, seen_state, watched = step(detector, RECIPES[recipe](), is_watched=True)
    assert all(torch.equal(loss, seen_losses[name]) for name, loss in losses.items())
    for name, gradient in gradients.items():
        assert gradient is None or torch.equal(gradient, seen_gradients[name])
    assert torch.equal(state, seen_state)
    assert list(watched.tables()) == HEADS[detector]


@pytest.mark.parametrize("detector", HEADS)
def test_tables_of_every_head_are_of_all_its_samples(step, detector):
    *_, watched = step(detector, RECIPES["random"](), is_watched=True)
    for name, found in watched.tables().items():
        check_consistency(found)
        assert set(found.tables) - {"level"} == TABLES
        assert ("level" in found.tables) == (name != "roi")
        assert found.totals["images"] == 3
        assert found.totals["objects"] == 9


@pytest.mark.parametrize("detector", HEADS)
@pytest.mark.parametrize("recipe", ["random", "hnm", "isr"])
def test_losses_of_the_samples_add_up_to_the_head_s(step, detector, recipe):
    losses, *_, watched = step(detector, RECIPES[recipe](), is_watched=True)
    names = {"dense": "classification", "rpn": "loss_objectness", "roi": "loss_classifier"}
    for head, found in watched.tables().items():
        assert found.totals["classification_loss"] == pytest.approx(float(losses[names[head]]), rel=1e-4)


def test_a_loss_over_all_samples_has_no_shares_of_them(step):
    *_, watched = step("retinanet", RECIPES["ap_loss"](), is_watched=True)
    (found,) = watched.tables().values()
    assert found.tables["kind"][0]["loss"] is None
    assert sum(row["gradient"] for row in found.tables["kind"]) == pytest.approx(1)


def test_the_gradient_is_that_of_the_scores(make_model, make_batch):
    """Of plain cross entropy: |p - t| over the positives of the batch."""
    model = make_model("retinanet")
    detector = wrap(model, RECIPES["ce"]()).train()
    seen = []
    detector.head.register_forward_hook(lambda _, args, losses: seen.append(args))
    with watch(detector) as watched:
        detector(*make_batch(0))["classification"].backward()
    ((output, ground_truth, assignment, boxes),) = seen
    labels = ground_truth.labels_of(assignment)
    target = labels.unsqueeze(-1) == torch.arange(output.logits.shape[-1])
    pull = (output.logits.detach().sigmoid() - target.float()).abs().sum(-1) / assignment.is_positive.sum()
    found = watched.tables()["dense"]
    assert found.totals["gradient"] == pytest.approx(float(pull[assignment.is_valid].sum()), rel=1e-4)
    assert found.totals["positive_gradient"] == pytest.approx(
        float(pull[assignment.is_positive].sum() / pull[assignment.is_valid].sum()), rel=1e-4
    )
    low = pairwise_iou(ground_truth.boxes, boxes).amax(1) < 0.05
    assert found.tables["iou"][0]["count"] == int((low & assignment.is_valid).sum())
    assert found.totals["candidates"] == boxes.shape[0] * boxes.shape[1]


def test_what_was_left_out_before_the_head_is_a_candidate_and_no_sample(step):
    *_, watched = step("fasterrcnn", RECIPES["ohem"](budget=5), is_watched=True)
    totals = watched.tables()["roi"].totals
    assert totals["samples"] == totals["kept"] == 15
    assert totals["candidates"] > 100
    assert totals["ignored"] == 0


def test_sizes_are_of_the_objects_as_they_were_given(make_model):
    """A detector that enlarges its images does not make small objects medium ones."""
    detector = wrap(make_model("retinanet"), RECIPES["random"]()).train()
    target = {"boxes": torch.tensor([[2.0, 2, 22, 22]]), "labels": torch.tensor([0])}
    with watch(detector) as watched:
        sum(detector([torch.rand(3, 40, 40)], [target]).values()).backward()
    rows = {row["bin"]: row for row in watched.tables()["dense"].tables["object_size"]}
    assert (rows["small"]["objects"], rows["medium"]["objects"]) == (1, 0)


def test_only_steps_with_a_backward_pass_count_and_each_once(make_model, make_batch):
    detector = wrap(make_model("retinanet"), RECIPES["random"]()).train()
    images, targets = make_batch(0)
    with watch(detector) as watched:
        detector(images, targets)
        with torch.no_grad():
            detector(images, targets)
        losses = detector(images, targets)
        losses["classification"].backward(retain_graph=True)
        losses["bbox_regression"].backward(retain_graph=True)
        losses["classification"].backward()
        assert watched.tables()["dense"].totals["steps"] == 1
    sum(detector(images, targets).values()).backward()  # nobody watches any more
    assert watched.tables()["dense"].totals["steps"] == 1
    assert not detector.head._forward_hooks


def test_a_copy_of_the_detector_can_be_made_meanwhile(make_model, make_batch):
    detector = wrap(make_model("retinanet"), RECIPES["random"]()).train()
    with watch(detector) as watched:
        sum(detector(*make_batch(0)).values()).backward()
        copy.deepcopy(detector).eval()([torch.rand(3, 96, 96)])
    assert watched.tables()["dense"].totals["steps"] == 1


def test_looking_back_leaves_no_gradient(make_model, make_batch, step):
    *_, expected = step("retinanet", RECIPES["random"](), is_watched=True)
    torch.manual_seed(0)
    model = make_model("retinanet")
    detector = wrap(model, RECIPES["random"]()).train()
    images, targets = make_batch(0)
    with watch(detector) as watched:
        watched.look_back(sum(detector(images, targets).values()))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert watched.tables()["dense"].to_dict() == expected.tables()["dense"].to_dict()


def test_a_summary_is_written_as_the_command_s(step, tmp_path):
    *_, watched = step("fasterrcnn", RECIPES["random"](), is_watched=True, classes=("a", "b", "c"))
    found = watched.summary("mine")
    assert (found.detector, found.final_head, found.num_images, found.run) == ("fasterrcnn", "roi", 3, None)
    assert [row["bin"] for row in found.recipes["mine"]["roi"].tables["class"]] == ["a", "b", "c", "background"]
    assert [row["bin"] for row in found.recipes["mine"]["rpn"].tables["class"]] == ["object", "background"]
    assert "candidates an image" in str(found)
    assert (watched.write(tmp_path / "new") / "diagnosis.json").exists()
    with pytest.raises(RunError, match="exists already"):
        watched.write(tmp_path / "new")


@pytest.mark.parametrize("kind", ["standin:dense", "standinsets:set"])
def test_heads_of_frameworks_are_watched(stand_in, make_batch, kind):
    def losses_of(*, is_watched: bool):
        torch.manual_seed(0)
        model = hardmine.build(kind, 3)
        detector = wrap(model, RECIPES["random"]()).train()
        images, targets = make_batch(0)
        if not is_watched:
            loss = sum(detector(images, targets).values())
            loss.backward()
            return loss, model.body[0][0].weight.grad, None
        with watch(detector) as watched:
            loss = sum(detector(images, targets).values())
            loss.backward()
        return loss, model.body[0][0].weight.grad, watched

    loss, gradient, _ = losses_of(is_watched=False)
    seen_loss, seen_gradient, watched = losses_of(is_watched=True)
    torch.testing.assert_close(seen_loss, loss)
    torch.testing.assert_close(seen_gradient, gradient)
    tables = watched.tables()
    assert set(tables) == {"last", "first"}
    for found in tables.values():
        check_consistency(found)
        assert ("level" in found.tables) == (kind == "standin:dense")
        assert found.tables["kind"][0]["box_gradient"] is None


def test_what_cannot_be_watched_is_said(make_model):
    with pytest.raises(ConfigError, match=r"hardmine\.wrap"), watch(make_model("retinanet")):
        pass
    detector = wrap(make_model("retinanet"), RECIPES["random"]())
    with watch(detector) as watched, pytest.raises(RunError, match="no training step"):
        watched.summary()
    detector.head._compiled_call_impl = detector.head.forward
    with pytest.raises(ConfigError, match=r"hardmine\.compile"), watch(detector):
        pass


PIXEL_TABLES = {"kind", "class", "contour_distance", "score", "loss_decile", "image"}
PIXEL_RECIPES = ("random", "ce", "focal", "class_balanced", "ghm", "pixel_ohem")


def segmenting(recipe: str, *, is_watched: bool):
    """Three steps of training; the losses, the weights after them, random numbers and what a watch saw."""
    torch.manual_seed(0)
    model = segmentation.FCN(TwoMaps(), FCNHead(8, 4), FCNHead(8, 4)).train()
    segmenter = wrap(model, RECIPES[recipe]())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    with ExitStack() as stack:
        watched = stack.enter_context(watch(segmenter, classes=("road", "sky"))) if is_watched else None
        for _ in range(3):
            images, masks = torch.rand(2, 3, 24, 32), torch.randint(0, 4, (2, 6, 8))
            masks = masks.repeat_interleave(4, 1).repeat_interleave(4, 2)
            masks[0, :5] = IGNORED
            found = segmenter(images, masks)
            optimizer.zero_grad()
            sum(found.values()).backward()
            optimizer.step()
            losses.append({name: loss.detach() for name, loss in found.items()})
    return losses, model.state_dict(), torch.get_rng_state(), watched


@pytest.mark.parametrize("recipe", PIXEL_RECIPES)
def test_a_segmenter_that_is_watched_learns_the_same(recipe):
    losses, weights, state, _ = segmenting(recipe, is_watched=False)
    seen_losses, seen_weights, seen_state, watched = segmenting(recipe, is_watched=True)
    for before, after in zip(losses, seen_losses, strict=True):
        assert all(torch.equal(loss, after[name]) for name, loss in before.items())
    assert all(torch.equal(of, seen_weights[name]) for name, of in weights.items())
    assert torch.equal(state, seen_state)
    found = watched.tables()
    assert list(found) == ["pixels", "auxiliary"]
    for of in found.values():
        assert set(of.tables) == PIXEL_TABLES
        check_consistency(of)
        assert of.totals["samples"] == 3 * (2 * 24 * 32 - 5 * 32)
        assert of.totals["images"] == 6
    mean = sum(float(of["classification"]) for of in seen_losses) / 3
    assert found["pixels"].totals["classification_loss"] == pytest.approx(mean, rel=1e-4)
    assert [row["bin"] for row in found["pixels"].tables["class"]] == ["road", "sky", "2", "3"]


def test_the_gradient_of_pixels_is_that_of_their_scores():
    """Of plain cross entropy over n pixels: Σ_c |p_c - t_c| = 2 (1 - p) of the true class, over n."""
    torch.manual_seed(0)
    segmenter = wrap(segmentation.FCN(TwoMaps(), FCNHead(8, 4)).train(), RECIPES["random"]())
    given = []
    segmenter.head.register_forward_hook(lambda _, args, loss: given.append(args))
    masks = torch.randint(0, 4, (2, 24, 32))
    masks[0, :5] = IGNORED
    with watch(segmenter) as watched:
        segmenter(torch.rand(2, 3, 24, 32), masks)["classification"].backward()
    ((logits, labels),) = given
    own = logits.detach().softmax(1).gather(1, labels.clamp_min(0)[:, None])[:, 0]
    is_labelled = masks != IGNORED
    pull = torch.where(is_labelled, 2 * (1 - own), 0).double() / is_labelled.sum()
    found = watched.tables()["pixels"]
    assert found.totals["gradient"] == pytest.approx(float(pull.sum()), rel=1e-5)
    for label, row in enumerate(found.tables["class"]):
        assert row["gradient"] == pytest.approx(float(pull[masks == label].sum() / pull.sum()), rel=1e-5)
    assert watched.summary().final_head == "pixels"


class TwoMaps(nn.Module):
    """Two maps of features, for a head and an auxiliary one."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, images):
        low = self.low(images).relu()
        return {"aux": low, "out": self.high(low).relu()}
