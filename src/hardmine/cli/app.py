"""The commands, and what happens when one fails.

Torch and what stands on it take seconds to import, so they are imported in the commands that need them: `--help`
answers at once.
"""

import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from hardmine.cli.claims import claims
from hardmine.cli.compare import compare
from hardmine.cli.diagnose import diagnose
from hardmine.cli.failures import explain_failure
from hardmine.cli.mine import mine
from hardmine.cli.options import (
    FORMS,
    BoxFormat,
    CategoryOffset,
    Images,
    Out,
    Proposals,
    Resume,
    Run,
    Split,
    Unlabelled,
)
from hardmine.cli.report import page_of, report
from hardmine.cli.showing import show_all
from hardmine.cli.training_options import given_options, takes_training_options
from hardmine.errors import ConfigError, check_name
from hardmine.files.printable import printable

if TYPE_CHECKING:
    from hardmine.evaluation import Metrics

__all__ = ["app", "main"]

USAGE_ERROR, INTERRUPTED = 2, 130
ROUNDS_NOTE = "95 % intervals of the difference in AP to round 1: over images only, since there is one seed."

UsageError: Any = typer.BadParameter.__base__  # of click, or of typer's own copy of it: that depends on its version

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hard example mining for object detection: any method, on the detector you have, compared honestly.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code: 0, 2 for what the user can put right, 130 when interrupted."""
    _print_whatever_a_name_holds()
    _log_to_stderr()
    try:
        code = app(sys.argv[1:] if arguments is None else arguments, standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _fail(printable(f"{error.format_message()} See --help."))
    except (KeyboardInterrupt, typer.Abort):
        Console(stderr=True).print("interrupted")
        return INTERRUPTED
    except BaseException as error:  # a panic of Polars is no Exception
        explained = explain_failure(error)
        if explained is None:
            raise
        return _fail(explained)


app.command()(compare)
app.command()(claims)


@app.command()
@takes_training_options
def train(
    out: Out,
    recipe: Annotated[str, typer.Option(help="Recipe, with options: ohem:budget=64,nms_iou=0.5")] = "random",
    seed: Annotated[int, typer.Option(help="Decides weights, data order, augmentation, sampling.")] = 0,
    resume: Resume = False,
    **training: Any,
) -> None:
    """Train one detector under one recipe, or a segmenter, and measure it on the validation split."""
    from accelerate import PartialState

    from hardmine.cli.recipe_arguments import parse_recipe
    from hardmine.cli.tables import metrics_table
    from hardmine.training import train as run_training

    choice = parse_recipe(recipe)
    config = given_options(training | {"recipe": choice.name, "recipe_options": choice.options, "seed": seed})
    result = run_training(config, out, resume=resume)
    if PartialState().is_main_process:
        files = ", ".join(file.name for file in (result.folder.weights, result.folder.metrics, result.predictions))
        show_all(metrics_table(result.metrics), f"Run: {files} and more in {out}")


@app.command()
def evaluate(
    run: Annotated[Path | None, typer.Argument(help="Folder of a finished run.", show_default=False)] = None,
    data: Annotated[str | None, typer.Option(help="Data set.", show_default="the run's own")] = None,
    split: Split = None,
    images: Images = None,
    predictions: Annotated[
        Path | None, typer.Option(help=f"Instead of a run, what any model found in --data: {FORMS}.")
    ] = None,
    box_format: BoxFormat = None,
    category_offset: CategoryOffset = None,
    allow_unlabelled: Unlabelled = False,
    proposals: Proposals = None,
) -> None:
    """Measure a finished run, by COCO's average precision or mIoU, or anybody's predictions of boxes."""
    from hardmine.cli.tables import metrics_table
    from hardmine.training import evaluate_run

    kept: list[str] = []
    if predictions is None and run is not None:
        metrics = evaluate_run(run, data, split, images, allow_unlabelled=allow_unlabelled, proposals=proposals)
        kept = [f"Predictions: {_kept_in(run, split)}"] if data is None else []
    elif predictions is None or data is None or run is not None:
        raise ConfigError("give a run, or --predictions and --data")
    else:
        opened = {"split": split, "images": images, "allow_unlabelled": allow_unlabelled}
        metrics = _evaluate_predictions(data, opened, predictions, box_format, category_offset)
    show_all(metrics_table(metrics), *kept)


def _kept_in(run: Path, split: str | None) -> Path:
    from hardmine.training import RunFolder
    from hardmine.training.tasks import task_of

    folder = RunFolder(run)
    config = folder.read_config()
    return task_of(config).predictions(folder, split or config.measured_split)


def _evaluate_predictions(
    data: str, opened: dict[str, Any], predictions: Path, box_format: str | None, category_offset: int | None
) -> "Metrics":
    from hardmine.data import open_dataset
    from hardmine.evaluation import evaluate_found
    from hardmine.predictions import Confirmed, read_found

    dataset = open_dataset(data, **opened, need_pictures=False)
    return evaluate_found(dataset, read_found(predictions, box_format), Confirmed(box_format, category_offset))


@app.command()
def predict(
    run: Run,
    out: Annotated[
        Path, typer.Option(help="New file .json for COCO results, folder for Parquet shards, or for masks.")
    ],
    data: Annotated[
        str | None, typer.Option(help="Data set, or a folder of images.", show_default="the run's own")
    ] = None,
    split: Split = None,
    images: Images = None,
    proposals: Proposals = None,
) -> None:
    """Write what a finished run finds in a data set, or in images without labels."""
    from hardmine.training import predict_run

    show_all(f"Predictions: {predict_run(run, data, split, out, images, proposals=proposals)}")


@app.command()
def plot(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs, of a comparison or of a loop.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="New file .png, .svg, or .html with the numbers.")],
) -> None:
    """Draw the learning curves of runs, finished or not: AP or mIoU, the loss and its parts, rates, times."""
    from hardmine.figures import save
    from hardmine.figures.curves import curves, find_runs
    from hardmine.figures.saving import check_savable

    check_savable(out)
    found = find_runs(runs)
    save(curves(found), out)
    show_all(f"Figure of {len(found)} runs: {out}" if len(found) > 1 else f"Figure: {out}")


app.command()(mine)
app.command()(diagnose)


@app.command()
@takes_training_options
def loop(
    rounds: Annotated[int, typer.Option(min=2, help="Number of trainings.")] = 3,
    folds: Annotated[
        int, typer.Option(min=1, help="Models that judge the labels, each those it did not learn; 1: the run's own.")
    ] = 3,
    recipe: Annotated[str, typer.Option(help="Recipe, with options: ohem:budget=64,nms_iou=0.5")] = "random",
    seed: Annotated[int, typer.Option(help="Decides weights, data order, augmentation, sampling.")] = 0,
    out: Out = Path("runs/loop"),
    resume: Resume = False,
    **training: Any,
) -> None:
    """Train, mine, and train again on what was mined, suspect labels weighed down; a table of the rounds."""
    from accelerate import PartialState

    from hardmine.cli.recipe_arguments import parse_recipe
    from hardmine.cli.tables import rounds_table
    from hardmine.mining import mine_in_rounds

    choice = parse_recipe(recipe)
    suspects, reassign = training.pop("suspects", None) or "down", training.pop("reassign", None) or 0
    config = given_options(training | {"recipe": choice.name, "recipe_options": choice.options, "seed": seed})
    how: dict[str, Any] = {"suspects": suspects, "reassign": reassign, "resume": resume}
    table = mine_in_rounds(config, rounds, out, folds=folds if folds > 1 else None, **how)
    if PartialState().is_main_process:
        said = f"Results: rounds.json, runs and mined folders in {out}"
        show_all(rounds_table(table), ROUNDS_NOTE, said, page_of(out))


@app.command()
def recipes() -> None:
    """List the recipes: one paper each."""
    from hardmine.cli.tables import recipes_table

    show_all(recipes_table(), "More on one: hardmine explain NAME")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="Name of a recipe, with options: ohem:budget=64", show_default=False)],
    plot: Annotated[Path | None, typer.Option(help="Draw it instead, into a .png, .svg or .html file.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a finished run: draw what the recipe does there.")] = None,
    data: Annotated[str | None, typer.Option(help="Data set.", show_default="the run's own")] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the data set.", show_default="the run's training split")
    ] = None,
    images: Images = None,
) -> None:
    """Explain a recipe: equation, slots, defaults, paper, published numbers, differences to the paper.

    With --plot: a figure of what it does, drawn by running it; some recipes need a finished run for that.
    """
    from hardmine.cli.recipe_arguments import parse_recipe
    from hardmine.cli.tables import explanation
    from hardmine.figures import plot as draw
    from hardmine.training.recipe_names import make_recipe

    choice = parse_recipe(name)
    if plot is not None:
        draw(make_recipe(choice.name, choice.options), plot, run, data, split, images)
        show_all(f"Figure: {plot}")
    elif run or data or split or images:
        raise ConfigError("--run, --data, --split and --images say what to draw; add --plot FILE, or leave them out")
    else:
        show_all(*explanation(choice))


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="Path of a data set, or: scenes", show_default=False)],
    split: Annotated[str | None, typer.Option(help="Only this split.", show_default="all splits")] = None,
    images: Images = None,
    allow_unlabelled: Unlabelled = False,
    image_size: Annotated[
        int, typer.Option(min=32, help="Shorter side that a detector will bring images to: what vanishes there?")
    ] = 800,
    task: Annotated[str, typer.Option(help="detection, or segmentation: a class for every pixel.")] = "detection",
    classes: Annotated[
        str | None,
        typer.Option(help="For masks: names in the order of the values, or a file of them.", show_default="the data's"),
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="For masks: they number objects, which are all of one class.")
    ] = False,
) -> None:
    """Check whether a data set is usable: what was found, and what is wrong, record by record."""
    from hardmine.cli.tables import check_report, segmentation_report
    from hardmine.data import check as run_check, check_segmentation

    check_name("task", task, ("detection", "segmentation"))
    if task == "segmentation":
        report = check_segmentation(path, split, classes=classes, images=images, instances=instances)
        show_all(*segmentation_report(report))
    elif classes is not None or instances:
        raise ConfigError("--classes and --instances are of masks; add --task segmentation, or leave them out")
    else:
        report = run_check(path, split, images=images, allow_unlabelled=allow_unlabelled, image_size=image_size)
        show_all(*check_report(report))
    if not report.is_usable:
        raise typer.Exit(USAGE_ERROR)


@app.command()
def export(
    path: Annotated[str, typer.Argument(help="Path of a data set, or: scenes", show_default=False)],
    to: Annotated[str, typer.Option(help="yolo, as ultralytics reads it, coco, as RF-DETR does, or voc.")],
    out: Out,
    split: Annotated[str | None, typer.Option(help="Only this split.", show_default="all splits")] = None,
    images: Images = None,
    allow_unlabelled: Unlabelled = False,
    tile: Annotated[int | None, typer.Option(min=1, help="Cut images into tiles of this side in pixels.")] = None,
    overlap: Annotated[int, typer.Option(min=0, help="Pixels that neighbouring tiles share.")] = 0,
    mined: Annotated[
        Path | None, typer.Option(help="Folder of `hardmine mine`, whose suspects --decisions is about.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="File of decisions: put right what was accepted of the suspects.")
    ] = None,
) -> None:
    """Write a data set in the form that another framework trains on; images are linked, tiles are written.

    With --mined and --decisions: with the labels put right as people decided on the page of `hardmine report`.
    """
    from hardmine.data import export as run_export

    opened = {"split": split, "images": images, "allow_unlabelled": allow_unlabelled}
    if (mined is None) != (decisions is None):
        raise ConfigError("give --mined and --decisions together: the decisions are about suspects of a mined folder")
    if mined is None or decisions is None:
        written = run_export(path, to, out, **opened, tile=tile, overlap=overlap)
        show_all(f"Written: {written}")
        return
    from hardmine.data.exporting import splits_to_export
    from hardmine.mining.corrected import correct_splits, told

    corrected = correct_splits(splits_to_export(path, **opened), mined, decisions)
    written = run_export(corrected, to, out, tile=tile, overlap=overlap)
    show_all(told(corrected.values()), f"Written: {written}")


app.command()(report)


def _fail(line: str) -> int:
    _let_go_of_stdout()
    Console(stderr=True).print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    return USAGE_ERROR


def _let_go_of_stdout() -> None:
    """Drops what cannot be written; the interpreter would try again at its end, and complain in words of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_whatever_a_name_holds() -> None:
    """Half a character, or one that the terminal's encoding lacks, is printed as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(handlers=[handler])
    logging.getLogger("hardmine").setLevel(logging.INFO)


class _OneLine(logging.Formatter):
    """A message as one line that does nothing to a terminal, whatever the names in it hold."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(record.message)
