"""The command that measures the claims of the field: what it asks for, and what it prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hardmine.cli.layout import Column, Table, table_of
from hardmine.cli.options import Out, Resume
from hardmine.cli.showing import show_all

if TYPE_CHECKING:
    from hardmine.claims.check import Checked

__all__ = ["claims"]


def claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Claims, by name or id (see docs/claims.md); all without any.", show_default=False),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="smoke (does it run?), small (built-in scenes, three seeds), or full (your --data).")
    ] = "small",
    out: Out = Path("runs/claims"),
    data: Annotated[
        str | None, typer.Option(help="Data set: COCO or VOC, for --scale full.", show_default="scenes")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds of each training.", show_default="of the scale: 1, 3 and 3")
    ] = None,
    resume: Resume = False,
    finished: Annotated[
        bool, typer.Option("--finished", help="Train nothing: judge what is finished in --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the commands of all trainings, each tried for its options.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at a time.", show_default="as compare")] = None,
) -> None:
    """Measure what papers and practice claim of hard examples: each claim with an interval and a verdict."""
    from hardmine.claims.check import check_claims, dry_run as commands
    from hardmine.claims.scales import scale_called
    from hardmine.claims.table import claims_called

    chosen, of = claims_called(names or ()), scale_called(scale, data, seeds)
    if dry_run:
        printed = commands(chosen, of, out)
        show_all(*printed, f"{len(printed)} trainings for {len(chosen)} claims; nothing was trained")
        return
    how: dict[str, Any] = {"resume": resume, "only_finished": finished, "jobs": jobs}
    checked = check_claims(chosen, of, out, **how)
    show_all(claims_table(checked), f"Results: claims.json, claims.md and runs in {out}")


def claims_table(checked: "list[Checked]") -> Table:
    """A row a claim, and under it one a contrast."""
    rows: list[tuple[str, ...]] = []
    for of in checked:
        rows.append((of.claim.slug, "", of.verdict))
        for finding in of.findings:
            interval = f"{finding.value:+.3f} [{finding.low:+.3f}, {finding.high:+.3f}]"
            rows.append((f"- {finding.text}", interval, finding.verdict))
    return table_of(Column("claim, and its contrasts", "words"), "95 % interval", "verdict", rows=rows)
