"""What a recipe may put into a slot, and that a few lines of a user's own make one."""

import pytest
import torch
from torch import Tensor, nn

from hardmine import (
    ATSS,
    DFL,
    GHMR,
    All,
    APLoss,
    Chain,
    CrossEntropy,
    Focal,
    GIoU,
    HardNegative,
    RandomBalanced,
    Recipe,
    Samples,
    Sampling,
    SimOTA,
    Slot,
    SmoothL1,
    from_function,
    recipes,
    wrap,
)
from hardmine.equation.head import Head
from hardmine.equation.normalize import PerSampled, PerValid, PerWeight
from hardmine.errors import ConfigError, EvidenceError, ShapeError
from hardmine.losses import EqualTasks


@pytest.fixture(params=["retinanet", "fasterrcnn", "ssd", "fcos"])
def model(request, make_model):
    return make_model(request.param)


def test_an_unknown_slot_is_named(model):
    with pytest.raises(ConfigError, match="recipe 'mine' fills sampel; a head has select, classify, regress"):
        wrap(model, Recipe("mine", lambda head: {"sampel": Slot(All())}))


@pytest.mark.parametrize(
    ("slot", "loss", "kind"),
    [("classify", SmoothL1(), "ClassificationLoss"), ("regress", CrossEntropy("sigmoid"), "RegressionLoss")],
)
def test_a_loss_of_the_wrong_kind_is_named(slot, loss, kind, model):
    with pytest.raises(ConfigError, match=f"recipe 'mine' in slot '{slot}' of .*expected a {kind}"):
        wrap(model, Recipe("mine", lambda head: {slot: Slot(loss=loss)}))


def test_a_loss_for_other_scores_is_named(model):
    def slots(head):
        other = {"sigmoid": "softmax", "softmax": "sigmoid"}[head.activation]
        return {"classify": Slot(loss=CrossEntropy(other))}

    with pytest.raises(EvidenceError, match=r"CrossEntropy needs (sigmoid|softmax) scores, but this head's are"):
        wrap(model, Recipe("mine", slots))


class Doubt(Sampling):
    """Soft: a user's own weight in six lines, the less sure the more."""

    needs = frozenset({"logits"})

    def weigh(self, samples: Samples) -> Tensor:
        p = samples["logits"].sigmoid()
        return (4 * p * (1 - p)).amax(dim=-1)


def test_a_recipe_of_ones_own_takes_a_few_lines(model, make_batch, loss_and_gradients):
    def slots(head):
        return {} if head.name == "rpn" else {"classify": Slot(Doubt(), normalize=PerWeight())}

    detector = wrap(model, Recipe("mine", slots)).train()
    losses, gradients = loss_and_gradients(detector, model, *make_batch(detector.label_offset))
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_weights_of_select_and_of_a_slot_multiply(make_model, make_batch, loss_and_gradients):
    """A chain in the select slot counts what one method after the other counts."""
    batch = make_batch(1)
    model = make_model("ssd")
    chained = Recipe("a", lambda head: {"select": Slot(Chain(HardNegative(), Half()))})
    half = {"classify": Slot(Half()), "regress": Slot(Half())}
    apart = Recipe("b", lambda head: {"select": Slot(HardNegative()), **half})
    ours, _ = loss_and_gradients(wrap(model, chained).train(), model, *batch)
    plain, _ = loss_and_gradients(wrap(model, recipes.hnm()).train(), model, *batch)
    for losses in (ours, loss_and_gradients(wrap(model, apart).train(), model, *batch)[0]):
        torch.testing.assert_close(losses, {name: loss / 2 for name, loss in plain.items()})


class Half(Sampling):
    def weigh(self, samples: Samples) -> Tensor:
        return torch.full_like(samples.assignment.iou, 0.5)


def test_what_select_leaves_out_counts_in_no_loss(make_model, make_batch):
    """Also not in the normaliser: the mean over the samples kept is the mean over just those."""
    model = make_model("retinanet")
    recipe = Recipe(
        "mine",
        lambda head: {
            "select": Slot(HardNegative(budget=9)),
            "classify": Slot(All(), Focal(), PerSampled()),
        },
    )
    detector = wrap(model, recipe).train()
    seen = {}
    detector.head.select.register_forward_hook(lambda _, args, out: seen.update(kept=out))
    detector.head.classify.loss.register_forward_hook(lambda _, args, out: seen.update(loss=out))
    losses = detector(*make_batch(0))
    kept = seen["kept"] > 0
    assert (kept.sum(dim=1) <= 9).all()
    torch.testing.assert_close(losses["classification"], seen["loss"][kept].sum() / kept.sum())


def test_a_slots_own_sampling_and_normaliser_see_only_what_select_kept(make_model, make_batch):
    model = make_model("retinanet")
    slots = {"select": Slot(RandomBalanced(9)), "classify": Slot(HardNegative(), Focal(), PerValid())}
    detector = wrap(model, Recipe("mine", lambda head: slots)).train()
    seen = {}
    detector.head.select.register_forward_hook(lambda _, args, out: seen.update(kept=out > 0))
    detector.head.classify.sampling.register_forward_hook(lambda _, args, out: seen.update(shown=args[0].assignment))
    detector.head.classify.normalize.register_forward_hook(lambda _, args, out: seen.update(z=out.item()))
    detector(*make_batch(0))
    assert torch.equal(seen["shown"].is_valid, seen["kept"])
    assert seen["z"] == seen["kept"].sum()


def test_each_step_draws_its_own_noise(make_model, make_batch):
    model = make_model("retinanet")
    detector = wrap(model, Recipe("mine", lambda head: {"select": Slot(RandomBalanced(8))})).train()
    kept = []
    detector.head.select.register_forward_hook(lambda _, args, out: kept.append(out))
    batch = make_batch(0)
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        detector(*batch)
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def test_a_recipe_chooses_the_assigner(make_model, make_batch):
    model = make_model("retinanet")
    recipe = Recipe("mine", assign=lambda head: ATSS(k=5))
    detector = wrap(model, recipe).train()
    seen = {}
    detector.head.assigner.register_forward_hook(lambda _, args, kwargs, out: seen.update(kwargs), with_kwargs=True)
    detector(*make_batch(0))
    assert isinstance(detector.head.assigner, ATSS)
    levels = seen["levels"]
    assert levels.strides == (4.0, 8.0, 16.0, 32.0)
    assert set(levels.per_location) == {9}
    assert levels.num_samples[0] == 9 * (128 // 4) * (96 // 4)  # the batch is padded to multiples of 32 pixels


def test_an_assigner_that_needs_what_a_head_lacks_is_named(make_model):
    with pytest.raises(EvidenceError, match="recipe 'mine' in slot 'assign' of fasterrcnn's roi head: SimOTA needs"):
        wrap(make_model("fasterrcnn"), Recipe("mine", assign=lambda head: SimOTA() if head.name == "roi" else None))


@pytest.mark.parametrize("detector", ["retinanet", "fasterrcnn"])
def test_a_number_scales_a_sum(detector, make_model, make_batch, loss_and_gradients):
    model = make_model(detector)
    tripled = Recipe("mine", lambda head: {"classify": Slot(scale=3.0), "regress": Slot(scale=0.5)})
    head = wrap(model, tripled).train()
    batch = make_batch(head.label_offset)
    losses = []
    for each in (head, wrap(model, recipes.random()).train()):
        torch.manual_seed(0)
        losses.append(loss_and_gradients(each, model, *batch)[0])
    for name, loss in losses[0].items():
        factor = 0.5 if "reg" in name else 3.0
        torch.testing.assert_close(loss, losses[1][name] * factor)


def test_a_balance_sees_both_sums(make_model, make_batch):
    model = make_model("retinanet")
    detector = wrap(model, Recipe("mine", lambda head: {"regress": Slot(scale=EqualTasks())})).train()
    losses = detector(*make_batch(0))
    torch.testing.assert_close(losses["bbox_regression"], losses["classification"])


def test_a_listwise_loss_is_added(make_model, make_batch):
    model, batch = make_model("retinanet"), make_batch(0)
    alone, both = (
        wrap(model, recipe).train()(*batch) for recipe in (recipes.random(), recipes.correlation(weight=0.5))
    )
    added = both["classification"] - alone["classification"]
    assert 0 < added <= 1  # .5 · (1 - ρ)
    torch.testing.assert_close(both["bbox_regression"], alone["bbox_regression"])


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ({"classify": Slot(Half(), APLoss())}, "takes no weights; put the sampling into the slot 'select'"),
        ({"classify": Slot(also=Focal())}, "got also=Focal, expected a listwise loss, in 'classify'"),
        ({"regress": Slot(also=APLoss())}, "got also=APLoss, expected a listwise loss, in 'classify'"),
    ],
)
def test_listwise_losses_have_their_place(slots, message, make_model):
    with pytest.raises(ConfigError, match=message):
        wrap(make_model("retinanet"), Recipe("mine", lambda head: slots))


@pytest.mark.parametrize(
    ("slots", "missing"),
    [
        ({"select": Slot(HardNegative()), "classify": Slot(All(), APLoss())}, "'select'.*needs classification_loss"),
        ({"regress": Slot(GHMR(), GIoU())}, "'regress'.*GHMR needs code_error"),
        ({"regress": Slot(loss=DFL())}, "'regress'.*DFL needs a distribution"),
    ],
)
def test_evidence_that_the_slots_rule_out_is_named(slots, missing, make_model):
    with pytest.raises(EvidenceError, match=missing):
        wrap(make_model("retinanet"), Recipe("mine", lambda head: slots))


def test_the_quality_of_a_positive_is_the_iou_of_its_predicted_box(make_model, make_batch):
    detector = wrap(make_model("retinanet"), recipes.qfl()).train()
    seen = {}
    loss = detector.head.classify.loss
    loss.register_forward_hook(lambda _, args, kwargs, out: seen.update(labels=args[1], **kwargs), with_kwargs=True)
    detector.head.regress.loss.register_forward_hook(lambda _, args, out: seen.update(giou_loss=out))
    detector(*make_batch(0))
    positive = seen["labels"] >= 0
    assert positive.any()
    assert (seen["quality"][~positive] == 0).all()
    assert ((seen["quality"] >= 1 - seen["giou_loss"] - 1e-5) | ~positive).all()  # IoU is at least GIoU
    assert (seen["quality"][positive] > 0).any()


HARD = {
    "ohem": lambda: recipes.ohem(4),
    "ohem_mmdet": lambda: recipes.ohem_mmdet(4),
    "hnm": lambda: recipes.hnm(budget=4),
    "random": lambda: recipes.random(4),
    "libra": lambda: recipes.libra(4),
    "s_ohem": lambda: recipes.s_ohem(4),
    "rfcn_ohem": lambda: recipes.rfcn_ohem(4),
}


def watched(detector: nn.Module) -> list[tuple[Samples, Tensor]]:
    """What the last head's select slot is shown, and what it says, call by call."""
    *_, head = [module for module in detector.modules() if isinstance(module, Head)]
    seen: list[tuple[Samples, Tensor]] = []
    head.select.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    return seen


@pytest.mark.parametrize(
    ("recipe", "detector"),
    [*((recipe, "fasterrcnn") for recipe in HARD), *((recipe, "ssd") for recipe in ("ohem", "ohem_mmdet", "s_ohem"))],
)
def test_objects_of_weight_0_take_no_place_of_a_sampler(recipe, detector, make_model, make_batch):
    """Every place that there is goes to the background, which trains."""
    wrapped = wrap(make_model(detector), HARD[recipe]()).train()
    seen, (images, targets) = watched(wrapped), make_batch(wrapped.label_offset, (2,))
    targets[0]["weights"] = torch.zeros(2)
    losses = wrapped(images, targets)
    ((samples, kept),) = seen
    places = 3 if recipe == "hnm" else 4  # three negatives for each positive, of which there are none
    assert not samples.assignment.is_positive.any()
    assert ((kept > 0) & samples.assignment.is_negative).sum() == places
    boxes, scores = (
        ("loss_box_reg", "loss_classifier") if detector == "fasterrcnn" else ("bbox_regression", "classification")
    )
    assert losses[scores] > 0
    assert losses[boxes] == 0


@pytest.mark.parametrize("recipe", list(HARD))
def test_objects_that_count_are_sampled_beside_some_of_weight_0(recipe, make_model, make_batch):
    wrapped = wrap(make_model("fasterrcnn"), HARD[recipe]()).train()
    seen, (images, targets) = watched(wrapped), make_batch(1, (6,))
    targets[0]["weights"] = torch.tensor([0.0, 1, 0, 1, 0, 1])
    wrapped(images, targets)
    ((samples, kept),) = seen
    shown = samples.assignment.matched_gt[samples.assignment.is_positive]
    assert set(shown.tolist()) == {1, 3, 5}
    assert (kept > 0).sum() == 4


@pytest.mark.parametrize("name", ["classification_loss", "regression_loss"])
def test_samples_are_ranked_by_what_they_would_add_to_the_loss(name, make_model, make_batch):
    wrapped = wrap(make_model("fasterrcnn"), recipes.ohem(4)).train()
    seen, (images, targets) = watched(wrapped), make_batch(1, (2,))
    for weights in (torch.ones(2), torch.tensor([0.25, 2.0])):
        torch.manual_seed(1)
        wrapped(images, [target | {"weights": weights} for target in targets])
    (plain, _), (weighted, _) = seen
    matched = plain.assignment.matched_gt
    assert {0, 1} <= set(matched.flatten().tolist())
    factor = torch.where(matched == 0, 0.25, torch.where(matched == 1, 2.0, 1.0))
    torch.testing.assert_close(weighted[name], plain[name] * factor)


def test_objects_that_hardly_count_are_not_hard(make_model, make_batch):
    wrapped = wrap(make_model("fasterrcnn"), recipes.ohem(4, nms_iou=None)).train()
    seen, (images, targets) = watched(wrapped), make_batch(1, (2,))
    for weight in (1e-6, 1e6):
        targets[0]["weights"] = torch.full((2,), weight)
        wrapped(images, targets)
    shares = [((kept > 0) & samples.assignment.is_positive).sum() for samples, kept in seen]
    assert [(kept > 0).sum() for _, kept in seen] == [4, 4]
    assert shares == [0, min(4, seen[1][0].assignment.is_positive.sum())]


def test_seesaw_does_not_count_objects_of_weight_0(make_model, make_batch):
    wrapped = wrap(make_model("fasterrcnn"), recipes.seesaw()).train()
    images, targets = make_batch(1, (3,))
    targets[0] |= {"labels": torch.tensor([1, 2, 2]), "weights": torch.tensor([0.0, 0.1, 1.0])}
    wrapped(images, targets)
    first, second, third, background = wrapped.roi_head.classify.loss.counts.tolist()
    assert (first, third) == (0, 0)
    assert min(second, background) > 0


def test_a_listwise_loss_sees_losses_as_they_are(make_model, make_batch):
    """It takes no weights: only 0 makes a difference to it."""
    wrapped, batch = wrap(make_model("retinanet"), recipes.alrp()).train(), make_batch(0, (3,))
    losses = []
    for weights in (torch.ones(3), torch.tensor([0.5, 2.0, 7.0]), torch.tensor([0.0, 1.0, 1.0])):
        batch[1][0]["weights"] = weights
        losses.append(wrapped(*batch)["classification"].item())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("slot", ["select", "classify", "regress"])
def test_weights_that_do_not_fit_are_named_and_not_spread(slot, make_model, make_batch):
    """For a batch of one, (1, N, 1) times (1, N) would be a sum over all pairs."""

    def of_each_class(samples: Samples) -> Tensor:
        return samples.assignment.iou.unsqueeze(-1)

    model = make_model("ssd" if slot == "classify" else "retinanet")  # losses of one number a sample
    detector = wrap(model, Recipe("mine", lambda head: {slot: Slot(from_function(of_each_class))})).train()
    with pytest.raises(ShapeError, match=r"of_each_class gives weights \(1, \d+, 1\), but "):
        detector(*make_batch(detector.label_offset, (2,)))


@pytest.mark.parametrize(("detector", "scale"), [("retinanet", 1), ("ssd", 10), ("fasterrcnn", 10)])
def test_a_recipe_knows_the_scale_of_the_codes(detector, scale, make_model):
    """So μ of GHM-R, which is a length in codes, is the same length in pixels on every detector."""
    harmonised = [m for m in wrap(make_model(detector), recipes.ghm()).modules() if isinstance(m, GHMR)]
    assert [weights.mu for weights in harmonised] == [pytest.approx(0.02 * scale)]
