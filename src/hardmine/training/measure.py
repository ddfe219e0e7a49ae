"""What a run costs, and on what it ran: peak memory, device and versions."""

import os
import platform
import resource
import sys
from pathlib import Path

import torch

from hardmine.files.versions import version_of

__all__ = ["environment", "peak_memory", "reset_peak_memory", "synchronize"]

_MIB = 2**20


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has finished, so that a clock read next means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak_memory(device: torch.device) -> None:
    """Starts a new peak, where the system can; where it cannot, the peak stays that of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: "5" resets VmHWM to the present use
    except OSError:
        return


def peak_memory(device: torch.device) -> tuple[float, str]:
    """The peak in MiB, and of what: tensors allocated on the GPU, or everything this process had in memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB, "allocated on the GPU"
    return _peak_resident_bytes() / _MIB, "resident in the process"


def _peak_resident_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def environment(device: torch.device, num_processes: int, framework: str = "torchvision") -> dict[str, object]:
    """The versions and the hardware that a result depends on. framework: the package that the detector is of."""
    packages = dict.fromkeys(("hardmine", "torch", "torchvision", framework, "accelerate", "faster-coco-eval", "numpy"))
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{package: version_of(package) for package in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": num_processes,
        "cpu_count": os.cpu_count(),
        "cpu_threads": torch.get_num_threads(),
    }
