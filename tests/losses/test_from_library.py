"""Others' losses of masks in a head of pixels: their own numbers, in place of ℓ or beside it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine import PixelOHEM, Recipe, Slot
from hardmine.core.samples import IGNORE
from hardmine.detectors.traits import pixel_traits
from hardmine.equation.pixel_head import PixelHead
from hardmine.errors import ConfigError, ShapeError
from hardmine.losses import from_library

CLASSES = 3


def of_masks(logits: Tensor, classes: Tensor) -> Tensor:
    """A loss that a library might have, which makes NaN of nothing."""
    return F.cross_entropy(logits, classes, reduction="sum") / (classes != -100).sum()


def head(**slots: Slot) -> PixelHead:
    return PixelHead(pixel_traits("segmenter", CLASSES), Recipe("mine", lambda _: slots))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    labels = torch.randint(0, CLASSES, (2, 5, 7))
    labels[0, :2] = IGNORE
    return torch.randn(2, CLASSES, 5, 7, requires_grad=True), labels


def test_it_stands_in_place_of_the_cross_entropy(batch):
    logits, labels = batch
    loss = head(classify=Slot(loss=from_library(of_masks, 2.0)))(logits, labels)
    torch.testing.assert_close(loss, 2 * F.cross_entropy(logits, labels, ignore_index=IGNORE))


def test_it_stands_beside_it(batch):
    logits, labels = batch
    loss = head(classify=Slot(also=from_library(of_masks, 0.5)))(logits, labels)
    torch.testing.assert_close(loss, 1.5 * F.cross_entropy(logits, labels, ignore_index=IGNORE))


def test_what_select_leaves_out_is_ignored_by_it(batch):
    logits, labels = batch
    each = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    loss = head(select=Slot(PixelOHEM(0, 0.3)), classify=Slot(also=from_library(of_masks)))(logits, labels)
    hard = each[each > -torch.tensor(0.3).log()]
    torch.testing.assert_close(loss, 2 * hard.mean())


@pytest.mark.parametrize("poison", [0.0, torch.nan])
def test_where_all_is_ignored_it_is_zero_and_connected(batch, poison):
    logits, labels = batch
    given = logits.detach().add(poison).requires_grad_()
    loss = head(classify=Slot(loss=from_library(of_masks)))(given, torch.full_like(labels, IGNORE))
    loss.backward()
    assert loss == 0
    assert (given.grad == 0).all()


def test_more_numbers_than_one_are_refused(batch):
    unreduced = from_library(lambda logits, classes: F.cross_entropy(logits, classes, reduction="none"))
    with pytest.raises(ShapeError, match="expected one number for the whole batch"):
        head(classify=Slot(loss=unreduced))(*batch)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"loss": "tversky"}, "tversky"),
        ({"loss": of_masks, "smooth": 1.0}, "without"),
        ({"loss": 3}, "got 3"),
        ({"loss": of_masks, "weight": -1.0}, "weight >= 0, got -1"),
    ],
    ids=["unknown", "options of a function", "number", "weight"],
)
def test_what_it_cannot_take_is_told(arguments, match):
    with pytest.raises(ConfigError, match=match):
        from_library(**arguments)


def test_a_library_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "segmentation_models_pytorch", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'hardmine\[bench\]'"):
        from_library("dice")


def dice(logits: Tensor, labels: Tensor) -> float:
    """1 - 2 Σ p t / (Σ p + Σ t), the mean over the classes, those that are absent with 0; in plain loops."""
    losses = []
    for label in range(CLASSES):
        both = predicted = true = 0.0
        for probabilities, target in zip(logits.softmax(1).movedim(1, -1).flatten(0, 2), labels.flatten(), strict=True):
            if target != IGNORE:
                both += float(probabilities[label]) * (target == label)
                predicted, true = predicted + float(probabilities[label]), true + (target == label)
        losses.append(1 - 2 * float(both) / (predicted + float(true)) if true else 0.0)
    return sum(losses) / CLASSES


def lovasz(logits: Tensor, labels: Tensor) -> float:
    """Σ errors, largest first, times what each adds to 1 - IoU of the pixels so far; the mean over classes there."""
    losses = []
    of_pixels = list(
        zip(logits.softmax(1).movedim(1, -1).flatten(0, 2).tolist(), labels.flatten().tolist(), strict=True)
    )
    for label in range(CLASSES):
        errors = sorted(((abs((t == label) - p[label]), t == label) for p, t in of_pixels if t != IGNORE), reverse=True)
        number = sum(is_it for _, is_it in errors)
        hit, union, before, total = number, number, 0.0, 0.0
        for error, is_it in errors:
            hit, union = hit - is_it, union + (not is_it)
            total, before = total + error * (1 - hit / union - before), 1 - hit / union
        losses += [total] if number else []
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("name", "slow"), [("dice", dice), ("lovasz", lovasz)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the library imports
def test_dice_and_lovasz_are_what_their_papers_say(name, slow, batch):
    pytest.importorskip("segmentation_models_pytorch", reason="needs it: pip install 'hardmine[bench]'")
    logits, labels = batch
    labels = labels.where(labels != 2, IGNORE)  # a class that is absent
    loss = head(classify=Slot(loss=from_library(name)))(logits, labels)
    assert float(loss.detach()) == pytest.approx(slow(logits.detach(), labels), rel=1e-4)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad.movedim(1, -1)[labels == IGNORE] == 0).all()
