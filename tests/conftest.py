"""Every test starts from the same seed, on one thread, so that two test processes share two cores without fighting."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)
