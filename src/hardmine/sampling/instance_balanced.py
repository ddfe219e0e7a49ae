"""Instance-balanced sampling of positives, as in Libra R-CNN: an object that few samples hit counts as well."""

from torch import Tensor

from hardmine.core.rank_in_groups import balanced_priority, draw_among
from hardmine.core.samples import Evidence, Samples
from hardmine.sampling.base import QuotaSampling

__all__ = ["InstanceBalanced"]


class InstanceBalanced(QuotaSampling):
    """Keeps samples at random, but equally many of each object: num / G of the G objects that have any.

    A place that an object cannot fill goes to any other sample at random.
    Pang et al., Libra R-CNN, CVPR 2019, arXiv:1904.02701, section 3; there for positives: put it into `Combined`.

    Convention: with fewer places than objects, each object has the same chance of one. Without `Combined`, the
    background is one object more. One object is random sampling.
    Differs from mmdetection: there each object gets round(num / G) + 1 and chance takes the surplus away again, so that
    equal objects get equally many on average only; and what tops up may be a sample that is in already, so that fewer
    than ``num`` are kept.

    Raises: ConfigError: num below 1.
    """

    needs: frozenset[Evidence] = frozenset({"noise"})

    def choose(self, samples: Samples, candidates: Tensor, quota: Tensor, most: int) -> Tensor:
        noise = samples["noise"]
        priority = balanced_priority(noise, candidates, samples.assignment.matched_gt, quota)
        return draw_among(priority, candidates, quota, most).to(noise.dtype)
