"""Ours against others', operation by operation, in turn in one process and on the same inputs.

First both answers are compared; then both calls alternate, and the ratio of their times is the median over rounds.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.case import Case, measure
from benchmarks.cases import GROUPS
from benchmarks.machine import describe
from benchmarks.page import summary

RESULT = Path(__file__).parent / "results" / "peers.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="a group, or groups and operations with this in their name")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console, rows = Console(), []
    for case in chosen(options.only, options.quick):
        rows += (new := measure(case, options.rounds))
        for row in new:
            console.print(line(row), soft_wrap=True)
    if not rows:
        parser.error(f"nothing is called {options.only!r}")
    console.print(table(rows), summary(rows))
    options.out.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1) + "\n")
    console.print(f"Results: {options.out}")


def chosen(text: str, quick: bool) -> Iterator[Case]:
    groups = {text: GROUPS[text]} if text in GROUPS else GROUPS  # of a group no peer of another is asked for
    for name, cases in groups.items():
        for case in cases(quick):
            if text.lower() in f"{name} {case.operation}".lower():
                yield case


def line(row: dict[str, Any]) -> str:
    differs = (
        f"  [red]{row['differs'] or row['compiled_differs']}[/]" if row["differs"] or row["compiled_differs"] else ""
    )
    return f"{row['operation']} {row['size']} against {row['peer']}: x{row['ratio']:.2f}{differs}"


def table(rows: Iterable[dict[str, Any]]) -> Table:
    table = Table(title="ours against others: time of theirs over time of ours")
    for name in ("operation", "size", "peer", "ratio", "quartiles", "ours ms", "copies", "peak MB", "theirs"):
        table.add_column(name, justify="left" if name in ("operation", "size", "peer") else "right")
    for row in rows:
        table.add_row(
            f"{row['operation']} ({row['ours']})", row["size"], row["peer"], f"{row['ratio']:.2f}",
            f"{row['low']:.2f}-{row['high']:.2f}", f"{row['ours_ms']:.1f}", f"{row['copies']:.1f}",
            f"{row['peak_mb']:.0f}", f"{row['peer_peak_mb']:.0f}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
