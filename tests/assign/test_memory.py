"""Crowded scenes must fit: an assigner compares objects with samples in parts of bounded size.

Counted on meta tensors, which have shapes and no data: exact, and over in no time.
"""

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hardmine import ATSS, FCOSPoints, GroundTruth, MaxIoU, SimOTA, TaskAligned
from hardmine.assign import base
from hardmine.core.samples import Levels, Predictions

CELLS, ANCHORS, STRIDES = (10240, 2560, 640, 160, 40), 9, (8.0, 16.0, 32.0, 64.0, 128.0)
LEVELS = Levels(tuple(cells * ANCHORS for cells in CELLS), STRIDES, (ANCHORS,) * len(CELLS))
N, C, MEGABYTE = 122_760, 80, 10**6
ASSIGNERS = [MaxIoU(), FCOSPoints(), ATSS(), TaskAligned(), SimOTA()]


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside have held at a time."""

    def __enter__(self) -> "LiveBytes":
        self.now, self.peak = 0, 0
        self.known: set[int] = set()
        return super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in given | self.known:
                self.add(each.untyped_storage())
        return out

    def add(self, storage: torch.UntypedStorage) -> None:
        self.known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.drop, storage._cdata, storage.nbytes())

    def drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@pytest.fixture
def peak_of():
    def measure(assigner, images: int, objects: int) -> int:
        boxes, gt = torch.empty(images, N, 4, device="meta"), torch.empty(images, objects, 4, device="meta")
        is_object = torch.empty(images, objects, dtype=torch.bool, device="meta")
        ground_truth = GroundTruth(gt, is_object.long(), is_object, gt[:, :3])
        predictions = Predictions(boxes.clone(), torch.empty(images, N, C, device="meta"))
        with LiveBytes() as live:
            assigner(boxes, ground_truth, levels=LEVELS, predictions=predictions)
        assert live.now < 10 * images * MEGABYTE  # the count sees tensors go as well as come
        return live.peak

    return measure


@pytest.fixture
def as_on_a_cpu(monkeypatch):
    monkeypatch.setitem(base.PAIRS_AT_A_TIME, "meta", base.PAIRS_AT_A_TIME["cpu"])


def test_the_count_sees_what_comes_and_goes():
    with LiveBytes() as live:
        kept = torch.zeros(10**6, dtype=torch.uint8)
        gone = torch.ones(3 * 10**6, dtype=torch.uint8)
        view = kept[5:]
        del gone
        view.clone()
    assert (live.now, live.peak) == (10**6, 4 * 10**6)


@pytest.mark.usefixtures("as_on_a_cpu")
@pytest.mark.parametrize("assigner", ASSIGNERS, ids=lambda a: type(a).__name__)
def test_three_hundred_objects_among_all_anchors_of_an_image(assigner, peak_of):
    assert peak_of(assigner, 1, 300) < 150 * MEGABYTE


@pytest.mark.usefixtures("as_on_a_cpu")
@pytest.mark.parametrize("assigner", ASSIGNERS, ids=lambda a: type(a).__name__)
def test_memory_hardly_grows_with_the_objects(assigner, peak_of):
    assert peak_of(assigner, 2, 200) < peak_of(assigner, 2, 50) + 50 * MEGABYTE


@pytest.mark.parametrize("assigner", ASSIGNERS, ids=lambda a: type(a).__name__)
def test_on_other_devices_more_is_compared_at_a_time_and_no_more_than_that(assigner, peak_of):
    assert peak_of(assigner, 4, 300) < 1000 * MEGABYTE
