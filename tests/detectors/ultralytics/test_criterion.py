"""The seam in ultralytics' losses: what it leaves, what it weighs, what it refuses."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from hardmine.assign import ATSS
from hardmine.core.boxes import complete_iou
from hardmine.core.samples import GroundTruth
from hardmine.equation.recipe import HeadTraits, Recipe, Slot
from hardmine.errors import ConfigError, EvidenceError, FrameworkError
from hardmine.recipes import RECIPES
from hardmine.sampling import Sampling

pytest.importorskip("ultralytics", reason="ultralytics is not installed")

from hardmine.detectors.ultralytics.criterion import (
    check_model,
    losses_of,
    make_heads,
    new_criterion,
    put,
    take_away,
)

MODELS = ["yolo11n", "yolo26n"]


class Chosen(Sampling):
    """So much for positives, so much for negatives."""

    def __init__(self, positives: float = 1.0, negatives: float = 1.0):
        super().__init__()
        self.positives, self.negatives = positives, negatives

    def weigh(self, samples):
        assignment = samples.assignment
        return assignment.is_positive * self.positives + assignment.is_negative * self.negatives


def chosen(positives: float = 1.0, negatives: float = 1.0) -> Recipe:
    return Recipe("chosen", lambda _: {"select": Slot(Chosen(positives, negatives))})


def weighted(model, recipe):
    criterion = new_criterion(model)
    return criterion, put(criterion, make_heads(criterion, recipe))


def same(ours: dict[str, Tensor | None], theirs: dict[str, Tensor | None]) -> bool:
    return all(
        value is theirs[name] is None or torch.equal(value, theirs[name])  # pyright: ignore
        for name, value in ours.items()
    )


BATCHES = {
    "objects everywhere": {"num_objects": (3, 2)},
    "an empty image": {"num_objects": (4, 0)},
    "nothing": {"num_objects": (0, 0)},
    "2 pixels": {"num_objects": (2, 1), "px": 2},
}


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("batch", list(BATCHES))
@pytest.mark.parametrize("name", MODELS)
def test_weights_of_one_change_no_bit(name, batch, half, make_yolo, make_yolo_batch, run_criterion):
    """Of losses, what is logged, and all gradients; with class weights, which ultralytics multiplies in place."""
    model, batch = make_yolo(name), make_yolo_batch(**BATCHES[batch])
    for class_weights in (None, torch.tensor([0.5, 1.0, 1.5])):
        model.class_weights = class_weights
        losses, items, gradients = run_criterion(model, new_criterion(model), batch, half)
        criterion, _ = weighted(model, chosen())
        for _ in range(2):  # the first call compares sums, the second does not
            ours, our_items, our_gradients = run_criterion(model, criterion, batch, half)
            assert torch.equal(ours, losses)
            assert our_items.keys() == items.keys()
            assert same(our_items, items)
            assert same(our_gradients, gradients)


@pytest.mark.parametrize("name", MODELS)
def test_a_recipe_that_sets_nothing_is_the_framework_itself(name, make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo(name), make_yolo_batch()
    theirs = run_criterion(model, new_criterion(model), batch)
    ours = run_criterion(model, weighted(model, RECIPES["random"]())[0], batch)
    assert torch.equal(ours[0], theirs[0])
    assert same(ours[2], theirs[2])


@pytest.mark.parametrize("name", MODELS)
def test_negatives_of_weight_zero_leave_the_positives(name, make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo(name), make_yolo_batch()
    stock, *_ = run_criterion(model, new_criterion(model), batch)
    positives, *_ = run_criterion(model, weighted(model, chosen(1, 0))[0], batch)
    negatives, *_ = run_criterion(model, weighted(model, chosen(0, 1))[0], batch)
    assert torch.equal(positives[[0, 2]], stock[[0, 2]])
    assert not negatives[[0, 2]].any()
    assert 0 < positives[1] < stock[1]
    assert positives[1] + negatives[1] == pytest.approx(stock[1].item(), rel=1e-5)


def test_a_batch_of_background_of_which_nothing_counts_is_zero_and_connected(make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo(), make_yolo_batch((0, 0))
    _, _, expected = run_criterion(model, new_criterion(model), batch)
    losses, _, gradients = run_criterion(model, weighted(model, chosen(1, 0))[0], batch)
    assert not losses.any()
    assert {name for name, value in gradients.items() if value is not None} == {
        name for name, value in expected.items() if value is not None
    }


def test_twice_the_weight_is_twice_the_loss(make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo(), make_yolo_batch()
    once, *_ = run_criterion(model, weighted(model, chosen())[0], batch)
    twice, *_ = run_criterion(model, weighted(model, chosen(2, 2))[0], batch)
    torch.testing.assert_close(twice, once * 2)


@pytest.mark.parametrize("name", MODELS)
def test_without_gradient_the_numbers_are_stock_and_nothing_is_remembered(name, make_yolo, make_yolo_batch):
    model, batch = make_yolo(name), make_yolo_batch()
    criterion, _ = weighted(model, RECIPES["ghm"]())
    heads = [loss.get_assigned_targets_and_loss.head for loss in losses_of(criterion).values()]
    with torch.no_grad():
        preds = model(batch["img"])
        before = [{name: value.clone() for name, value in head.state_dict().items()} for head in heads]
        losses, _ = criterion(preds, batch)
        stock, _ = new_criterion(model)(preds, batch)
    assert torch.equal(losses, stock)
    assert all(same(head.state_dict(), state) for head, state in zip(heads, before, strict=True))
    criterion(model(batch["img"]), batch)
    assert not any(same(head.state_dict(), state) for head, state in zip(heads, before, strict=True))


def doubled_class_loss(original):
    def changed(self, *args):
        targets, losses, items = original(self, *args)
        return targets, losses * torch.tensor([1.0, 2.0, 1.0]), items

    return changed


def test_a_changed_sum_of_class_losses_is_refused(make_yolo, make_yolo_batch, monkeypatch):
    from ultralytics.utils.loss import v8DetectionLoss

    original = v8DetectionLoss.get_assigned_targets_and_loss
    monkeypatch.setattr(v8DetectionLoss, "get_assigned_targets_and_loss", doubled_class_loss(original))
    model, batch = make_yolo(), make_yolo_batch()
    for recipe in ("random", "hnm"):
        with pytest.raises(FrameworkError, match="classification loss in another way"):
            weighted(model, RECIPES[recipe]())[0](model(batch["img"]), batch)


@pytest.mark.parametrize("name", MODELS)
def test_a_box_loss_that_is_not_linear_in_its_weights_is_refused(name, make_yolo, make_yolo_batch, monkeypatch):
    """Also where it is tiny, as with the targets of small objects."""
    from ultralytics.utils.loss import BboxLoss

    original = BboxLoss.forward
    monkeypatch.setattr(BboxLoss, "forward", lambda self, *args: original(self, *args[:4], args[4] ** 2, *args[5:]))
    model, batch = make_yolo(name), make_yolo_batch(px=12)
    with pytest.raises(FrameworkError, match="box loss in another way"):
        weighted(model, RECIPES["hnm"]())[0](model(batch["img"]), batch)


def test_sums_are_compared_until_there_were_boxes(make_yolo, make_yolo_batch, monkeypatch):
    from ultralytics.utils.loss import BboxLoss

    model, original = make_yolo(), BboxLoss.forward
    criterion, _ = weighted(model, RECIPES["hnm"]())
    criterion(model(make_yolo_batch((0, 0))["img"]), make_yolo_batch((0, 0)))
    monkeypatch.setattr(BboxLoss, "forward", lambda self, *args: original(self, *args[:4], args[4] ** 2, *args[5:]))
    with pytest.raises(FrameworkError):
        criterion(model(make_yolo_batch()["img"]), make_yolo_batch())


@pytest.mark.parametrize("name", MODELS)
def test_the_box_loss_of_a_sample_is_that_of_its_boxes(name, make_yolo, make_yolo_batch):
    """CIoU with its gain, and the other box loss beside it; 0 where there is no object."""
    model, batch = make_yolo(name), make_yolo_batch()
    criterion, stand_ins = weighted(model, RECIPES["s_ohem"]())
    seen = {}
    for head, stand_in in stand_ins.items():
        stand_in.head.register_forward_pre_hook(lambda _, args, head=head: seen.__setitem__(head, args))
    criterion(model(batch["img"]), batch)
    for output, ground_truth in seen.values():
        positive = output.matched_gt >= 0
        goal = ground_truth.boxes.gather(1, output.matched_gt.clamp_min(0)[..., None].expand(-1, -1, 4))
        overlap = 7.5 * (1 - complete_iou(output.boxes[positive], goal[positive]))
        assert positive.any()
        assert not output.regression[~positive].any()
        assert not output.regression.requires_grad
        assert (output.regression[positive] >= overlap - 1e-3).all()
        assert (output.regression[positive] - overlap < 1.5 * 10).all()


def ground_truth_of(batch: dict[str, Tensor], **more) -> GroundTruth:
    size, images = batch["img"].shape[-1], len(batch["img"])
    middle, sides = batch["bboxes"][:, :2] * size, batch["bboxes"][:, 2:] * size
    boxes = torch.cat([middle - sides / 2, middle + sides / 2], dim=1)
    of = [batch["batch_idx"] == b for b in range(images)]
    labels = batch["cls"].squeeze(1).long()
    return GroundTruth.from_lists([boxes[b] for b in of], [labels[b] for b in of], **more)


def losses_given(model, recipe, batch, ground_truth) -> Tensor:
    criterion, stand_ins = weighted(model, recipe)
    for stand_in in stand_ins.values():
        stand_in.expect(ground_truth)
    return criterion(model(batch["img"]), batch)[0].detach()


@pytest.mark.parametrize("name", MODELS)
def test_an_object_of_weight_zero_is_as_if_its_samples_were_not_there(name, make_yolo, make_yolo_batch):
    model, batch = make_yolo(name).eval(), make_yolo_batch((1, 1))
    model.model[-1].train()  # batch statistics stay, outputs are those of training
    plain = losses_given(model, RECIPES["random"](), batch, ground_truth_of(batch))
    none = ground_truth_of(batch, weights=[torch.zeros(1), torch.zeros(1)])
    negatives = losses_given(model, chosen(0, 1), batch, ground_truth_of(batch))
    assert torch.equal(losses_given(model, RECIPES["random"](), batch, none), negatives)
    twice = ground_truth_of(batch, weights=[torch.full((1,), 2.0), torch.full((1,), 2.0)])
    doubled = losses_given(model, RECIPES["random"](), batch, twice)
    torch.testing.assert_close(doubled[[0, 2]], plain[[0, 2]] * 2)
    torch.testing.assert_close(doubled[1], 2 * plain[1] - negatives[1])


@pytest.mark.parametrize("recipe", ["random", "hnm", "focal", "atss"])
def test_background_in_an_ignore_region_counts_for_nothing(recipe, make_yolo, make_yolo_batch):
    model, batch = make_yolo(), make_yolo_batch((0, 0))
    everywhere = torch.tensor([[-1e3, -1e3, 1e3, 1e3]])
    ground_truth = ground_truth_of(batch, ignore_regions=[everywhere, everywhere])
    assert not losses_given(model, RECIPES[recipe](), batch, ground_truth).any()


def test_an_expectation_holds_for_one_batch(make_yolo, make_yolo_batch):
    model, batch = make_yolo(), make_yolo_batch((0, 0))
    criterion, stand_ins = weighted(model, RECIPES["random"]())
    everywhere = torch.tensor([[-1e3, -1e3, 1e3, 1e3]])
    stand_ins["detect"].expect(ground_truth_of(batch, ignore_regions=[everywhere, everywhere]))
    assert not criterion(model(batch["img"]), batch)[0].any()
    assert criterion(model(batch["img"]), batch)[0].any()


@pytest.mark.parametrize("name", MODELS)
def test_a_recipes_assigner_takes_the_place_of_the_frameworks(name, make_yolo, make_yolo_batch):
    model, batch = make_yolo(name), make_yolo_batch((3, 0))
    _, stand_ins = weighted(model, RECIPES["atss"]())
    preds = model(batch["img"])
    for head, stand_in in stand_ins.items():
        (is_positive, index, boxes, points, strides), losses, _ = stand_in(preds.get(head, preds), batch)
        squares = torch.cat([points - 0.5, points + 0.5], dim=-1) * strides
        levels = stand_in._levels(preds.get(head, preds))
        assert levels.num_samples == (256, 64, 16)
        assert (levels.strides, levels.per_location) == ((8, 16, 32), (1, 1, 1))
        ground_truth = ground_truth_of(batch)
        expected = ATSS(9, box_strides=8)(squares.expand(2, -1, -1), ground_truth, levels=levels)
        assert expected.is_positive.any()
        assert torch.equal(is_positive, expected.is_positive)
        assert torch.equal(index[is_positive], expected.matched_gt[is_positive])
        torch.testing.assert_close(boxes[is_positive], ground_truth.boxes_of(expected)[is_positive])
        assert losses.isfinite().all()


def gradients_of_two_steps(model, criterion, batch) -> dict[str, Tensor]:
    for _ in range(2):
        model.zero_grad()
        losses, items = criterion(model(batch["img"]), batch)
        assert losses.isfinite().all()
        assert all(value.isfinite() for value in (items.values() if isinstance(items, dict) else items))
        losses.sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    assert parameter.grad.isfinite().all()
                    parameter.sub_(1e-3 * parameter.grad)
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


REFUSED = {"ohem", "seesaw", "libra", "gfl"}
"""Points have no boxes to suppress before regression; a loss of softmax scores; a box loss of its own."""


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "pixel_ohem"])
def test_every_recipe_trains(recipe, make_yolo, make_yolo_batch):
    model, batch = make_yolo(size=64), make_yolo_batch((3, 0), size=64)
    if recipe in REFUSED:
        with pytest.raises(
            EvidenceError, match=rf"recipe '{recipe}' in slot '\w+' of ultralytics's soft head.*(needs|replace)"
        ):
            weighted(model, RECIPES[recipe]())
        return
    stock = gradients_of_two_steps(copy.deepcopy(model), new_criterion(model), batch)
    assert gradients_of_two_steps(model, weighted(model, RECIPES[recipe]())[0], batch).keys() == stock.keys()


def test_a_recipe_may_know_the_head(make_yolo):
    known: list[HeadTraits] = []
    weighted(make_yolo("yolo26n"), Recipe("curious", lambda head: known.append(head) or {}))
    assert [(head.name, head.num_classes, head.is_framework) for head in known] == [("soft", 3, True)] * 2


def test_what_was_put_can_be_taken_away(make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo("yolo26n"), make_yolo_batch()
    criterion, _ = weighted(model, RECIPES["hnm"]())
    hard, *_ = run_criterion(model, criterion, batch)
    take_away(criterion)
    take_away(criterion)
    stock, *_ = run_criterion(model, new_criterion(model), batch)
    plain, *_ = run_criterion(model, criterion, batch)
    assert torch.equal(plain, stock)
    assert not torch.equal(hard, stock)


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_is_the_frameworks_own(name, make_yolo, make_yolo_batch, run_criterion):
    model, batch = make_yolo(name), make_yolo_batch()
    criterion, _ = weighted(model, RECIPES["hnm"]())
    stock, *_ = run_criterion(model, new_criterion(model), batch)
    for twin in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert torch.equal(run_criterion(model, twin, batch)[0], stock)
    assert not torch.equal(run_criterion(model, criterion, batch)[0], stock)


OPENS_WITHOUT = """
import sys
sys.modules["hardmine"] = None
import torch
model = torch.load(sys.argv[1], weights_only=False)
print(type(model.criterion).__name__)
"""


def test_a_saved_model_opens_where_hardmine_is_not_installed(make_yolo, tmp_path):
    model = make_yolo("yolo26n")
    model.criterion, _ = weighted(model, RECIPES["ghm"]())
    torch.save(model, tmp_path / "model.pt")
    command = [sys.executable, "-c", OPENS_WITHOUT, str(tmp_path / "model.pt")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "E2ELoss"


@pytest.mark.parametrize("kind", ["Segmentation", "Pose", "OBB", "RTDETRDetection"])
def test_models_with_other_losses_are_refused(kind):
    from ultralytics.nn import tasks

    names = {"Segmentation": "yolo11n-seg", "Pose": "yolo11n-pose", "OBB": "yolo11n-obb"}
    model = getattr(tasks, f"{kind}Model")(f"{names.get(kind, 'rtdetr-l')}.yaml", verbose=False)
    with pytest.raises(ConfigError, match=f"got ultralytics' {kind}Model; expected a DetectionModel"):
        check_model(model)


def test_a_detection_model_with_another_head_is_refused():
    from ultralytics.nn.tasks import DetectionModel

    with pytest.raises(ConfigError, match="DetectionModel with a Segment; expected"):
        check_model(DetectionModel("yolo11n-seg.yaml", verbose=False))


def test_a_criterion_of_a_users_own_is_refused(make_yolo):
    from ultralytics.utils.loss import v8DetectionLoss

    class Mine(v8DetectionLoss):
        pass

    with pytest.raises(ConfigError, match="got the criterion Mine with Mine; expected ultralytics' v8DetectionLoss"):
        losses_of(Mine(make_yolo()))


def test_hyperparameters_that_are_missing_or_a_dict_are_the_frameworks(make_yolo):
    model = make_yolo()
    del model.args
    assert new_criterion(model).hyp.box == 7.5
    model.args = {"box": 3.0}
    hyperparameters = new_criterion(model).hyp
    assert (hyperparameters.box, hyperparameters.cls) == (3.0, 0.5)
    assert model.args == {"box": 3.0}
