"""Every test starts from the same seed, on one thread, so that two test processes share two cores without fighting."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def shared() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("HARDMINE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not there ({folder}); set HARDMINE_SHARED to run this")
    return folder
