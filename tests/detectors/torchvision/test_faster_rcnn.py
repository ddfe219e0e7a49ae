"""Faster R-CNN: predictors of one's own, masks and keypoints, what is kept."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hardmine import HardNegative, Recipe, Seesaw, Slot, recipes, wrap
from hardmine.errors import ConfigError, ShapeError


class OwnPredictor(nn.Module):
    """A user's: other names, one box for all classes where ``agnostic``."""

    def __init__(self, num_features: int, num_classes: int, agnostic: bool):
        super().__init__()
        self.num_classes = num_classes
        self.scores = nn.Linear(num_features, num_classes)
        self.boxes = nn.Linear(num_features, 4 if agnostic else 4 * num_classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(features), self.boxes(features)


@pytest.fixture
def with_own_predictor(make_model) -> Callable[[bool], nn.Module]:
    def make(agnostic: bool) -> nn.Module:
        model = make_model("fasterrcnn")
        features = model.roi_heads.box_predictor.cls_score.in_features
        model.roi_heads.box_predictor = OwnPredictor(features, 4, agnostic)
        return model

    return make


def test_a_predictor_of_ones_own_says_how_many_classes_there_are(
    with_own_predictor, make_model, make_batch, loss_and_gradients
):
    model, batch = with_own_predictor(False), make_batch(1)
    torch.manual_seed(1)
    losses, gradients = loss_and_gradients(wrap(model, recipes.random()).train(), model, *batch)
    predictor = model.roi_heads.box_predictor
    assert gradients["roi_heads.box_predictor.boxes.weight"].abs().sum() > 0
    predictor.cls_score = predictor.scores  # now as torchvision names it: all the same
    torch.manual_seed(1)
    torch.testing.assert_close(loss_and_gradients(wrap(model, recipes.random()).train(), model, *batch)[0], losses)


def test_a_predictor_that_does_not_say_how_many_classes_there_are_is_named(with_own_predictor):
    model = with_own_predictor(False)
    del model.roi_heads.box_predictor.num_classes
    expected = r"background included, is read from model\..*cls_score.out_features or model\..*predictor.num_classes"
    with pytest.raises(ConfigError, match=expected):
        wrap(model, recipes.random())


@pytest.mark.parametrize("recipe", [recipes.random(), recipes.ohem(8)], ids=lambda recipe: recipe.name)
def test_one_box_for_all_classes_has_the_loss_of_equal_boxes_for_each(
    recipe, with_own_predictor, make_batch, loss_and_gradients
):
    model, batch = with_own_predictor(True), make_batch(1)
    losses = []
    for _ in range(2):
        torch.manual_seed(1)
        losses.append(loss_and_gradients(wrap(model, recipe).train(), model, *batch)[0])
        for parameter in model.roi_heads.box_predictor.boxes.parameters():
            parameter.data = torch.cat([parameter.data] * 4)
    assert losses[0]["loss_box_reg"] > 0
    torch.testing.assert_close(losses[0], losses[1])


def test_one_box_for_all_classes_detects_where_it_is_repeated(with_own_predictor, make_batch):
    """torchvision reads a box of each class, also where a predictor has one; so that has to give it in eval mode."""
    model, (images, targets) = with_own_predictor(True), make_batch(1)
    model.roi_heads.score_thresh = 0.0
    detector = wrap(model, recipes.random())
    with torch.no_grad(), pytest.raises(IndexError):
        detector.eval()(images)
    repeat = lambda predictor, _, out: None if predictor.training else (out[0], out[1].repeat(1, 4))  # noqa: E731
    model.roi_heads.box_predictor.register_forward_hook(repeat)
    with torch.no_grad():
        found = detector.eval()(images)
    assert all(len(image["boxes"]) > 0 for image in found)
    assert detector.train()(images, targets)["loss_box_reg"] > 0


@pytest.mark.parametrize(("num_classes", "outputs"), [(5, 20), (4, 12)], ids=["classes", "boxes"])
def test_predictions_of_another_shape_are_named(num_classes, outputs, with_own_predictor, make_batch):
    model = with_own_predictor(False)
    predictor = model.roi_heads.box_predictor
    predictor.num_classes, predictor.boxes = num_classes, nn.Linear(predictor.boxes.in_features, outputs)
    with pytest.raises(ShapeError, match=r"OwnPredictor gave scores .* and box codes .*; expected"):
        wrap(model, recipes.random()).train()(*make_batch(1))


@pytest.mark.parametrize("recipe", [recipes.ohem(2), recipes.hnm(), recipes.seesaw()], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("name", "loss"), [("maskrcnn", "loss_mask"), ("keypointrcnn", "loss_keypoint")])
def test_masks_and_keypoints_learn_as_ever_under_any_recipe(
    name, loss, recipe, make_model, make_full_batch, loss_and_gradients
):
    """With a sampler that takes all, their loss is the model's own to the last digit that counts."""
    model, batch = make_model(name), make_full_batch()
    sampler = model.roi_heads.fg_bg_sampler
    sampler.batch_size_per_image, sampler.positive_fraction = 10**6, 1.0
    ours, gradients = loss_and_gradients(wrap(model, recipe).train(), model, *batch)
    theirs, their_gradients = loss_and_gradients(model, model, *batch)
    assert ours[loss] > 0
    torch.testing.assert_close(ours[loss], theirs[loss], rtol=1e-6, atol=1e-6)
    branch = [key for key in gradients if "mask_" in key or "keypoint_" in key]
    assert branch
    for key in branch:
        torch.testing.assert_close(gradients[key], their_gradients[key], rtol=1e-4, atol=1e-6)


def test_batch_statistics_of_other_branches_are_no_matter_of_two_passes(make_model, make_full_batch):
    model = make_model("maskrcnn")
    model.roi_heads.mask_head.append(nn.BatchNorm2d(256))
    wrap(model, recipes.ohem(8)).train()(*make_full_batch())


@pytest.fixture
def watch_selection() -> Callable[[nn.Module], list]:
    def watch(select: nn.Module) -> list:
        seen: list = []
        select.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
        return seen

    return watch


def test_ohem_trains_on_the_samples_of_largest_loss(make_model, make_batch, watch_selection):
    model = make_model("fasterrcnn")
    detector = wrap(model, recipes.ohem(8, nms_iou=None)).train()
    seen = watch_selection(detector.roi_head.select)
    detector(*make_batch(1))
    ((samples, kept),) = seen
    loss = samples["classification_loss"] + samples["regression_loss"]
    for b in range(3):
        valid = samples.assignment.is_valid[b]
        assert kept[b].sum() == 8
        assert loss[b][kept[b] > 0].min() >= loss[b][valid & (kept[b] == 0)].max()


def test_carl_without_preference_is_the_box_loss_twice(make_model, make_batch):
    """With bias 1 every positive weighs 1 + 1, over as many samples as the framework divides by."""
    model, batch = make_model("fasterrcnn"), make_batch(1)
    losses = []
    for recipe in (recipes.random(), recipes.carl(bias=1.0)):
        torch.manual_seed(0)
        losses.append(wrap(model, recipe).train()(*batch))
    torch.testing.assert_close(losses[1]["loss_box_reg"], 2 * losses[0]["loss_box_reg"])
    torch.testing.assert_close(losses[1]["loss_classifier"], losses[0]["loss_classifier"])


def test_random_bounds_the_negatives_without_a_number(make_model):
    select = wrap(make_model("fasterrcnn"), recipes.random(negatives_per_positive=3)).roi_head.select
    assert (select.budget, select.positive_fraction, select.negatives_per_positive) == (64, 0.25, 3)


def test_random_takes_its_share_of_positives_without_a_number(make_model):
    """Either option alone is heard."""
    model = make_model("fasterrcnn")
    select = wrap(model, recipes.random(positive_fraction=0.5)).roi_head.select
    assert (select.budget, select.positive_fraction) == (model.roi_heads.fg_bg_sampler.batch_size_per_image, 0.5)
    with pytest.raises(ConfigError, match=r"positive_fraction in \[0, 1\].*got 64, -1"):
        wrap(model, recipes.random(positive_fraction=-1))


def test_a_loss_with_memory_counts_only_what_is_kept(make_model, make_batch):
    """3:1 negatives fill few of their places; what else lies there must not count as seen."""
    model = make_model("fasterrcnn")
    slots = {"select": Slot(HardNegative(budget=32)), "classify": Slot(loss=Seesaw(3))}
    detector = wrap(model, Recipe("mine", lambda head: slots if head.name == "roi" else {})).train()
    kept = []
    detector.roi_head.select.register_forward_hook(lambda _, args, out: kept.append((out > 0).sum()))
    detector(*make_batch(1))
    assert detector.roi_head.classify.loss.counts.sum() == kept[0] < 3 * 32
