import json
import sys

import numpy as np
import pytest
import torch

from hardmine.training.measure import environment, peak_memory, reset_peak_memory, synchronize

CPU = torch.device("cpu")


def test_the_peak_on_a_cpu_is_that_of_the_process():
    megabytes, of_what = peak_memory(CPU)
    assert of_what == "resident in the process"
    assert 50 < megabytes < 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak of a process")
def test_a_reset_forgets_an_earlier_peak():
    np.ones(200 * 2**20, dtype=np.uint8)  # freed at once
    high, _ = peak_memory(CPU)
    reset_peak_memory(CPU)
    low, _ = peak_memory(CPU)
    assert low < high - 100


def test_the_environment_is_plain_json():
    facts = environment(CPU, 2)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["torch"] == torch.__version__.split("+")[0]
    assert facts["device"] == "cpu"
    assert facts["processes"] == 2
    synchronize(CPU)
