"""A data set of a few small images on disk, and configurations that train on it within a second."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from hardmine.data import open_scenes
from hardmine.training import TrainingConfig
from tests.seen_masks import masked, masked_data
from tests.seen_runs import dense, few, others, run_of, two_stage
from tests.stand_in import with_stand_in

__all__ = [
    "dense",
    "few",
    "masked",
    "masked_data",
    "one_thread",
    "others",
    "run_of",
    "small",
    "small_data",
    "stand_in",
    "two_stage",
]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, for subprocesses and for fixtures of modules too: equal bits need equal numbers of threads."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO data set: 10 training and 5 validation images of 64x64 pixels; category ids start at 1."""
    folder = tmp_path_factory.mktemp("small")
    for split, num_images in (("train", 10), ("val", 5)):
        scenes = open_scenes(split, num_images=num_images, size=64)
        truth = scenes.coco_ground_truth()
        for index, image in enumerate(truth["images"]):
            image["file_name"] = f"{split}_{index}.png"
            Image.fromarray(scenes.pixels(index)).save(folder / image["file_name"])
        (folder / f"{split}.json").write_text(json.dumps(truth))
    return folder


@pytest.fixture(scope="session")
def small(small_data: Path) -> Callable[..., TrainingConfig]:
    """Makes a configuration of two epochs of three steps, with any option changed."""

    def make(**options: Any) -> TrainingConfig:
        plain = {"data": str(small_data), "detector": "retinanet", "backbone": "tiny", "image_size": 64, "epochs": 2}
        return TrainingConfig.from_dict(plain | {"batch_size": 4, "workers": 0} | options)

    return make


@pytest.fixture
def stand_in() -> Iterator[None]:
    """Detectors of a framework that computes its losses itself, `standin:dense` and `standinsets:set`."""
    with with_stand_in():
        yield
