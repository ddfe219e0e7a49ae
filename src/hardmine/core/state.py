"""What methods remember from batch to batch, read so that it stays what it was."""

import torch
from torch import Tensor

__all__ = ["snapshot"]


@torch.library.custom_op("hardmine::snapshot", mutates_args=())
def snapshot(state: Tensor) -> Tensor:
    """A buffer as it is now, for a call that changes it.

    Of a compiled call, the backward pass may work out anew what had been read from a buffer, and reads what the call
    has made of it since: silently another gradient. The result of an operation of one's own is kept instead.
    """
    return state.clone()


@snapshot.register_fake
def _(state: Tensor) -> Tensor:
    return torch.empty_like(state)
