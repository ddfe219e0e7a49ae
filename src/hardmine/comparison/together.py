"""Several trainings at a time on the cores of one machine, each in a process of its own.

Most operations of a small network are too short to be shared out to threads: two trainings of a small detector, on one
thread each, take little more time than one of them alone on two. So the threads are dealt out to processes. A process
trains one run after the other, and pays once for its start and for the built-in scenes.

The processes end with the one that started them, however that ends: each waits on a pipe of which only that one holds
the other end. Nothing is lost with them but the epoch that was begun, as with any training that is stopped.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any

import torch

from hardmine.detectors.torchvision.backbones import OWN_NETWORKS
from hardmine.errors import ConfigError, DivergedError, RunError
from hardmine.launch import num_started
from hardmine.training.config import TrainingConfig
from hardmine.training.loop import RunResult, train

__all__ = ["Job", "suitable_processes", "train_all", "train_together"]

logger = logging.getLogger("hardmine")

MOST_PROCESSES = 4
"""Without being asked for: each holds about a gigabyte, most of it libraries."""
MOST_S_DEAF = 1.0
"""Polars installs a handler of SIGINT after which the system goes on waiting: it is heard when the wait is over."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training of several: its place among them from 1, how it is called, what it is and where it goes.

    may_diverge: whether the others go on when its loss is no number any more; then it has no result.
    """

    number: int
    name: str
    config: TrainingConfig
    folder: Path
    may_diverge: bool = False


def suitable_processes(config: TrainingConfig, num_jobs: int) -> int:
    """As many as torch has threads, for the small detectors of our own on a CPU; one for all others.

    Large networks keep all threads busy by themselves, and need their memory once a process.
    """
    is_small = config.is_torchvisions and config.backbone in OWN_NETWORKS
    if _shares_a_device() or not is_small:
        return 1
    return min(torch.get_num_threads(), num_jobs, MOST_PROCESSES)


def train_all(
    jobs: Sequence[Job], num_processes: int, *, resume: bool, progress: bool = True
) -> list[RunResult | None]:
    """Trains one after the other, with bars, or several at a time; None in the place of one that diverged."""
    if num_processes > 1:
        return train_together(jobs, num_processes, resume=resume)
    results = []
    for job in jobs:
        logger.info("run %d of %d: %s", job.number, len(jobs), job.name)
        results.append(_result(job, resume, progress))
    return results


def train_together(jobs: Sequence[Job], num_processes: int, *, resume: bool) -> list[RunResult | None]:
    """Trains in so many processes, each on its share of the threads; returns the results in the order of the jobs.

    The jobs are begun in their order. What they log is logged here, under their names; there are no bars.

    Raises:
        ConfigError: this is one of several processes, or there is a GPU: what is shared cannot be dealt out.
        RunError: a process was ended from outside.
        Whatever a training raises, after the others have been stopped.
    """
    if _shares_a_device():
        raise ConfigError(
            f"{num_processes} trainings at a time need a CPU and one process; leave --jobs out, or give 1"
        )
    try:
        with _pool(num_processes) as pool:
            with _interrupts_ignored():  # which the processes inherit, and which holds while they import
                futures = [pool.submit(_train, job, len(jobs), resume) for job in jobs]
            return _results(futures)
    except KeyboardInterrupt:
        logger.warning("stopped; continue with the same command and --resume")
        raise
    except BrokenProcessPool as error:
        raise RunError(
            "a training was ended from outside, perhaps for want of memory; continue with --resume and --jobs 1"
        ) from error


def _shares_a_device() -> bool:
    return num_started() > 1 or torch.accelerator.is_available()


@contextmanager
def _pool(num_processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share the threads of this one; whatever they still do when it is left is ended."""
    context = multiprocessing.get_context("spawn")  # a fork would copy threads that hold locks
    lifeline, held = context.Pipe(duplex=False)
    records = context.Queue()
    threads = max(1, torch.get_num_threads() // num_processes)
    given = (threads, logger.getEffectiveLevel(), lifeline, records)
    with (
        lifeline,
        _logged_here(records),
        ProcessPoolExecutor(num_processes, context, _begin, given) as pool,
        held,  # let go of first: the pool waits for its processes
    ):
        yield pool


def _results(futures: Sequence[Future[RunResult | None]]) -> list[RunResult | None]:
    """Waits for all, or for the first that fails, whose error it raises."""
    going: set[Future[RunResult | None]] = set(futures)
    while going:
        finished, going = wait(futures, MOST_S_DEAF, FIRST_EXCEPTION)
        for future in finished:
            future.result()
    return [future.result() for future in futures]


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A terminal sends an interrupt to all processes; the one that started the others decides."""
    if current_thread() is not main_thread():  # only that one may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _logged_here(records: Any) -> Iterator[None]:
    """What other processes put into the queue goes to the loggers of this one."""
    listener = QueueListener(records, _Relay())
    listener.start()
    try:
        yield
    finally:
        listener.stop()


class _Relay(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


def _begin(threads: int, level: int, lifeline: Any, records: Any) -> None:
    """Prepares a process that trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pool sends it to all if one ends; the lifeline does that better
    Thread(target=_end_with, args=(lifeline, records), daemon=True).start()
    torch.set_num_threads(threads)
    logging.basicConfig(handlers=[QueueHandler(records)])
    logger.setLevel(level)


def _end_with(lifeline: Any, records: Any) -> None:
    """Ends this process when nobody holds the other end any more."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    logging.disable()
    records.close()
    records.join_thread()  # not in the middle of a record, of which the reader would wait for the rest
    os._exit(1)


def _train(job: Job, num_jobs: int, resume: bool) -> RunResult | None:
    (handler,) = logging.getLogger().handlers
    handler.setFormatter(logging.Formatter(f"{job.name.replace('%', '%%')}: %(message)s"))
    logger.info("run %d of %d", job.number, num_jobs)
    return _result(job, resume, progress=False)


def _result(job: Job, resume: bool, progress: bool) -> RunResult | None:
    try:
        return train(job.config, job.folder, resume=resume, progress=progress)
    except DivergedError as error:
        if not job.may_diverge:
            raise
        logger.warning("%s", error)
        return None
