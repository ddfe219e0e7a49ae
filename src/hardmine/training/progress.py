"""What a user sees while a run goes: bars on a terminal, one log line per epoch elsewhere."""

import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader

from hardmine.files.printable import printable

__all__ = ["Reporter", "watch_work"]

logger = logging.getLogger("hardmine")

Part = TypeVar("Part")
MAIN = {"ap": "AP", "miou": "mIoU"}
"""What is shown of an evaluation."""


def watch_work(parts: Iterable[Part], total: int, what: str) -> Iterator[Part]:
    """Passes on parts of a long work as they are done: a bar on a terminal, elsewhere a log line each tenth."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task(printable(what), total=total)
        for number, part in enumerate(parts, start=1):
            yield part
            bars.advance(task)
            if not console.is_terminal and 10 * number // total > 10 * (number - 1) // total:
                logger.info("%s: %d of %d images", what, number, total)


class Reporter:
    """Shows loss, AP, images per second and the time left of one run.

    Bars appear on a terminal only; otherwise each epoch and message is one line of the logger `hardmine` (level INFO).

    Args:
        num_epochs, first_epoch: of the run, the latter greater than 1 when it is resumed.
        enabled: False keeps the bars away.
        is_main: False silences everything: only one of several processes speaks.
    """

    def __init__(self, num_epochs: int, first_epoch: int, *, enabled: bool, is_main: bool) -> None:
        console = Console(stderr=True)
        self.num_epochs, self.first_epoch = num_epochs, first_epoch
        self.is_main = is_main
        self.has_bars = is_main and enabled and console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self.has_bars,
        )
        self._training = self._bars.add_task("training", total=None, facts="")
        self._ap = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def steps(self, batches: DataLoader[Any], epoch: int) -> Iterator[Any]:
        """Passes the batches of an epoch on; the bar runs over all epochs, so that its time left is the run's."""
        num_steps = len(batches) * (self.num_epochs - self.first_epoch + 1)
        self._bars.update(self._training, description=f"epoch {epoch}/{self.num_epochs}", total=num_steps)
        for batch in batches:
            yield batch
            self._bars.advance(self._training)

    def show_step(self, loss: float, images_per_second: float) -> None:
        """Shows the latest step; call it only if `has_bars`, since reading a loss makes a GPU wait."""
        self._bars.update(self._training, facts=f"loss {loss:.3f}  {self._ap}{images_per_second:.1f} images/s")

    def evaluating(self, batches: DataLoader[Any]) -> Iterator[Any]:
        """Passes the batches of an evaluation on, under a bar of its own."""
        task = self._bars.add_task("evaluating", total=len(batches), facts="")
        for batch in batches:
            yield batch
            self._bars.advance(task)
        self._bars.remove_task(task)

    def epoch_done(self, row: dict[str, Any]) -> None:
        """Takes note of an epoch's row of `metrics.jsonl`, and says it where there are no bars."""
        known = (f"{name} {row[key]:.3f}  " for key, name in MAIN.items() if row.get(key) is not None)
        ap = next(known, "")
        self._ap = ap or self._ap
        if not self.has_bars:
            facts = f"loss {row['loss']:.4f}  {ap}{row['images_per_second']:.1f} images/s"
            self.say(f"epoch {row['epoch']}/{self.num_epochs}  {facts}")

    def say(self, message: str, level: int = logging.INFO) -> None:
        """One line for the user: above the bars, or into the log."""
        if self.has_bars:
            self._bars.console.print(printable(message), markup=False, highlight=False, soft_wrap=True)
        elif self.is_main:
            logger.log(level, message)
