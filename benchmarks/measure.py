"""Time, as a ratio of calls that take turns, and memory, as what a call allocates."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler tells of its every start, once torch has been imported

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["Timing", "alternate", "alternately", "in_turn", "milliseconds", "peak_bytes", "quartiles", "written_bytes"]

Call = Callable[[], object]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over rounds; ratio is the peer's time over ours of the same round, low and high its quartiles."""

    ours_ms: float
    peer_ms: float
    ratio: float
    low: float
    high: float
    rounds: int


def alternate(ours: Call, peer: Call, rounds: int = 9) -> Timing:
    """Both once to warm up, then in turn, whoever is first changing every round."""
    times = in_turn([ours, peer], rounds)
    low, middle, high = quartiles([peer_ms / ours_ms for ours_ms, peer_ms in times])
    ours_ms, peer_ms = (statistics.median(column) for column in zip(*times, strict=True))
    return Timing(ours_ms, peer_ms, middle, low, high, rounds)


def in_turn(calls: Sequence[Call], rounds: int) -> list[list[float]]:
    """Milliseconds of each call in each round, after a call of each."""
    for call in calls:
        elapsed(call)
    return alternately([partial(elapsed, call) for call in calls], rounds)


def alternately(calls: Sequence[Callable[[], Answer]], rounds: int) -> list[list[Answer]]:
    """What each call answers in each round; every other round goes the other way round."""
    return [_round(calls, backwards=bool(number % 2)) for number in range(rounds)]


def _round(calls: Sequence[Callable[[], Answer]], *, backwards: bool) -> list[Answer]:
    if backwards:
        return _round(calls[::-1], backwards=False)[::-1]
    return [call() for call in calls]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return low, middle, high


def milliseconds(function: Call, rounds: int = 9) -> float:
    """Median over rounds, after one call to warm up."""
    elapsed(function)
    return statistics.median(elapsed(function) for _ in range(rounds))


def elapsed(function: Call) -> float:
    _wait()
    start = time.perf_counter()
    function()
    _wait()
    return (time.perf_counter() - start) * 1e3


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes(function: Call) -> int:
    """Most bytes that are alive at once during a call, beyond those alive before it."""
    if torch.cuda.is_available():
        return _peak_on_gpu(function)
    alive = peak = 0
    for size in _allocations(function):
        alive += size
        peak = max(peak, alive)
    return peak


def _peak_on_gpu(function: Call) -> int:
    function()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def written_bytes(function: Call) -> int:
    """Size of everything that a call allocates: what it writes, and mostly reads again."""
    return sum(size for size in _allocations(function) if size > 0)


def _allocations(function: Call) -> list[int]:
    """What a call allocates (above 0) and frees (below 0), in time; that of compiled code too."""
    function()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
