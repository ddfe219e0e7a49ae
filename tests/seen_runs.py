"""Small runs on a few of the built-in scenes, trained once, and what is seen through them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardmine.training import TrainingConfig, train
from hardmine.training.evidence import TrainedRun, open_run
from tests.stand_in import DENSE, SETS, with_stand_in


@contextmanager
def few_scenes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 12, "val": 4})
        yield


@pytest.fixture
def few() -> Iterator[None]:
    """The built-in scenes, but few of them, while the test runs."""
    with few_scenes():
        yield


@pytest.fixture(scope="session")
def run_of(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a finished run of a detector: one epoch of three steps."""
    folder = tmp_path_factory.mktemp("runs")

    def make(detector: str) -> Path:
        out = folder / detector.replace(":", "_")
        if not out.exists():
            config = TrainingConfig(detector=detector, image_size=64, batch_size=4, epochs=1)
            with few_scenes(), with_stand_in():
                train(config, out, progress=False)
        return out

    return make


@pytest.fixture(scope="session")
def dense(run_of) -> TrainedRun:
    with few_scenes():
        return open_run(run_of("retinanet"))


@pytest.fixture(scope="session")
def two_stage(run_of) -> TrainedRun:
    with few_scenes():
        return open_run(run_of("fasterrcnn"))


@pytest.fixture(scope="session", params=[DENSE, SETS])
def others(request, run_of) -> TrainedRun:
    """Runs of detectors whose framework computes the losses itself."""
    with few_scenes(), with_stand_in():
        yield open_run(run_of(request.param))
