"""Which images make up which batch, as a pure function of the seed.

Nothing here depends on the recipe, on the number of loader processes or on what ran before: the order comes from
(seed, epoch), an augmentation from (seed, epoch, image, how often it was drawn before). That pairs two runs of a
comparison image by image, and lets a killed run go on as if it had not been killed.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hardmine.data.transforms import collate, training_transform
from hardmine.training.config import TrainingConfig

__all__ = ["BatchOrder", "TrainingImages", "are_weights", "derive_seed", "draw_images", "training_loader"]


def derive_seed(purpose: str, *numbers: int) -> int:
    """A seed of 32 bits for one purpose at one place; no two purposes, seeds or epochs share a random stream."""
    return int.from_bytes(sha256(repr((purpose, *numbers)).encode()).digest()[:4])


class BatchOrder(Sampler[list[tuple[int, int, int]]]):
    """The batches of one process: lists of (epoch, image, draw); an epoch has as many draws as there are images.

    All processes draw the same order and each takes its part of every global batch, so that two processes with batches
    of 4 see what one sees with 8. The last global batch is filled up from the start of the order: all batches are full.
    Set `epoch` before iterating.

    Args: weights: (num_images,) how often each image should be drawn, relative to the others; None: each once.
    """

    def __init__(
        self, num_images: int, config: TrainingConfig, rank: int, num_processes: int, weights: np.ndarray | None = None
    ) -> None:
        self.num_images, self.config, self.rank, self.num_processes = num_images, config, rank, num_processes
        self.weights = np.ones(num_images) if weights is None else weights
        self.epoch = 0

    def __len__(self) -> int:
        return self.config.steps_per_epoch(self.num_images, self.num_processes)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        generator = torch.Generator().manual_seed(derive_seed("order", self.config.seed, self.epoch))
        drawn = draw_images(self.weights, generator)
        shape = len(self), self.num_processes, self.config.images_per_step
        places = np.resize(np.arange(self.num_images), shape)  # starts again from the front where images run out
        for batch in drawn[places[:, self.rank]].tolist():
            yield [(self.epoch, image, draw) for image, draw in batch]


def are_weights(weights: np.ndarray) -> bool:
    """Whether images can be drawn by them: finite, at least 0 and not all 0."""
    return bool(np.isfinite(weights).all() and (weights >= 0).all() and weights.any())


def draw_images(weights: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """(n, 2): as many images as there are weights, in random order, and which draw of the image each is.

    Systematic sampling: an image with weight w gets n·w/Σw draws, rounded up or down, so an epoch differs from its
    weights as little as it can, and equal weights give each image once.
    """
    num = len(weights)
    order = torch.randperm(num, generator=generator).numpy()
    start = float(torch.rand((), generator=generator, dtype=torch.float64))
    until = np.floor(np.cumsum(weights) * (num / weights.sum()) + start).astype(int)
    until[-1] = num  # whatever the rounding of the sum
    counts = np.diff(until, prepend=0)
    draw = np.arange(num) - np.repeat(until - counts, counts)
    return np.column_stack([np.repeat(np.arange(num), counts), draw])[order]


class TrainingImages(Dataset[tuple[Tensor, dict[str, Any]]]):
    """A data set under random augmentation that is the same whenever and wherever a draw of an epoch is asked for."""

    def __init__(self, dataset: Dataset[Any], transform: Callable[..., Any], seed: int) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[Tensor, dict[str, Any]]:
        epoch, image, draw = key
        with torch.random.fork_rng(devices=[]):  # leaves the detector's own random stream alone
            torch.default_generator.manual_seed(derive_seed("augmentation", self.seed, epoch, image, draw))
            return self.transform(*self.dataset[image])


def training_loader(
    dataset: Dataset[Any],
    config: TrainingConfig,
    order: BatchOrder,
    workers: int,
    augmentation: Callable[..., Any] | None = None,
) -> DataLoader[Any]:
    """Augmented batches of one process, in this order, as (list of images, list of targets).

    Args: augmentation: a transform that comes before flips and crops.
    """
    transform = training_transform(*config.flips, config.crop, augmentation)
    return DataLoader(
        TrainingImages(dataset, transform, config.seed),
        batch_sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
        # processes are started once, and again after a stop: that must not draw from the detector's random stream
        generator=torch.Generator() if workers else None,
    )
