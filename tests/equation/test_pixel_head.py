"""A head of pixels: torch's own loss by default, recipes of classes beside it, those of boxes refused."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine import RECIPES, APLoss, CrossEntropy, Focal, PixelOHEM, Recipe, Slot, recipes
from hardmine.assign import MaxIoU
from hardmine.core.samples import IGNORE
from hardmine.detectors.traits import pixel_traits
from hardmine.equation.normalize import PerSampled, PerValid
from hardmine.equation.pixel_head import PixelHead
from hardmine.errors import ConfigError, EvidenceError, ShapeError
from hardmine.losses import SelfBalance
from hardmine.sampling import GHMC, All, HardNegative, Sampling

CLASSES, SIZE = 4, (6, 10)
TRAITS = pixel_traits("segmenter", CLASSES)
TAKEN = ("random", "ce", "focal", "class_balanced", "ghm", "pixel_ohem")


def head(recipe: Recipe) -> PixelHead:
    return PixelHead(TRAITS, recipe)


def of_slots(**slots: Slot) -> PixelHead:
    return head(Recipe("mine", lambda _: slots))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Logits (B, C, H, W), a gradient to be had, and labels with ignored pixels."""
    labels = torch.randint(0, CLASSES, (2, *SIZE))
    labels[0, :2] = IGNORE
    return (torch.randn(2, CLASSES, *SIZE, dtype=torch.float64) * 2).requires_grad_(), labels


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("name", ["random", "ce"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_framework_s_own_is_torch_s_cross_entropy(name, channels_last, batch):
    logits, labels = batch
    given = logits.contiguous(memory_format=torch.channels_last) if channels_last else logits
    ours, theirs = head(RECIPES[name]())(given, labels), F.cross_entropy(logits, labels, ignore_index=IGNORE)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours, logits), gradient(theirs, logits))


def test_pixel_ohem_is_the_mean_over_what_is_kept(batch):
    logits, labels = batch
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    kept = loss[loss > -torch.tensor(0.3).log()]
    assert 0 < len(kept) < loss.numel()
    ours = head(recipes.pixel_ohem(threshold=0.3, min_kept=0))(logits, labels)
    torch.testing.assert_close(ours, kept.mean())
    torch.testing.assert_close(gradient(ours, logits), gradient(kept.mean(), logits))


def test_pixel_ohem_mines_small_crops_too(batch):
    """By default a share is kept at least; a number of pixels as others have it would be all of them."""
    logits, labels = batch
    sure = (8 * F.one_hot(labels.clamp_min(0), logits.shape[1]).movedim(-1, 1) + logits.detach()).requires_grad_()
    loss = F.cross_entropy(sure, labels, ignore_index=IGNORE, reduction="none")[labels != IGNORE]
    hardest = loss.topk(len(loss) // 16).values
    assert hardest.min() > loss.mean()
    torch.testing.assert_close(head(recipes.pixel_ohem(threshold=1e-9))(sure, labels), hardest.mean())
    torch.testing.assert_close(head(recipes.pixel_ohem(min_kept=100_000))(sure, labels), loss.mean())


def test_focal_is_the_mean_over_all_that_are_not_ignored(batch):
    logits, labels = batch
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    theirs = ((1 - (-loss).exp()) ** 2 * loss)[labels != IGNORE].mean()
    ours = head(recipes.focal())(logits, labels)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours, logits), gradient(theirs, logits))


def test_class_balance_is_torch_s_weighted_cross_entropy(batch):
    """Once classes have been counted; before that all weigh alike."""
    logits, labels = batch
    weighted = head(recipes.class_balanced(beta=0.9))
    torch.testing.assert_close(weighted(logits, labels), F.cross_entropy(logits, labels, ignore_index=IGNORE))
    counts = torch.bincount(labels[labels != IGNORE], minlength=CLASSES).double()
    weight = (1 - 0.9) / (1 - 0.9**counts)
    expected = F.cross_entropy(logits, labels, weight, ignore_index=IGNORE)
    torch.testing.assert_close(weighted(logits, labels), expected)


def test_the_pixels_of_a_photograph_do_not_fill_the_effective_number():
    """With the .999 of boxes every class would weigh alike once it has ten thousand pixels."""
    weights = head(recipes.class_balanced()).classify.sampling
    weights.counts.copy_(torch.tensor([5_000_000, 500_000, 50_000, 5_000]))
    assert (weights.class_weights[1:] / weights.class_weights[:-1] > 5).all()


def test_ghm_weighs_a_pixel_by_how_many_have_its_gradient_norm(batch):
    logits, labels = batch
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")[labels != IGNORE]
    place = ((1 - (-loss).exp()) * 30).long().clamp_max(29)
    counts = torch.bincount(place, minlength=30)
    theirs = (loss * (len(loss) / (30 * counts[place]))).mean()
    ours = head(recipes.ghm())(logits, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient(ours, logits), gradient(theirs, logits), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("poison", [0.0, torch.nan])
def test_where_all_is_ignored_the_loss_is_zero_and_connected(name, poison, batch):
    logits, labels = batch
    given = logits.detach().add(poison).requires_grad_()
    loss = head(RECIPES[name]())(given, torch.full_like(labels, IGNORE))
    assert loss == 0
    assert (gradient(loss, given) == 0).all()


@pytest.mark.parametrize("name", TAKEN)
def test_what_ignored_pixels_hold_changes_nothing(name, batch):
    logits, labels = batch
    poisoned = logits.detach().masked_fill((labels == IGNORE).unsqueeze(1), torch.inf).requires_grad_()
    clean, dirty = (head(RECIPES[name]())(given, labels) for given in (logits, poisoned))
    assert dirty == clean
    assert torch.equal(gradient(dirty, poisoned), gradient(clean, logits))


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_losses_of_half_precision_are_those_of_float32(name, dtype, batch):
    logits, labels = batch
    rounded = logits.detach().to(dtype).requires_grad_()
    loss = head(RECIPES[name]())(rounded, labels)
    torch.testing.assert_close(loss, head(RECIPES[name]())(rounded.float(), labels))
    assert loss.dtype == torch.float32
    assert torch.isfinite(gradient(loss, rounded)).all()


@pytest.mark.parametrize("name", TAKEN)
def test_is_captured_as_one_graph_once(name, batch):
    logits, labels = batch
    eager, captured = (head(RECIPES[name]()) for _ in range(2))
    torch._dynamo.reset()
    compiled = torch.compile(captured, fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(2):
            expected, found = eager(logits, labels), compiled(logits, labels)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(gradient(found, logits), gradient(expected, logits))
            labels = labels.flip(1)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - set(TAKEN)))
def test_a_recipe_for_boxes_is_refused(name):
    with pytest.raises(EvidenceError, match=rf"recipe '{name}' needs samples that are boxes, .* segmenter's pixels"):
        head(RECIPES[name]())


def test_noise_is_drawn_where_a_sampling_asks_for_it(batch):
    class Coin(Sampling):
        needs = frozenset({"noise"})

        def weigh(self, samples):
            return (samples["noise"] < 0.5).float()

    logits, labels = batch
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    torch.manual_seed(3)
    kept = (torch.rand(2, 60).view_as(labels) < 0.5) & (labels != IGNORE)
    torch.manual_seed(3)
    ours = of_slots(select=Slot(Coin()), classify=Slot(normalize=PerSampled()))(logits, labels)
    torch.testing.assert_close(ours, loss[kept].mean())


def test_select_and_classify_multiply_and_scale_counts(batch):
    logits, labels = batch
    both = of_slots(
        select=Slot(PixelOHEM(0, 0.9)), classify=Slot(PixelOHEM(5, None), Focal(2, None, "softmax"), PerValid(), 3.0)
    )
    focal = Focal(2, None, "softmax")(logits.flatten(2).transpose(1, 2), labels.flatten(1))
    selected = focal[focal > -torch.tensor(0.9).log()]
    torch.testing.assert_close(both(logits, labels), 3 * selected.topk(10).values.sum() / len(selected))


def test_mmsegmentation_s_average_over_all_pixels_is_a_weight_of_the_classify_slot(batch):
    logits, labels = batch
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    ours = of_slots(classify=Slot(PixelOHEM.mmseg(0, 0.5)))(logits, labels)
    torch.testing.assert_close(ours, loss[loss > -torch.tensor(0.5).log()].sum() / (labels != IGNORE).sum())


@pytest.mark.parametrize(
    ("slots", "error", "match"),
    [
        ({"regress": Slot(All())}, ConfigError, "fills regress; a head of pixels has select, classify"),
        ({"select": Slot(recipes.ohem().slots(TRAITS)["select"].sampling)}, EvidenceError, "OHEM needs boxes"),
        ({"classify": Slot(GHMC())}, EvidenceError, "GHMC needs sigmoid scores"),
        ({"classify": Slot(loss=CrossEntropy("sigmoid"))}, EvidenceError, "CrossEntropy needs sigmoid scores"),
        ({"classify": Slot(loss=APLoss())}, EvidenceError, "APLoss needs sigmoid scores"),
        ({"classify": Slot(scale=SelfBalance())}, EvidenceError, "SelfBalance needs a box loss"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused(slots, error, match):
    with pytest.raises(error, match=match):
        of_slots(**slots)


def test_an_assigner_is_refused():
    with pytest.raises(EvidenceError, match="MaxIoU assigns boxes to objects"):
        head(replace(Recipe("mine"), assign=lambda _: MaxIoU()))


def test_shapes_that_do_not_fit_are_told(batch):
    logits, labels = batch
    for wrong in ((logits, labels[:, :3]), (logits[:, :3], labels), (logits, labels[:1])):
        with pytest.raises(ShapeError, match=r"expected \(B, 4, H, W\) and \(B, H, W\)"):
            head(recipes.random())(*wrong)


def test_weights_of_each_class_cannot_select(batch):
    class PerClass(Sampling):
        needs = frozenset({"logits"})

        def weigh(self, samples):
            return torch.ones_like(samples["logits"])

    with pytest.raises(ShapeError, match="'select' needs one a pixel"):
        of_slots(select=Slot(PerClass()))(*batch)


def test_hard_negatives_of_a_recipe_of_one_s_own_are_all_pixels(batch):
    """There is no background to choose from, so every pixel is a positive, which all stay."""
    logits, labels = batch
    ours = of_slots(select=Slot(HardNegative()))(logits, labels)
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, ignore_index=IGNORE))
