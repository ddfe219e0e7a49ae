"""Instance-balanced sampling of positives, as in Libra R-CNN: an object that few samples hit counts as well."""

import torch
from torch import Tensor

from hardmine.ranking import rank_in_groups, top_preferred
from hardmine.samples import IGNORE, Evidence, Samples
from hardmine.sampling.base import QuotaSampling

__all__ = ["InstanceBalanced"]


class InstanceBalanced(QuotaSampling):
    """Keeps samples at random, but equally many of each object: num / G of the G objects that have any.

    A place that an object cannot fill goes to any other sample at random.
    Pang et al., Libra R-CNN, CVPR 2019, arXiv:1904.02701, section 3; there for positives: put it into `Combined`.

    Convention: with fewer places than objects, one sample of each object competes for them. Without `Combined`, the
    background is one object more. One object is random sampling.
    Differs from mmdetection: there each object gets round(num / G) + 1 and chance takes the surplus away again, so that
    equal objects get equally many on average only; and what tops up may be a sample that is in already, so that fewer
    than ``num`` are kept.

    Raises: ConfigError: num below 1.
    """

    needs: frozenset[Evidence] = frozenset({"noise"})

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        noise, group = samples["noise"], samples.assignment.matched_gt
        rank = rank_in_groups(noise, torch.where(candidates, group, IGNORE))
        num_objects = (candidates & (rank == 0)).sum(dim=-1, keepdim=True)
        share = (quota // num_objects.clamp_min(1)).clamp_min(1)
        return top_preferred(noise, candidates, rank < share, quota, most).to(noise.dtype)
