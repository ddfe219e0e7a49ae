"""The page: everything read, pictures cut, one HTML file written last.

The file needs nothing but itself and, for the gallery, the folder of pictures beside it: style, script and charts are
in it, and a policy in its head forbids the browser to fetch anything else. What comes from outside (names of recipes,
classes, files) is text everywhere: escaped by jinja2, escaped in the JSON for the script, set as text by the script.
"""

import base64
import json
import platform
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeGuard
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hardmine.errors import ConfigError, RunError, what_failed
from hardmine.figures.epochs import Rows
from hardmine.figures.figure import Panel
from hardmine.files.versions import version_of
from hardmine.files.writing import is_taken, write_new
from hardmine.report.compared import Across, Compared, read_across, read_compared, read_rounds
from hardmine.report.curves import learning_panels, rows_of, runs_of
from hardmine.report.diagnosed import Diagnosed, read_diagnosis
from hardmine.report.drawing import NUM_STYLES, chart, legend_of
from hardmine.report.examples import LEAST_SCORE, MOST_PREDICTIONS, read_examples
from hardmine.report.gallery import Gallery, gallery_of, source_of
from hardmine.report.inputs import Given, read_facts, recognise
from hardmine.report.mask_examples import mask_gallery_of, read_mask_examples
from hardmine.report.names import measure_name, shown
from hardmine.report.pictures import Source, cut_pictures
from hardmine.report.precision_recall import precision_recall_panels

__all__ = ["MOST", "embedded", "write_report"]

MOST = 2000
"""Examples of a kind that a page shows unless told otherwise."""
MOST_KINDS = 8
"""Kinds of examples that the line above a gallery counts; of masks there may be as many as pairs of classes."""
LARGE = 1000
"""From here on numbers are whole and have commas."""
ASSETS, HARDNESS = "assets", "hardness"
SUFFIXES = (".html", ".htm")
CALLED = {
    "comparisons": "comparison on several data sets",
    "rounds": "loop",
    "mined": "mined folder",
    "mined masks": "mined masks",
}
FACTS = ("hardmine", "torch", "torchvision", "python", "platform", "device", "processes", "cpu_count")


@dataclass(frozen=True, slots=True)
class Curves:
    """Panels with their legend.  last: (name, last line of `metrics.jsonl`) of each run.  note: why there is none.
    top: of the y-axes, where all have the same.
    """

    title: str
    panels: Sequence[Panel]
    last: Sequence[tuple[str, Mapping[str, Any]]] = ()
    note: str = ""
    top: float | None = None

    @property
    def legend(self) -> list[tuple[str, int]]:
        return legend_of(self.panels)


@dataclass(slots=True)
class Contents:
    """What is on the page."""

    facts: list[Mapping[str, Any]] = field(default_factory=list)
    across: list[Across] = field(default_factory=list)
    compared: list[tuple[Compared, list[Curves]]] = field(default_factory=list)
    rounds: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)
    curves: list[Curves] = field(default_factory=list)
    diagnosed: list[Diagnosed] = field(default_factory=list)
    galleries: list[tuple[Gallery, Source]] = field(default_factory=list)


def write_report(
    paths: Sequence[Path], out: Path, *, most: int = MOST, images: Path | None = None, command: str = ""
) -> None:
    """Writes a page about runs, comparisons, mined folders and diagnoses; pictures go into a folder beside it.

    Args: most: examples of a kind in a gallery.  images: the folder of the images, if the mined folder does not say it.
        command: what the page says it was made by.
    Raises: ConfigError: no path, another suffix than .html.  DataError, RunError: a folder that cannot be used, or a
        page that is there already or cannot be written.
    """
    if not paths:
        raise ConfigError("there is nothing to report on: give the folder of a run, a comparison or a mined folder")
    pictures = _check_out(out)
    given = [one for path in paths for one in recognise(path)]
    contents = _read(given, most, images)
    with _new_folder(pictures) as folder:
        cut = _cut(contents.galleries, folder)
    scripts = [
        gallery.for_script(f"{quote(pictures.name)}/{number}", wrong)
        for number, (gallery, wrong) in enumerate(cut, start=1)
    ]
    try:
        write_new(out, _render(contents, scripts, [wrong for _, wrong in cut], command).encode())
    except BaseException:  # pictures without a page are of no use to anybody
        shutil.rmtree(pictures, ignore_errors=True)
        raise


def _check_out(out: Path) -> Path:
    """Says what is wrong before anything is read; returns the folder of the pictures."""
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"a report is a page, got --out {out}; expected a file that ends in .html")
    if not out.parent.is_dir():
        raise ConfigError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    pictures = out.with_name(f"{out.stem}_files")
    for path in (out, pictures):
        if is_taken(path):
            raise RunError(f"{path} exists already; remove it, or choose another page with --out")
    return pictures


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that is there under its own name once all is done; an empty one is not kept."""
    try:
        with TemporaryDirectory(prefix=f".{path.name[:60]}.", dir=path.parent) as parent:
            unfinished = Path(parent) / "files"
            unfinished.mkdir()
            yield unfinished
            if any(unfinished.iterdir()):
                unfinished.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {what_failed(error)}") from error


def _cut(galleries: Sequence[tuple[Gallery, Source]], folder: Path) -> list[tuple[Gallery, dict[int, str]]]:
    found = []
    for number, (gallery, source) in enumerate(galleries, start=1):
        wrong = cut_pictures(gallery.wanted, source, folder / str(number))
        if gallery.maps is not None:
            wrong = cut_pictures(gallery.wanted, gallery.maps, folder / str(number) / HARDNESS) | wrong
        found.append((gallery, wrong))
    return found


def _read(given: Sequence[Given], most: int, images: Path | None) -> Contents:
    contents = Contents()
    runs: dict[str, list[Path]] = {}
    for one in given:
        contents.facts.append(_about(one))
        match one.kind:
            case "comparison":
                contents.compared.append(_with_curves(read_compared(one.folder, one.facts)))
            case "comparisons":
                across, compared = read_across(one.folder, one.facts)
                contents.across.append(across)
                contents.compared += map(_with_curves, compared)
            case "rounds":
                contents.rounds.append(read_rounds(one.folder, one.facts))
            case "run":
                runs.setdefault(_name_of(one.folder, runs), []).append(one.folder)
            case "diagnosis":
                contents.diagnosed.append(read_diagnosis(one.folder, one.facts))
            case "mined":
                examples = read_examples(one.folder, most)
                source = source_of(one.facts, examples, images)
                contents.galleries.append((gallery_of(one.folder, one.facts, examples), source))
            case "mined masks":
                examples, maps = read_mask_examples(one.folder, most)
                source = source_of(one.facts, examples, images)
                contents.galleries.append((mask_gallery_of(one.folder, one.facts, examples, maps), source))
    if runs:
        contents.curves = _curves(runs)
    return contents


def _name_of(run: Path, taken: Mapping[str, Any]) -> str:
    """The last part of the path, or as many as tell it from the others."""
    parts = run.absolute().parts
    names = ["/".join(parts[-num:]) for num in range(1, len(parts) + 1)]
    return next((name for name in names if name not in taken), names[-1])


def _with_curves(compared: Compared) -> tuple[Compared, list[Curves]]:
    """Of many recipes, the curves of the first, and of those with the highest AP, or mIoU."""
    table = compared.tables[0]
    first, *others = compared.tables[0].rows
    best = sorted(others, key=lambda row: -(row["measures"][table.main]["mean"] or 0.0))[: NUM_STYLES - 1]
    drawn = [first, *(row for row in others if row in best)]
    curves = _curves(runs_of(compared.folder, drawn))
    if len(best) < len(others):
        said = f"Drawn are {shown(first['recipe'])} and the {len(best)} recipes with the highest {table.called}."
        curves = [replace(one, note=f"{one.note} {said}".strip()) for one in curves]
    return compared, curves


def _curves(runs: Mapping[str, Sequence[Path]]) -> list[Curves]:
    rows: dict[str, list[Rows]] = {name: [rows_of(run) for run in of] for name, of in runs.items()}
    last = [(_called(name, run, len(of)), found[-1]) for name, of in runs.items()
            for run, found in zip(of, rows[name], strict=True) if found]  # fmt: skip
    panels, note = precision_recall_panels(runs)
    learnt = learning_panels(rows)
    note_of_runs = "" if learnt else "No learning curves: the folders of the runs are not there."
    return [
        Curves("Learning curves", learnt, last, note_of_runs),
        Curves("Precision and recall", panels, note=note, top=1.0),
    ]


def _called(name: str, run: Path, num: int) -> str:
    return f"{name}, {run.name}" if num > 1 else name


def _about(one: Given) -> dict[str, Any]:
    """A line of the table on what the page is made of."""
    file = {
        "run": "metrics.jsonl", "mined": "suspects.parquet", "mined masks": "regions.parquet", "rounds": "rounds.json",
        "diagnosis": "diagnosis.json",
    }  # fmt: skip
    made = (one.folder / file.get(one.kind, "compare.json")).stat().st_mtime
    config = one.facts.get("config") if isinstance(one.facts.get("config"), dict) else one.facts
    environment = one.facts.get("environment") or _environment_of(one)
    return {
        "what": CALLED.get(one.kind, one.kind),
        "folder": str(one.folder / "diagnosis.json" if one.kind == "diagnosis" else one.folder),
        "made": datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "data": (config or {}).get("data"),
        "detector": (config or {}).get("detector"),
        "environment": {name: environment[name] for name in FACTS if name in environment},
    }


def _environment_of(one: Given) -> Mapping[str, Any]:
    file = one.folder / "env.json"
    if one.kind == "run" and file.exists():
        return read_facts(file)
    return {name: one.facts[name] for name in FACTS if name in one.facts}


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("hardmine.report", ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "measure": measure_name,
        "chart": chart,
        "embedded": embedded,
        "fixed": _fixed,
    }
    environment.globals |= {"shell": shlex.quote, "legend": legend_of}
    environment.tests["number"] = _is_number
    return environment


def _fixed(value: object, form: str) -> str:
    """A number as it is read; what others wrote where one should be, as it is."""
    if not _is_number(value):
        return shown(value)
    if form.endswith("g") and abs(value) >= LARGE:
        form = ",.0f"
    return format(int(value) if form.endswith("d") else value, form)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def embedded(value: object) -> Markup:
    """JSON that may stand in a script element: no end of the element, no separator of lines, only ASCII."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


def _render(
    contents: Contents, scripts: Sequence[Mapping[str, Any]], wrong: Sequence[Mapping[int, str]], command: str
) -> str:
    style, script = (
        files("hardmine.report").joinpath(ASSETS, name).read_text("utf-8") for name in ("page.css", "page.js")
    )
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    return (
        _templates()
        .get_template("page.html")
        .render(
            contents=contents,
            scripts=scripts,
            wrong=wrong,
            command=command,
            style=Markup(style),
            script=Markup(script),
            script_digest=digest,
            version=version_of("hardmine"),
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            machine=platform.platform(terse=True),
            most_predictions=MOST_PREDICTIONS,
            least_score=LEAST_SCORE,
            most_kinds=MOST_KINDS,
        )
    )
