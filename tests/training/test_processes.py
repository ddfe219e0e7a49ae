import os
import subprocess
import sys

import pytest

from hardmine.errors import ConfigError
from hardmine.training.processes import start_accelerator

SCRIPT = """
from hardmine.training.processes import start_accelerator
for _ in range(2):
    accelerator = start_accelerator()
    print(f"process {accelerator.process_index} of {accelerator.num_processes}\\n", end="", flush=True)
accelerator.end_training()
"""
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def test_processes_that_are_started_together_work_together(tmp_path):
    """On a machine without a GPU too, where accelerate has to be told."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", *TORCHRUN, str(tmp_path / "script.py")]
    no_gpu = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=no_gpu, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["process 0 of 2"] * 2 + ["process 1 of 2"] * 2


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch):
    assert start_accelerator().num_processes == 1
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match=r"3 processes were started, .* one of 1; .*`torchrun"):
        start_accelerator()
