"""Weights of boxes by how good they are."""

from torch import Tensor

from hardmine.core.samples import Evidence, Samples
from hardmine.sampling.base import Sampling

__all__ = ["QualityWeight"]


class QualityWeight(Sampling):
    """Counts a positive by its quality, and nothing else: w_i = q_i.

    A weight for box losses: Li et al., Generalized Focal Loss, NeurIPS 2020, arXiv:2006.04388 (q is the IoU of the
    predicted box); Feng et al., TOOD, ICCV 2021, arXiv:2108.07755 (q is the normalised alignment t̂ of the assigner).

    Gradient: none through w.
    """

    needs: frozenset[Evidence] = frozenset({"quality"})

    def weigh(self, samples: Samples) -> Tensor:
        return samples["quality"].masked_fill(~samples.assignment.is_positive, 0)
