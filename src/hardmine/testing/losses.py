"""What every loss keeps to: of scores, of all scores together, and of boxes."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.core.samples import IGNORE
from hardmine.errors import ConfigError
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.testing.contract import CAPTURED, Contract, captured, check, require, require_close, require_equal
from hardmine.testing.situations import DTYPES, LABELS, LOW_DTYPES, make_boxes, make_logits, make_samples, poisoned

__all__ = ["CLASSIFICATION_CONTRACT", "LISTWISE_CONTRACT", "REGRESSION_CONTRACT", "check_loss", "make_predicted"]

Known = dict[str, Tensor]
POISONS = (torch.nan, torch.inf, -torch.inf)


def check_loss(loss: ClassificationLoss | RegressionLoss) -> None:
    """Holds a loss to the contract of its kind: of each score, of all scores (``listwise``), or of boxes.

    One that keeps a state for each class is to be made for three classes; one whose ``on_device`` is False need not be
    captured by `torch.compile`.
    Raises: ContractError: what is broken, and in which situation.  ConfigError: it is no loss of these kinds.
    """
    if isinstance(loss, RegressionLoss):
        check(loss, REGRESSION_CONTRACT)
    elif isinstance(loss, ClassificationLoss):
        check(loss, LISTWISE_CONTRACT if loss.listwise else CLASSIFICATION_CONTRACT)
    else:
        raise ConfigError(f"check_loss takes a ClassificationLoss or a RegressionLoss, got {loss!r}")


def _calls(loss: ClassificationLoss, dtype: torch.dtype = torch.float32) -> Iterator[tuple[str, Tensor, Tensor, Known]]:
    """By situation: logits, labels, and what else the loss needs."""
    for case, labels in LABELS.items():
        yield case, *_call(loss, labels, dtype)


def _call(loss: ClassificationLoss, labels: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Known]:
    samples = make_samples(labels, dtype)
    return make_logits(loss.activation, labels, dtype), labels, {name: samples[name] for name in loss.needs}


def _lose(loss: ClassificationLoss, logits: Tensor, labels: Tensor, known: Known) -> Tensor:
    """What a fresh copy gives, so that nothing a method remembers comes from an earlier call."""
    return deepcopy(loss)(logits, labels, **known)


def _value_and_slope(loss: Callable, logits: Tensor, labels: Tensor, known: Known) -> tuple[Tensor, Tensor]:
    """The loss, and the gradient of its sum."""
    logits = logits.clone().requires_grad_()
    value = loss(logits, labels, **known)
    (slope,) = torch.autograd.grad(value.double().sum(), logits)
    return value.detach(), slope


def _with(known: Known, function: Callable[[Tensor], Tensor]) -> Known:
    return {name: function(value) for name, value in known.items()}


def _poisoned(known: Known, where: Tensor, poison: float) -> Known:
    return {name: value if name == "labels" else poisoned(value, where, poison) for name, value in known.items()}


def _is_one_a_class_or_sample(loss: ClassificationLoss) -> None:
    for dtype in DTYPES:
        for case, logits, labels, known in _calls(loss, dtype):
            value = _lose(loss, logits, labels, known)
            shape = labels.shape if loss.activation == "softmax" else logits.shape
            require(value.shape == shape, f"{case}: the shape is {tuple(value.shape)}, expected {tuple(shape)}")
            require(value.dtype == dtype, f"{case}: {value.dtype} from logits of {dtype}")
            require(value.isfinite() & (value >= 0), f"{case}, {dtype}: a loss is below 0 or not finite")


def _is_one_number(loss: ClassificationLoss) -> None:
    for dtype in DTYPES:
        for case, logits, labels, known in _calls(loss, dtype):
            value, slope = _value_and_slope(deepcopy(loss), logits, labels, known)
            require(value.shape == (), f"{case}: the shape is {tuple(value.shape)}, expected one number")
            require({value.dtype, slope.dtype} == {dtype}, f"{case}: {value.dtype} from logits of {dtype}")
            require(bool(value.isfinite() and value >= 0), f"{case}, {dtype}: the loss is {value.item()}")
            require(slope.isfinite(), f"{case}, {dtype}: a gradient is not finite")


def _is_zero_and_connected_where_nothing_counts(loss: ClassificationLoss) -> None:
    for case, labels in LABELS.items():
        value, slope = _value_and_slope(deepcopy(loss), *_call(loss, torch.full_like(labels, IGNORE)))
        require(not value.any() and not slope.any(), f"{case}, all ignored: the loss or a gradient is not 0")


def _sees_nothing_of_ignored_samples(loss: ClassificationLoss) -> None:
    for case, logits, labels, known in _calls(loss):
        ignored = labels == IGNORE
        clean, clean_slope = _value_and_slope(deepcopy(loss), logits, labels, known)
        for poison in POISONS:
            wrong = poisoned(logits, ignored, poison), labels, _poisoned(known, ignored, poison)
            value, slope = _value_and_slope(deepcopy(loss), *wrong)
            require_equal(value, clean, f"{case}: with {poison} in ignored samples the loss is another")
            require_equal(slope, clean_slope, f"{case}: with {poison} in ignored samples the gradient is another")
            require(slope[ignored] == 0, f"{case}: an ignored sample has a gradient")
        require(bool(loss.listwise or (clean[ignored] == 0).all()), f"{case}: an ignored sample has a loss")


def _survives_saturated_logits(loss: ClassificationLoss) -> None:
    for dtype in LOW_DTYPES:
        for case, logits, labels, known in _calls(loss, dtype):
            for size in (50.0, 1e4):
                value, slope = _value_and_slope(deepcopy(loss), logits.sign() * size, labels, known)
                require(value.isfinite(), f"{case}, {dtype}, logits of {size:g}: a loss is not finite")
                require(slope.isfinite(), f"{case}, {dtype}, logits of {size:g}: a gradient is not finite")


def _survives_equal_logits(loss: ClassificationLoss) -> None:
    """As at the start of training."""
    for case, logits, labels, known in _calls(loss):
        value, slope = _value_and_slope(deepcopy(loss), torch.full_like(logits, -4.6), labels, known)
        are_finite = bool(value.isfinite().all() and slope.isfinite().all())
        require(are_finite, f"{case}: not finite where all logits are equal")


def _treats_images_alone(loss: ClassificationLoss) -> None:
    loss.eval()  # what one counts in training, it counts of the whole batch
    for case, logits, labels, known in _calls(loss):
        rows = [slice(b, b + 1) for b in range(len(labels))]
        alone = [_lose(loss, logits[of], labels[of], {name: value[of] for name, value in known.items()}) for of in rows]
        require_close(_lose(loss, logits, labels, known), torch.cat(alone), f"{case}: a batch is not its images")


def _does_not_care_for_order(loss: ClassificationLoss) -> None:
    for case, logits, labels, known in _calls(loss):
        order = torch.randperm(labels.shape[1])
        moved = _lose(loss, logits[:, order], labels[:, order], _with(known, lambda value, of=order: value[:, of]))
        require_close(moved, _lose(loss, logits, labels, known)[:, order], f"{case}: the order of samples matters")


def _does_not_care_for_any_order(loss: ClassificationLoss) -> None:
    for case, logits, labels, known in _calls(loss, torch.float64):
        order, images = torch.randperm(labels.shape[1]), torch.arange(len(labels)).flip(0)
        permute = partial(_permuted, order=order, images=images)
        value, slope = _value_and_slope(deepcopy(loss), logits, labels, known)
        found = _value_and_slope(deepcopy(loss), permute(logits), permute(labels), _with(known, permute))
        require_close(found, (value, permute(slope)), f"{case}: the order of samples or images matters")


def _permuted(tensor: Tensor, order: Tensor, images: Tensor) -> Tensor:
    return tensor[images][:, order]


def _falls_with_a_better_score(loss: ClassificationLoss) -> None:
    """Up to the quality of its box, where the loss asks for that."""
    labels = torch.zeros(1, 1, dtype=torch.int64)
    worse, _, known = _call(loss, labels)
    better, known = worse.clone(), _with(known, torch.ones_like)
    worse[..., 0], better[..., 0] = -1, 1
    losses = [_lose(loss, logits, labels, known).sum() for logits in (better, worse)]
    require(losses[0] < losses[1], f"a better score of the label has loss {losses[0]:.4g}, a worse {losses[1]:.4g}")


def _has_its_own_gradient(loss: ClassificationLoss) -> None:
    if not loss.through_grad:
        return
    for case, logits, labels, known in _calls(loss, torch.float64):
        if labels.numel():
            of = partial(_lose, loss, labels=labels, known=known)
            is_own = torch.autograd.gradcheck(lambda z, of=of: of(z), (logits.requires_grad_(),))
            require(is_own, f"{case}: the gradient is not that of the loss")


def _gives_evidence_no_gradient(loss: ClassificationLoss) -> None:
    for case, logits, labels, known in _calls(loss):
        watched = {name: value.requires_grad_() for name, value in known.items() if value.is_floating_point()}
        value = _lose(loss, logits.requires_grad_(), labels, known | watched).sum()
        slopes = torch.autograd.grad(value, list(watched.values()), allow_unused=True) if watched else ()
        is_free = all(slope is None or not slope.any() for slope in slopes)
        require(is_free, f"{case}: what the loss is told of the boxes gets a gradient")


def _is_captured(loss: ClassificationLoss) -> None:
    eager = deepcopy(loss)  # whatever the one remembers, the other has not seen
    with captured(loss) as compiled:
        for _ in range(2):
            call = _call(loss, torch.randint(IGNORE, 3, (2, 9)))
            expected = _value_and_slope(eager, *call)
            found = _value_and_slope(compiled, *call)
            require_close(found, expected, "the captured call gives another loss or gradient")


def make_predicted(loss: RegressionLoss, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Boxes or codes, or the logits of their distributions."""
    if loss.space == "distribution":
        return torch.randn(*shape, 4, _bins(loss) + 1).to(dtype)
    return make_boxes(*shape, dtype=dtype)


def _bins(loss: RegressionLoss) -> int:
    return int(getattr(loss, "bins"))  # noqa: B009 (only losses of distributions have it)


def _shape(loss: RegressionLoss, *shape: int) -> tuple[int, ...]:
    return shape if loss.space == "box" else (*shape, 4)


def _says_what_it_compares(loss: RegressionLoss) -> None:
    require(loss.space in ("code", "box", "distribution"), f"space is {loss.space!r}")


def _is_one_a_box_or_code(loss: RegressionLoss) -> None:
    for dtype in DTYPES:
        for shape in ((2, 5), (1, 1), (2, 0)):
            value = loss(make_predicted(loss, *shape, dtype=dtype), make_boxes(*shape, dtype=dtype))
            expected = _shape(loss, *shape)
            require(value.shape == expected, f"the shape is {tuple(value.shape)}, expected {expected}")
            require(value.dtype == dtype, f"{value.dtype} from boxes of {dtype}")
            require(value.isfinite() & (value >= 0), f"{dtype}: a loss is below 0 or not finite")


def _is_zero_on_the_target(loss: RegressionLoss) -> None:
    target = make_boxes(2, 5).round()  # between two bins no distribution is without loss
    exact = F.one_hot(target.long(), _bins(loss) + 1) * 100.0 if loss.space == "distribution" else target.clone()
    value = loss(exact.requires_grad_(), target)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    require(value.abs() <= 1e-6, f"on the target itself the loss is {value.max().item():.3g}")
    require(slope.isfinite(), "on the target itself a gradient is not finite")


ODD_BOXES = ([5.0, 5, 5, 5], [6.0, 6, 4, 4], [5.0, 5, 7, 5], [1e4, 1e4, 2e4, 2e4], [5.0, 5, 7, 7])
ODD_TARGETS = ([5.0, 5, 7, 7], [5.0, 5, 5, 5], [5.0, 5, 7, 5])
STEEP = 100.0


def _survives_odd_boxes(loss: RegressionLoss) -> None:
    for predicted, target in ((one, other) for one in ODD_BOXES for other in ODD_TARGETS):
        leaf = torch.tensor([[predicted]])
        if loss.space == "distribution":  # as far apart as the numbers are, with the mass at one end
            leaf = torch.linspace(0, 1, _bins(loss) + 1) * leaf.unsqueeze(-1)
        value = loss(leaf.requires_grad_(), torch.tensor([[target]]))
        (slope,) = torch.autograd.grad(value.sum(), leaf)
        require(value.isfinite(), f"{predicted} for {target}: a loss is not finite")
        require(slope.abs() < STEEP, f"{predicted} for {target}: a gradient is {slope.abs().max().item():.3g}")


def _treats_boxes_alone(loss: RegressionLoss) -> None:
    predicted, target = make_predicted(loss, 3, 5), make_boxes(3, 5)
    alone = [loss(predicted[b : b + 1], target[b : b + 1]) for b in range(3)]
    require_close(loss(predicted, target), torch.cat(alone), "a batch is not its images one by one")


def _has_the_gradient_of_boxes(loss: RegressionLoss) -> None:
    if loss.through_grad:
        predicted = make_predicted(loss, 2, 5, dtype=torch.float64).requires_grad_()
        is_own = torch.autograd.gradcheck(loss, (predicted, make_boxes(2, 5, dtype=torch.float64)))
        require(is_own, "the gradient is not that of the loss")


def _is_captured_on_boxes(loss: RegressionLoss) -> None:
    """A compiler is given the values alone and differentiates them; the slopes by formula must be the same."""
    with captured(loss) as compiled:
        for _ in range(2):
            predicted, target = make_predicted(loss, 2, 5), make_boxes(2, 5)
            found, expected = (_box_value_and_slope(of, predicted, target) for of in (compiled, loss))
            require_close(found, expected, "the captured call gives another loss or gradient")


def _box_value_and_slope(loss: Callable, predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    predicted = predicted.clone().requires_grad_()
    value = loss(predicted, target)
    return value.detach(), torch.autograd.grad(value.sum(), predicted)[0]


CLASSIFICATION_CONTRACT: Contract = {
    "one loss a class or a sample, in the dtype of the logits": _is_one_a_class_or_sample,
    "ignored samples have no loss and no gradient, whatever is known of them": _sees_nothing_of_ignored_samples,
    "saturated logits give finite losses and gradients": _survives_saturated_logits,
    "a batch equals its images one by one": _treats_images_alone,
    "permuting samples permutes losses": _does_not_care_for_order,
    "a better score of the label has a smaller loss": _falls_with_a_better_score,
    "the gradient is that of the loss": _has_its_own_gradient,
    "evidence gets no gradient": _gives_evidence_no_gradient,
    CAPTURED: _is_captured,
}
LISTWISE_CONTRACT: Contract = {
    "one number, in the dtype of the logits": _is_one_number,
    "where nothing counts, the loss is zero and still connected": _is_zero_and_connected_where_nothing_counts,
    "ignored samples change nothing and have no gradient": _sees_nothing_of_ignored_samples,
    "saturated logits give finite losses and gradients": _survives_saturated_logits,
    "equal logits give finite losses and gradients": _survives_equal_logits,
    "the order of samples and images does not matter": _does_not_care_for_any_order,
    "evidence gets no gradient": _gives_evidence_no_gradient,
    CAPTURED: _is_captured,
}
REGRESSION_CONTRACT: Contract = {
    "it says what it compares": _says_what_it_compares,
    "one loss a box or a number of its code, in their dtype": _is_one_a_box_or_code,
    "the target itself has no loss and a finite gradient": _is_zero_on_the_target,
    "odd boxes have finite losses and moderate gradients": _survives_odd_boxes,
    "a batch equals its images one by one": _treats_boxes_alone,
    "the gradient is that of the loss": _has_the_gradient_of_boxes,
    CAPTURED: _is_captured_on_boxes,
}
