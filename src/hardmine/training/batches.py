"""Which images make up which batch, as a pure function of the seed.

Nothing here depends on the recipe, on the number of loader processes or on what ran before: the order comes from
(seed, epoch), an augmentation from (seed, epoch, image). That pairs two runs of a comparison image by image, and lets
a killed run go on as if it had not been killed.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hardmine.data import DetectionDataset
from hardmine.data.transforms import collate, training_transform
from hardmine.training.config import TrainingConfig

__all__ = ["BatchOrder", "TrainingImages", "derive_seed", "training_loader"]


def derive_seed(purpose: str, *numbers: int) -> int:
    """A seed of 32 bits for one purpose at one place; no two purposes, seeds or epochs share a random stream."""
    return int.from_bytes(sha256(repr((purpose, *numbers)).encode()).digest()[:4])


class BatchOrder(Sampler[list[tuple[int, int]]]):
    """The batches of one process: lists of (epoch, image), every image at least once an epoch over all processes.

    All processes draw the same order and each takes its part of every global batch, so that two processes with batches
    of 4 see what one sees with 8. The last global batch is filled up from the start of the order: all batches are full.
    Set `epoch` before iterating.
    """

    def __init__(self, num_images: int, config: TrainingConfig, rank: int, num_processes: int) -> None:
        self.num_images, self.config, self.rank, self.num_processes = num_images, config, rank, num_processes
        self.epoch = 0

    def __len__(self) -> int:
        return self.config.steps_per_epoch(self.num_images, self.num_processes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(derive_seed("order", self.config.seed, self.epoch))
        order = torch.randperm(self.num_images, generator=generator).numpy()
        shape = len(self), self.num_processes, self.config.batch_size
        global_batches = np.resize(order, shape)  # starts again from the front where images run out
        for batch in global_batches[:, self.rank]:
            yield [(self.epoch, int(image)) for image in batch]


class TrainingImages(Dataset[tuple[Tensor, dict[str, Any]]]):
    """A data set under random augmentation that is the same whenever and wherever an image of an epoch is asked for."""

    def __init__(self, dataset: DetectionDataset, transform: Callable[..., Any], seed: int) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, dict[str, Any]]:
        epoch, image = key
        with torch.random.fork_rng(devices=[]):  # leaves the detector's own random stream alone
            torch.default_generator.manual_seed(derive_seed("augmentation", self.seed, epoch, image))
            return self.transform(*self.dataset[image])


def training_loader(
    dataset: DetectionDataset, config: TrainingConfig, order: BatchOrder, workers: int
) -> DataLoader[Any]:
    """Augmented batches of one process, in this order, as (list of images, list of targets)."""
    transform = training_transform(*config.flips)
    return DataLoader(
        TrainingImages(dataset, transform, config.seed),
        batch_sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
    )
