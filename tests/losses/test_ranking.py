"""Arguments, batches without positives or negatives, and what no pair of a positive and a negative may cost."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hardmine import ALRP, BACKGROUND, IGNORE, APLoss, RankSort
from hardmine.core import score_order
from hardmine.errors import ConfigError

LOSSES = (APLoss, ALRP, RankSort)


def call(loss, logits: Tensor, labels: Tensor, of_box: float | Tensor = 0.3) -> tuple[Tensor, Tensor]:
    """Value and gradient, with the box loss or IoU of the positives where the loss asks for it."""
    logits = logits.detach().requires_grad_()
    evidence = {name: torch.as_tensor(of_box).expand(labels.shape) for name in loss.needs}
    value = loss(logits, labels, **evidence)
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("delta", [-0.1, math.nan])
def test_a_step_of_no_width_is_refused(kind, delta):
    with pytest.raises(ConfigError, match=f"{kind.__name__} needs delta >= 0, got {delta}"):
        kind(delta)


@pytest.mark.parametrize("tau", [-0.1, 1.0, math.nan])
def test_a_threshold_that_no_box_can_miss_is_refused(tau):
    with pytest.raises(ConfigError, match=rf"ALRP needs tau in \[0, 1\), got {tau}"):
        ALRP(tau=tau)


@pytest.mark.parametrize("kind", LOSSES)
def test_without_positives_nothing_is_wrong_and_all_stays_connected(kind):
    """Here the authors' codes of aLRP and RS fail."""
    value, gradient = call(kind(), torch.randn(2, 5, 3), torch.full((2, 5), BACKGROUND))
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("label", [0, BACKGROUND])
def test_a_logit_of_infinity_is_one_beyond_all_others(kind, label):
    """Half precision gets there."""
    labels, huge = torch.tensor([[label, 0, 1, BACKGROUND]]), torch.randn(1, 4, 2)
    labels = labels if label == 0 else labels.clamp_max(label)
    huge[0, 0, 0] = torch.finfo(huge.dtype).max
    infinite = huge.masked_fill(huge > 1e9, torch.inf)
    found, expected = call(kind(), infinite, labels), call(kind(), huge, labels)
    torch.testing.assert_close(found, expected)
    assert found[1].isfinite().all()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("count", [1, 5])
def test_without_negatives_only_the_order_of_positives_can_be_wrong(kind, count):
    labels = torch.full((1, 7), IGNORE)
    labels[0, :count] = 0
    iou = torch.rand(1, 7)
    value, gradient = call(kind(), torch.randn(1, 7, 1), labels, iou)
    wrong_order = kind is RankSort and count > 1
    assert (value > 0) == wrong_order
    assert bool((gradient != 0).any()) == wrong_order


@pytest.mark.parametrize("kind", LOSSES)
def test_other_classes_of_a_positive_are_negatives(kind):
    """One sample, three classes: its label is pushed up, by as much as both others together are pushed down."""
    _, gradient = call(kind(), torch.zeros(1, 1, 3), torch.tensor([[1]]))
    assert gradient[0, 0, 1] < 0
    assert gradient[0, 0, 0] == gradient[0, 0, 2]
    assert gradient.sum().abs() < 1e-7
    assert (gradient[0, 0, [0, 2]] > 0).all()


@pytest.mark.parametrize("kind", LOSSES)
def test_a_separated_batch_has_no_ranking_error(kind):
    labels = torch.tensor([[0, BACKGROUND, BACKGROUND]])
    value, gradient = call(kind(), torch.tensor([[[4.0], [-4.0], [-4.1]]]), labels)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("kind", LOSSES)
def test_the_gradient_scales_with_the_weight_of_the_loss(kind):
    """RS's own code scales it with that of its ranking part only."""
    logits, labels, iou = torch.randn(1, 9, 2, requires_grad=True), torch.randint(-1, 2, (1, 9)), torch.rand(1, 9)
    loss = kind()
    _, once = call(loss, logits, labels, iou)
    thrice = loss(logits, labels, **dict.fromkeys(loss.needs, iou)) * 3
    torch.testing.assert_close(torch.autograd.grad(thrice, logits)[0], once * 3)


@pytest.mark.parametrize("kind", LOSSES)
def test_more_negatives_above_cost_more(kind):
    labels = torch.tensor([[0] + [BACKGROUND] * 5])
    values = [
        call(kind(), torch.tensor([0.0] + [1.0] * above + [-1.0] * (5 - above)).view(1, 6, 1), labels)[0]
        for above in range(6)
    ]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_interpolated_precision_spares_a_positive_that_has_a_better_one_below():
    """Order: -, +, +: precision 1/2 at the first positive, 2/3 at the second; interpolated both have 2/3."""
    logits, labels = torch.tensor([[[3.0], [2.0], [1.0]]]), torch.tensor([[BACKGROUND, 0, 0]])
    plain, _ = call(APLoss(0, interpolated=False), logits, labels)
    value, gradient = call(APLoss(0), logits, labels)
    torch.testing.assert_close(plain, torch.tensor((1 / 2 + 1 / 3) / 2))
    torch.testing.assert_close(value, torch.tensor(1 / 3))
    torch.testing.assert_close(gradient.flatten(), torch.tensor([1 / 3, -1 / 6, -1 / 6]))


def test_boxes_above_push_a_positive_the_more_the_worse_they_are():
    logits, labels = torch.tensor([[[3.0], [2.0], [1.0]]]), torch.tensor([[0, BACKGROUND, 0]])
    (value, good), (same_value, bad) = (call(ALRP(), logits, labels, loss) for loss in (0.1, 0.9))
    assert value == same_value
    assert bad[0, 2] < good[0, 2] < 0


def test_a_positive_of_a_worse_box_is_pushed_below_one_of_a_better_box():
    logits, labels = torch.tensor([[[1.0], [0.0]]]), torch.tensor([[0, 0]])
    value, gradient = call(RankSort(), logits, labels, torch.tensor([[0.2, 0.9]]))
    assert value > 0
    assert gradient[0, 0] > 0 > gradient[0, 1]
    value, _ = call(RankSort(), logits, labels, torch.tensor([[0.9, 0.2]]))
    assert value == 0


class LargestTensor(TorchDispatchMode):
    """Remembers how many elements the largest tensor had that any operation gave."""

    size = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        result = operation(*arguments, **(options or {}))
        self.size = max([self.size, *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor))])
        return result


@pytest.mark.parametrize("kind", LOSSES)
def test_no_array_has_a_place_for_every_pair(kind, monkeypatch):
    monkeypatch.setitem(score_order.NUMBERS_AT_A_TIME, "cpu", 1)  # so few would be dealt with at once
    labels = torch.where(torch.arange(600) < 500, 0, BACKGROUND)[None]
    with LargestTensor() as largest:
        call(kind(), torch.randn(1, 600, 4), labels, torch.rand(1, 600))
    assert largest.size <= 4 * 600 * 4
