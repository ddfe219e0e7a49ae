"""AP loss, aLRP loss and Rank & Sort loss: how wrong is the order of the scores?

All three look at every pair of a positive i and a score j through one step, and none through its derivative:

    H(d) = clamp(d / 2δ + 1/2, 0, 1),     FP_i = Σ_negatives H(s_j - s_i),     r⁺_i = 1 + Σ_other positives H(s_k - s_i)

A positive is a sample with its label's class, a negative every other class of a valid sample; all images and classes of
a batch are pooled. The loss is a mean over positives of an error. The gradient is the error-driven update of the
papers: a positive is pushed up by its own error, and the scores that cause it are pushed down by the same amount in
all, each in proportion to H. So the gradients of a batch sum to 0. In data-parallel training each process ranks its own
part of the batch, as in the authors' codes.

Differs from the authors' codes, which loop over the positives: the same numbers, exactly and for any δ, come from sums
over the intervals between the bounds s_i ± δ (`score_order.SoftOrder`), computed in float64. Without positives,
where their codes fail, the loss is 0 with a gradient of zeros; that is also so without negatives, save for what RS
sorts among positives. δ = 0 is the hard step, with H(0) = 1 as in RS's code. On a GPU the host waits once, for the
number of positives; compiled it does not.
"""

from typing import Any

import torch
from torch import Tensor

from hardmine.core.samples import Evidence
from hardmine.core.score_order import ScorePool, SoftOrder, Windows, step_at_zero, sum_above_of_smaller_key
from hardmine.errors import ConfigError
from hardmine.losses.classification import ClassificationLoss

__all__ = ["ALRP", "APLoss", "RankSort"]

NOBODY = 1e-5
"""aLRP's positives with at most so many false positives above them have no error."""


class _RankingLoss(ClassificationLoss):
    """What the three share: one step, pooled sigmoid scores, one number.

    Raises: ConfigError: delta below 0.
    """

    listwise = True
    on_device = False  # for the number of positives

    def __init__(self, delta: float):
        super().__init__("sigmoid")
        if not delta >= 0:
            raise ConfigError(f"{type(self).__name__} needs delta >= 0, got {delta}")
        self.delta = delta


class APLoss(_RankingLoss):
    """Counts, for each positive, the share of negatives among all that are scored above it: 1 - AP.

        error_i = FP_i / (r⁺_i + FP_i),     L = mean of error,     ∂L/∂s_i = -error_i / |P|

    Chen, Li, Lin, See, Wang, Duan, Chen, He, Zou, Towards Accurate One-Stage Object Detection with AP-Loss, CVPR 2019,
    arXiv:1904.06373.

    Convention: with a hard step (δ = 0) and no ties, L is 1 - AP of the pooled scores exactly.
    Gradient: error-driven, not the derivative.

    AP is mostly reported with interpolated precision: a positive has the best precision of all places with at least its
    recall, that is its own or that of any positive scored below. ``interpolated`` does so in the loss: positives are
    visited by ascending score, the largest precision so far (the least error) is carried along, and a positive whose
    own is worse takes that instead, its share of the negatives' gradient scaled down alike. So a positive is not
    pushed past negatives that cost no AP, and every positive's push still equals what its negatives get.

    Args: delta: half the width over which the step rises.
    Raises: ConfigError: delta below 0.
    """

    def __init__(self, delta: float = 1.0, interpolated: bool = True):
        super().__init__(delta)
        self.interpolated = interpolated

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if logits.numel() == 0:
            return logits.sum()
        with torch.no_grad():
            pool = ScorePool(logits, labels, self.delta)
            order, positives_above = _orders(pool, self.delta)
            false_positives = order.above()
            error = false_positives / (positives_above.above() + 1 - step_at_zero(self.delta) + false_positives)
            if self.interpolated:
                error = error.cummin(0).values
            error = pool.mean_share(error)
            blame = order.spread(_ratio(error, false_positives))
        return _error_driven(logits, error.sum(), pool.to_scores(-error, blame))


class ALRP(_RankingLoss):
    """Counts, for each positive, the share of negatives above it, and pushes the harder, the worse the boxes above it.

        L = mean of FP_i / rank_i,                                       rank_i = r⁺_i + FP_i
        error_i = (FP_i + Σ_{k ≠ i} H(s_k - s_i) E_k) / rank_i,          ∂L/∂s_i = -error_i / |P|
        E = (1 - GIoU) / 2 / (1 - τ)

    Oksuz, Cam, Akbas, Kalkan, A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in
    Object Detection, NeurIPS 2020, arXiv:2009.13592.

    Convention: L is the classification part of the aLRP error; the other part, (E_i + Σ H E_k) / rank_i, is the box
    loss under `ALRPWeight`. The box loss of the head must be the paper's, `GIoU`, whose loss is 2(1 - τ) E.
    A positive with FP_i ≤ 1e-5 has no error, as in the authors' code: there is nobody to share it.
    Gradient: error-driven; none through E.

    Args: delta: half the width over which the step rises.  tau: IoU at which a box stops being a true positive.
    Raises: ConfigError: delta below 0, or tau out of [0, 1).
    """

    needs: frozenset[Evidence] = frozenset({"regression_loss"})

    def __init__(self, delta: float = 1.0, tau: float = 0.5):
        super().__init__(delta)
        if not 0 <= tau < 1:
            raise ConfigError(f"ALRP needs tau in [0, 1), got {tau}")
        self.tau = tau

    def forward(self, logits: Tensor, labels: Tensor, *, regression_loss: Tensor) -> Tensor:
        if logits.numel() == 0:
            return logits.sum()
        with torch.no_grad():
            pool = ScorePool(logits, labels, self.delta)
            order, positives_above = _orders(pool, self.delta)
            box_error = pool.of_positives(regression_loss) / (2 * (1 - self.tau))
            false_positives = order.above()
            rank = positives_above.above() + 1 - step_at_zero(self.delta) + false_positives
            of_boxes = positives_above.above(box_error) - step_at_zero(self.delta) * box_error
            error = ((false_positives + of_boxes) / rank).masked_fill(false_positives <= NOBODY, 0)
            error = pool.mean_share(error)
            blame = order.spread(_ratio(error, false_positives))
            value = pool.mean_share(false_positives / rank).sum()
        return _error_driven(logits, value, pool.to_scores(-error, blame))


class RankSort(_RankingLoss):
    """Counts, for each positive, the share of negatives above it, and how far positives of worse boxes stand above it.

        ranking_i = FP_i / rank_i
        sorting_i = Σ_k H_ki (1 - y_k) / Σ_k H_ki  -  the same over those with y_k ≥ y_i only,      H_ki = H(s_k - s_i)
        L = mean of ranking + sorting,     ∂L/∂s_i = -(ranking_i + sorting_i) / |P|

    with y the IoU of the predicted box. The ranking error is shared by negatives, the sorting error by positives with
    y_k < y_i, each in proportion to H.

    Oksuz, Cam, Akbas, Kalkan, Rank & Sort Loss for Object Detection and Instance Segmentation, ICCV 2021,
    arXiv:2107.11669.

    Convention: k = i is among the positives, with H(0) = 1/2, also in rank_i (in AP and aLRP it counts 1).
    Gradient: error-driven; none through y.
    Differs from the authors' code: its backward looks only at the gradient of the ranking part.

    Args: delta: half the width over which the step rises.
    Raises: ConfigError: delta below 0.
    """

    needs: frozenset[Evidence] = frozenset({"predicted_iou"})

    def __init__(self, delta: float = 0.5):
        super().__init__(delta)

    def forward(self, logits: Tensor, labels: Tensor, *, predicted_iou: Tensor) -> Tensor:
        if logits.numel() == 0:
            return logits.sum()
        with torch.no_grad():
            pool = ScorePool(logits, labels, self.delta)
            order, positives_above = _orders(pool, self.delta)
            false_positives, quality = order.above(), pool.of_positives(predicted_iou)
            rank = positives_above.above()
            ranking = pool.mean_share(false_positives / (rank + false_positives))
            sorting, blame = _sort(pool, quality, rank, positives_above.above(1 - quality), self.delta)
            of_negatives = order.spread(_ratio(ranking, false_positives))
        gradient = pool.to_scores(blame - ranking - sorting, of_negatives)
        return _error_driven(logits, (ranking + sorting).sum(), gradient)


def _orders(pool: ScorePool, delta: float) -> tuple[SoftOrder, SoftOrder]:
    """The negatives and the positives themselves, as seen from the positives."""
    windows = Windows(pool.positives, delta)
    return SoftOrder(windows, pool.negatives), SoftOrder(windows, pool.as_scores)


def _sort(
    pool: ScorePool, quality: Tensor, rank: Tensor, not_quality_above: Tensor, delta: float
) -> tuple[Tensor, Tensor]:
    """Sorting error of each positive, and what each of them gets of the errors of others; both over |P|.

    With (n, q) the sums of H and H (1 - y) over all positives, and (n', q') over those of smaller y, the error is
    q/n - (q - q')/(n - n') = (q' - n' (q - q')/(n - n')) / n, which keeps its digits where n' is small.
    """
    one = pool.only_positives(torch.ones_like(quality))
    values = torch.stack([one, one - quality], dim=-1)
    worse, not_quality_worse = sum_above_of_smaller_key(pool.positives, quality, values, delta).unbind(-1)
    error = (not_quality_worse - worse * (not_quality_above - not_quality_worse) / (rank - worse)) / rank
    error = pool.mean_share(error.clamp_min(0))  # below 0 only by rounding
    # seen from the other side, who is scored above becomes who is scored below, and a smaller y a larger one
    mirrored = (-pool.positives.flip(0), -quality.flip(0), _ratio(error, worse).flip(0).unsqueeze(-1))
    return error, sum_above_of_smaller_key(*mirrored, delta).squeeze(-1).flip(0)


def _ratio(error: Tensor, number: Tensor) -> Tensor:
    """What each of so many is given of an error; nothing where there is nobody."""
    return (error / number).masked_fill(number <= 0, 0)


def _error_driven(logits: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    return _ErrorDriven.apply(logits, value.to(logits.dtype), gradient)


class _ErrorDriven(torch.autograd.Function):
    """A value with a gradient that is not its derivative."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return outputs[0] * gradient, None, None
