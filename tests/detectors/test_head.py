"""What a recipe may put into a slot, and that a few lines of a user's own make one."""

import pytest
import torch
from torch import Tensor

from hardmine import (
    All,
    Chain,
    CrossEntropy,
    Focal,
    HardNegative,
    RandomBalanced,
    Recipe,
    Samples,
    Sampling,
    Slot,
    SmoothL1,
    recipes,
    wrap,
)
from hardmine.errors import ConfigError, EvidenceError
from hardmine.normalize import PerSampled, PerValid, PerWeight


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
