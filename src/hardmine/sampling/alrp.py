"""The weights of aLRP's box loss: a box counts the more, the more positives it is scored above."""

import torch
from torch import Tensor

from hardmine.core.samples import Evidence, Samples
from hardmine.core.score_order import ScorePool, SoftOrder, Windows, step_at_zero
from hardmine.errors import ConfigError
from hardmine.sampling.base import Sampling

__all__ = ["ALRPWeight"]


class ALRPWeight(Sampling):
    """Counts the box of a positive once for every positive at or below its score, each over that one's rank.

        L_box = (1/|P|) Σ_i (Σ_{k: s_k ≥ s_i} E_k) / rank_i = (1/|P|) Σ_k w_k E_k
        w_k = Σ_{i: s_i ≤ s_k} 1 / rank_i,    rank_i = 1 + Σ_{j ≠ i} H(s_j - s_i) over all scores of the batch
        E = (1 - GIoU) / 2(1 - τ)

    Oksuz, Cam, Akbas, Kalkan, A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in
    Object Detection, NeurIPS 2020, arXiv:2009.13592. `ALRP` is the classification side, with the same H.

    Convention: 1 / 2(1 - τ) is in the weight, 1/|P| is not: the slot's loss is `GIoU` and its normaliser `PerPositive`.
    A sample that is not positive has no box and weighs 0.
    Gradient: none through the weights.
    Differs from the authors' code, which goes through the positives in the order of a sort, so that of equal scores one
    counts for more than the other; here they count alike.

    Args: delta, tau: as in `ALRP`.
    Raises: ConfigError: delta below 0, or tau out of [0, 1).
    """

    needs: frozenset[Evidence] = frozenset({"logits", "labels"})
    pools_batch = True
    on_device = False  # for the number of positives
    activation = "sigmoid"

    def __init__(self, delta: float = 1.0, tau: float = 0.5):
        super().__init__()
        if not delta >= 0 or not 0 <= tau < 1:
            raise ConfigError(f"ALRPWeight needs delta >= 0 and tau in [0, 1), got {delta}, {tau}")
        self.delta, self.tau = delta, tau

    def weigh(self, samples: Samples) -> Tensor:
        logits, labels = samples["logits"], samples["labels"]
        if logits.numel() == 0:
            return torch.zeros_like(samples.assignment.iou)
        pool = ScorePool(logits, labels, self.delta)
        windows = Windows(pool.positives, self.delta)
        of_negatives, of_positives = (SoftOrder(windows, scores).above() for scores in (pool.negatives, pool.as_scores))
        rank = of_negatives + of_positives + (1 - step_at_zero(self.delta))
        down_to = pool.only_positives(1 / rank).cumsum(0)
        last_equal = torch.searchsorted(pool.positives, pool.positives, right=True) - 1
        return pool.to_samples(down_to[last_equal] / (2 * (1 - self.tau))).to(logits.dtype)
