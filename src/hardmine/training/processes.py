"""Processes that train or predict together, on a machine with GPUs or without."""

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from hardmine.errors import ConfigError
from hardmine.launch import num_started

__all__ = ["start_accelerator"]


def start_accelerator(precision: str | None = None, *, uses_all: bool = True) -> Accelerator:
    """What this process shares with those that were started with it by `torchrun` or `accelerate launch`.

    Without a GPU, accelerate takes each process of `torchrun` for the only one, unless it is told to use CPUs: all
    would do the same work, and write the same files. (`accelerate launch` itself starts one process there.)

    Args: precision: of training; None: as it is, or no other than float32.
        uses_all: every parameter of what is trained has a gradient in every step. Where some have none in some steps,
            processes must look for them, or they wait for each other.
    Raises: ConfigError: the precision cannot be had here, or the processes do not find each other.
    """
    on_cpus = num_started() > 1 and not torch.accelerator.is_available()
    try:
        parallel = DistributedDataParallelKwargs(find_unused_parameters=not uses_all)
        accelerator = Accelerator(mixed_precision=precision, cpu=on_cpus, kwargs_handlers=[parallel])
    except ValueError as error:  # fp16 without a GPU, or a second precision in one process
        raise ConfigError(f"precision {precision} cannot be had here: {error}") from error
    if accelerator.num_processes != num_started():
        raise ConfigError(
            f"{num_started()} processes were started, but each works as one of {accelerator.num_processes}; "
            "start them with `torchrun --nproc-per-node N -m hardmine ...`, or one alone"
        )
    return accelerator
