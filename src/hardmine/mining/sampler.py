"""Images of any data set in the proportion that mining found, for a `DataLoader` of one's own."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import Sampler

from hardmine.errors import ConfigError
from hardmine.training.batches import are_weights, derive_seed, draw_images

__all__ = ["MinedSampler"]


class MinedSampler(Sampler[int]):
    """Indices of images, each drawn as often as its weight says: `DataLoader(dataset, sampler=MinedSampler(weights))`.

    An epoch has as many draws as there are images, all images alike where the weights are. All processes draw the same
    order and each takes its part of it, all of one length. Call `set_epoch` before each epoch; `state_dict` and
    `load_state_dict` continue an epoch where it was left.

    Args: weights: (num_images,) at least 0, in the order of the data set; `images.parquet` of a mined folder has them.
        rank, num_replicas: which of how many processes this is; None: as torch.distributed says, where it is used.
    Raises: ConfigError: weights that are not finite, are negative or all 0; a rank that there is not.
    """

    def __init__(
        self, weights: ArrayLike, seed: int = 0, *, rank: int | None = None, num_replicas: int | None = None
    ) -> None:
        self.weights = np.asarray(weights, dtype=float)
        if self.weights.ndim != 1 or not are_weights(self.weights):
            raise ConfigError("weights must be (num_images,), finite, at least 0 and not all 0")
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = rank if rank is not None else torch.distributed.get_rank() if distributed else 0
        world = torch.distributed.get_world_size() if distributed else 1
        self.num_replicas = num_replicas if num_replicas is not None else world
        if not 0 <= self.rank < self.num_replicas:
            raise ConfigError(f"got rank {self.rank} of {self.num_replicas} processes")
        self.seed, self.epoch, self.drawn = seed, 0, 0

    def __len__(self) -> int:
        return math.ceil(len(self.weights) / self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        """The rest of the epoch."""
        generator = torch.Generator().manual_seed(derive_seed("mined", self.seed, self.epoch))
        order = draw_images(self.weights, generator)[:, 0]
        own = np.resize(order, len(self) * self.num_replicas)[self.rank :: self.num_replicas].tolist()
        for index in own[self.drawn :]:
            self.drawn += 1
            yield index
        self.drawn = 0

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch; each has an order of its own."""
        self.epoch, self.drawn = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where it is. A `DataLoader` with workers asks some batches ahead."""
        return {"epoch": self.epoch, "drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self.epoch, self.drawn = int(state["epoch"]), int(state["drawn"])
