"""What was found of the claims as a page: a table of verdicts, and below it the numbers of each claim by seed.

It is made of the entries of `claims.json` alone, so the same entries give the same page.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hardmine.claims.scales import SCALES
from hardmine.claims.table import CLAIMS
from hardmine.errors import DataError, RunError
from hardmine.files.reading import parse_json, read_text

__all__ = ["COLUMNS", "NOT_MEASURED", "NOT_RUN", "as_markdown", "merged", "read_entries"]

Entry = Mapping[str, Any]
COLUMNS = ("claim", "what the field says", "published", "measured here", "verdict", "where")
NOT_RUN, NOT_MEASURED = "not run yet", "not measured"
HEAD = """# The claims of the field, measured

Written by `hardmine claims`, which trains what each claim needs and judges it; see `hardmine claims --help`. Below the
table are the numbers by seed. Where it says small, detectors are tiny, trained from scratch on the built-in scenes for
a few epochs: a verdict holds for that, and not for COCO. `--scale full` is there to find out.

A number is a contrast with the 95 % interval that holds for all contrasts of its claim at once, over seeds, and over
the measured images where they say anything of it. **Holds**: all intervals lie on the side that the claim says. **Does
not hold**: one lies on the other side. **Undecided**: one includes zero. One seed gives no verdict.
"""


def read_entries(file: Path) -> list[Entry]:
    """The entries of a `claims.json`; none where there is no such file.

    Raises: RunError: it is damaged.
    """
    if not file.exists():
        return []
    try:
        entries = parse_json(read_text(file))["claims"]
        return [entry for entry in entries if entry["slug"]]
    except (DataError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error!r}); delete it: what was trained is not lost") from error


def merged(before: Iterable[Entry], new: Iterable[Entry]) -> list[Entry]:
    """The new entries, and those of other claims from before, in the order of the table.

    One that was not run takes no other's place.
    """
    found = {entry["slug"]: entry for entry in before}
    by_slug = {entry["slug"]: entry for entry in new if entry["verdict"] != NOT_RUN or entry["slug"] not in found}
    by_slug = found | by_slug
    return [by_slug[claim.slug] for claim in CLAIMS if claim.slug in by_slug]


def as_markdown(entries: Sequence[Entry]) -> str:
    """The page; claims without an entry are not run yet."""
    by_slug = {entry["slug"]: entry for entry in entries}
    rows = [
        _row(claim.slug, claim.ids, by_slug.get(claim.slug, {"slug": claim.slug, **_said(claim)})) for claim in CLAIMS
    ]
    table = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *map(_line, rows)]
    details = [_details(by_slug.get(claim.slug, {"slug": claim.slug, **_said(claim)})) for claim in CLAIMS]
    return "\n".join([HEAD, _schedule(), "", _summary(row[4] for row in rows), "", *table, "", *details])


def _schedule() -> str:
    """How the small scale trains."""
    small = SCALES["small"]
    of_detectors = [f"{name}: {_options(of)}" for name, of in small.of_detector.items()]
    trained = "; ".join([f"{len(small.seeds)} seeds, {_options(small.changes)}", *of_detectors])
    return f"Small: {trained}; the rest as `hardmine train` has it."


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())


def _summary(verdicts: Iterable[str]) -> str:
    """How many claims have each verdict."""
    counts = Counter(verdicts)
    return "; ".join(f"{verdict}: {num}" for verdict, num in counts.most_common()) + "."


def _said(claim: Any) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in ("words", "source", "published")}


def _row(slug: str, ids: Sequence[str], entry: Entry) -> list[str]:
    findings = entry.get("findings", ())
    measured = "<br>".join(map(_finding, findings)) or entry.get("problem") or f"`{command(slug)}`"
    where = _where(entry) if findings else ""
    verdict = entry.get("verdict", NOT_RUN)
    return [
        f"`{slug}` ({', '.join(ids)})",
        f"{entry['words']} ({entry['source']})",
        entry["published"],
        measured,
        verdict,
        where,
    ]


def command(slug: str, scale: str = "small") -> str:
    """What checks a claim."""
    return f"hardmine claims {slug} --scale {scale} --out runs/claims --resume"


def _finding(finding: Entry) -> str:
    verdict = finding["verdict"]
    interval = f"[{_number(finding['low'])}, {_number(finding['high'])}]"
    return f"{finding['text']}: {_number(finding['value'])} {interval}, {verdict}"


def _number(value: float) -> str:
    """Signed, with three decimals, and no 0 before the point."""
    return f"{value:+.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:+.2f}"


def _where(entry: Entry) -> str:
    num = len(entry["seeds"])
    return f"{entry['scale']}: {entry['data']}, {num} seed{'s' * (num != 1)}"


def _details(entry: Entry) -> str:
    lines = [f"## {entry['slug']}", "", entry["words"], ""]
    if not entry.get("findings"):
        return "\n".join([*lines, f"Not run yet: `{command(entry['slug'])}`", ""])
    lines += [
        f"Trained: {', '.join(f'`{cell}`' for cell in entry['cells']) or 'nothing'}. {entry['notes']}".strip(),
        "",
    ]
    lines += [
        f"- {finding['text']}, by seed: {_by_seed(finding['by_seed'], signed=True)}" for finding in entry["findings"]
    ]
    lines += [f"- {name}: {_by_seed(values)}" for name, values in entry["numbers"].items()]
    return "\n".join([*lines, ""])


def _by_seed(values: Sequence[float], *, signed: bool = False) -> str:
    return ", ".join(_number(value) if signed else f"{value:.3f}".replace("0.", ".", 1) for value in values)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
