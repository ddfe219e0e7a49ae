from itertools import chain

import numpy as np
import pytest
import torch

from hardmine.data import open_dataset, training_transform
from hardmine.training import TrainingConfig
from hardmine.training.batches import BatchOrder, TrainingImages, derive_seed, draw_images, training_loader


def order(num_images, *, epoch=1, rank=0, num_processes=1, **options):
    batches = BatchOrder(num_images, TrainingConfig(**options), rank, num_processes)
    batches.epoch = epoch
    return list(batches)


@pytest.mark.parametrize(("num_images", "batch_size"), [(10, 4), (8, 4), (3, 8), (1, 5)])
def test_an_epoch_shows_every_image_in_full_batches(num_images, batch_size):
    batches = order(num_images, batch_size=batch_size)
    assert {image for _, image, _ in chain(*batches)} == set(range(num_images))
    assert {len(batch) for batch in batches} == {batch_size}
    assert len(batches) == -(-num_images // batch_size)


def test_the_order_depends_on_seed_and_epoch_only():
    assert order(20, recipe="focal", workers=2, lr=0.5) == order(20, recipe="ohem")
    assert order(20, seed=1) != order(20, seed=2)
    epochs = [[image for _, image, _ in chain(*order(20, epoch=epoch))] for epoch in (1, 2)]
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("num_images", [16, 13, 3])
def test_processes_share_the_global_batches(num_images):
    alone = order(num_images, batch_size=8)
    shares = [order(num_images, batch_size=4, rank=rank, num_processes=2) for rank in (0, 1)]
    assert [first + second for first, second in zip(*shares, strict=True)] == alone


def test_seeds_for_different_purposes_and_places_differ():
    seeds = {derive_seed(purpose, *at) for purpose in ("a", "b") for at in [(0,), (0, 0), (0, 1), (1, 0)]}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_an_augmentation_is_the_same_in_any_order_and_differs_between_epochs(small_data):
    images = TrainingImages(open_dataset(small_data, "train"), training_transform(), seed=0)
    first = {key: images[key][0] for key in [(1, 1, 0), *((epoch, 0, 0) for epoch in range(1, 10))]}
    again = {key: images[key][0] for key in reversed(first)}
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[1, 0, 0], first[epoch, 0, 0]) for epoch in range(2, 10))


def test_an_augmentation_leaves_the_random_stream_of_the_detector_alone(small_data):
    images = TrainingImages(open_dataset(small_data, "train"), training_transform(), seed=0)
    state = torch.get_rng_state()
    images[1, 0, 0]
    assert torch.equal(torch.get_rng_state(), state)


def test_loader_processes_change_nothing(small_data, small):
    dataset = open_dataset(small_data, "train")
    batches = [list(training_loader(dataset, small(), BatchOrder(10, small(), 0, 1), workers)) for workers in (0, 1)]
    for (images, targets), (other_images, other_targets) in zip(*batches, strict=True):
        assert all(map(torch.equal, images, other_images))
        assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(targets, other_targets, strict=True))


def test_starting_the_processes_of_a_loader_leaves_the_detectors_random_stream_alone(small_data, small):
    """They are started anew after a stop, and the training goes on as if it had not been stopped."""
    loader = training_loader(open_dataset(small_data, "train"), small(), BatchOrder(10, small(), 0, 1), 1)
    state = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), state)


def drawn(weights, seed=0):
    return draw_images(np.array(weights, dtype=float), torch.Generator().manual_seed(seed))


def test_images_are_drawn_as_often_as_their_weights_say():
    weights = np.random.default_rng(0).gamma(0.5, size=50)
    shares = weights * len(weights) / weights.sum()
    counts = np.stack([np.bincount(drawn(weights, seed)[:, 0], minlength=50) for seed in range(400)])
    assert (counts.sum(axis=1) == 50).all()
    assert ((counts == np.floor(shares)) | (counts == np.floor(shares) + 1)).all()
    assert counts.mean(axis=0) == pytest.approx(shares, abs=0.12)  # about five standard errors


def test_draws_of_an_image_are_told_apart_and_augmented_apart(small_data):
    draws = drawn([0, 3, 1, 0])
    assert sorted(map(tuple, draws.tolist())) == [(1, 0), (1, 1), (1, 2), (2, 0)]
    images = TrainingImages(open_dataset(small_data, "train"), training_transform(), seed=0)
    assert any(not torch.equal(images[1, 0, 0][0], images[1, 0, draw][0]) for draw in range(1, 10))


def test_processes_share_the_global_batches_of_weighted_images():
    weights = np.arange(13.0)
    options = {"batch_size": 4}
    shares = [list(BatchOrder(13, TrainingConfig(**options), rank, 2, weights)) for rank in (0, 1)]
    alone = list(BatchOrder(13, TrainingConfig(batch_size=8), 0, 1, weights))
    assert [first + second for first, second in zip(*shares, strict=True)] == alone
    assert all(image > 0 for _, image, _ in chain(*alone))
