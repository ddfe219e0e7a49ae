"""A sampling in one line, from a plain function."""

from collections.abc import Callable, Iterable
from typing import get_args

from torch import Tensor

from hardmine.core.samples import Activation, Evidence, Samples
from hardmine.errors import ConfigError, ShapeError, check_name
from hardmine.sampling.base import Sampling

__all__ = ["from_function"]


def from_function(
    function: Callable[[Samples], Tensor],
    needs: Evidence | Iterable[Evidence] = (),
    *,
    budget: int | None = None,
    through_grad: bool = False,
    pools_batch: bool = False,
    activation: Activation | None = None,
) -> Sampling:
    """Counts each sample as a function of the samples says: a floating tensor (B, N) or (B, N, K), from zero up.

        hard = from_function(lambda samples: samples["classification_loss"].gt(1).float(), {"classification_loss"})

    The function sees only the evidence it ``needs``; what it says of ignored samples is replaced by 0. Errors bear its
    name. Type and shape are checked at each call; values are not, since to look at them would make a GPU wait.

    Args: the others are what the attributes of `Sampling` of the same name say.
    Raises: ConfigError: not a function, unknown evidence, or a budget that is no whole number from 1.
    """
    if not callable(function) or isinstance(function, type):
        raise ConfigError(f"from_function needs a function of Samples, got {function!r}")
    names: frozenset[Evidence] = frozenset({needs} if needs in get_args(Evidence) else needs)  # pyright: ignore
    for name in names:
        check_name("evidence", name, get_args(Evidence))
    if budget is not None and (type(budget) is not int or budget < 1):
        raise ConfigError(f"from_function needs budget >= 1 or None, got {budget!r}")
    traits = {
        "needs": names,
        "budget": budget,
        "through_grad": through_grad,
        "pools_batch": pools_batch,
        "activation": activation,
    }
    name = getattr(function, "__name__", type(function).__name__)
    return type(name, (_FromFunction,), traits)(function)  # a class of that name: wherever samplings are named by it


class _FromFunction(Sampling):
    """What `from_function` makes its samplings of."""

    def __init__(self, function: Callable[[Samples], Tensor]):
        super().__init__()
        self.function = function

    def weigh(self, samples: Samples) -> Tensor:
        weights = self.function(samples)
        expected = samples.assignment.matched_gt.shape
        is_floating = isinstance(weights, Tensor) and weights.is_floating_point()
        if not is_floating or weights.ndim not in (2, 3) or weights.shape[:2] != expected:
            got = f"{weights.dtype} {tuple(weights.shape)}" if isinstance(weights, Tensor) else type(weights).__name__
            raise ShapeError(
                f"{type(self).__name__} must return floating weights {tuple(expected)}, or with one axis more for "
                f"classes; got {got}"
            )
        return weights
