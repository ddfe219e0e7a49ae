"""The command that mines: what of it is asked for, and from whose predictions."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hardmine.cli.options import (
    FORMS,
    MASKS,
    BoxFormat,
    CategoryOffset,
    Images,
    Instances,
    MaskClasses,
    Out,
    Unlabelled,
)
from hardmine.cli.report import page_of
from hardmine.cli.showing import show_all
from hardmine.errors import ConfigError, check_name
from hardmine.launch import is_first

if TYPE_CHECKING:
    from hardmine.predictions import Confirmed

__all__ = ["mine"]

MOST_ROWS = 2**31 - 1
PARQUET = ".parquet"
MEMORY, CVAT_NAMES = 2.0, "{name}"
UNCLEAR = "give --data and --predictions, or --run and perhaps --folds"


def mine(
    out: Out,
    data: Annotated[str | None, typer.Option(help="Data set.", show_default="what the run was trained on")] = None,
    predictions: Annotated[Path | None, typer.Option(help=f"What any model found: {FORMS}; for masks {MASKS}.")] = None,
    run: Annotated[Path | None, typer.Option(help="Or a run of hardmine, to predict with.")] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Train as in --run without each of so many parts, and predict it.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the data set.", show_default="the only one")] = None,
    images: Images = None,
    box_format: BoxFormat = None,
    category_offset: CategoryOffset = None,
    allow_unlabelled: Unlabelled = False,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_ROWS,
            help="Keep so many hard positives, hard negatives and suspects in the COCO files.",
            show_default="all; 10,000 where mined by parts",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Also list them here.")] = False,
    memory: Annotated[
        float, typer.Option(help="GiB to stay below, with predictions in Parquet or COCO results.")
    ] = MEMORY,
    cvat_names: Annotated[
        str, typer.Option(help="How a task of CVAT calls an image: {name}, its path; {file}, its bare name.")
    ] = CVAT_NAMES,
    task: Annotated[
        str | None,
        typer.Option(
            help="detection, or segmentation: a class for every pixel.", show_default="the run's, or detection"
        ),
    ] = None,
    classes: MaskClasses = None,
    instances: Instances = False,
) -> None:
    """Find what is hard in a data set, and what is mislabelled, from the predictions of any model.

    The form of the predictions is recognised from the path, and whether boxes and classes are what they are taken for
    is checked against the labels. The pictures are needed only where the labels do not state their sizes.
    Predictions in Parquet files and COCO results may be more than memory holds: they are mined by parts, and what was
    stopped goes on.
    """
    from hardmine.cli.tables import hardest_table, mined_table, suspects_table
    from hardmine.predictions import Confirmed

    if task is not None:
        check_name("task", task, ("detection", "segmentation"))
    if run is not None and predictions is None:
        task = _task_of(run, task)
    of_masks = task == "segmentation"
    if of_masks or (run is not None and predictions is None):
        given = {
            "--box-format": box_format is not None,
            "--category-offset": category_offset is not None,
            "--allow-unlabelled": allow_unlabelled,
            "--memory": memory != MEMORY,
            "--cvat-names": of_masks and cvat_names != CVAT_NAMES,
        }
        _refuse_unused(given, of_masks=of_masks)
    if of_masks and run is None:
        if folds is not None:
            raise ConfigError(UNCLEAR)
        _mine_masks(data, split, images, classes, predictions, out, top, instances=instances)
        return
    if (classes is not None or instances) and of_masks:
        raise ConfigError(f"{run} knows its classes; leave --classes and --instances out")
    if classes is not None or instances:
        raise ConfigError("--classes and --instances are of masks; add --task segmentation, or leave them out")
    if run is not None and predictions is None:
        from hardmine.mining import mine_run

        folder = None if images is None else str(images)
        mine_run(run, out, folds, top, cvat_names=cvat_names, data=data, train_split=split, images=folder)
    elif predictions is None or data is None or run is not None or folds is not None:
        raise ConfigError(UNCLEAR)
    else:
        confirmed = Confirmed(box_format, category_offset)
        opened = {"split": split, "images": images, "allow_unlabelled": allow_unlabelled}
        with _without_garbage_collection():
            _mine_predictions(data, opened, predictions, confirmed, out, top, memory, cvat_names)
    if is_first() and of_masks:
        _show_masks(out, top)
    elif is_first():
        kinds = ("hard positive", "hard negative") if show else ()
        listed = [*(hardest_table(out, kind, top) for kind in kinds), *([suspects_table(out, top)] if show else [])]
        said = f"Mined: {out}; its README.md says what each file is"
        show_all(mined_table(out), *listed, said, page_of(out))


def _refuse_unused(given: dict[str, bool], *, of_masks: bool) -> None:
    """Raises: ConfigError: an option was given that would say nothing."""
    why = "is of boxes, and masks are mined" if of_masks else "is of anybody's predictions, and the run makes its own"
    if refused := [option for option, is_given in given.items() if is_given]:
        raise ConfigError(f"{refused[0]} {why}; leave it out")


def _mine_masks(
    data: str | None,
    split: str | None,
    images: Path | None,
    classes: str | None,
    predictions: Path | None,
    out: Path,
    top: int | None,
    *,
    instances: bool,
) -> None:
    """Mines what another model said of pixels."""
    from hardmine.data import open_segmentation
    from hardmine.mining import mine_masks
    from hardmine.mining.folder import refuse_existing
    from hardmine.predictions import PredictedMasks

    if predictions is None or data is None:
        raise ConfigError(UNCLEAR)
    refuse_existing(out)
    dataset = open_segmentation(data, split, classes=classes, images=images, instances=instances)
    found = PredictedMasks(predictions, dataset)
    mine_masks(dataset, enumerate(found), out, predictions.name, (data, dataset.split))
    _show_masks(out, top)


def _show_masks(out: Path, top: int | None = None) -> None:
    from hardmine.cli.mask_tables import mined_masks_table, suspect_regions_table

    said = f"Mined: {out}; its README.md says what each file is"
    show_all(mined_masks_table(out), suspect_regions_table(out, top), said, page_of(out))


def _task_of(run: Path, asked: str | None) -> str:
    """Raises: ConfigError: another was asked for.  RunError: it is no run."""
    from hardmine.training import RunFolder

    task = RunFolder(run).read_config().task
    if asked not in (None, task):
        raise ConfigError(f"{run} is a run of {task}, asked for was --task {asked}; leave it out")
    return task


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """No search for cycles of garbage, which would walk over all records again and again: there are next to none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _mine_predictions(
    data: str,
    opened: dict[str, Any],
    predictions: Path,
    confirmed: "Confirmed",
    out: Path,
    top: int | None,
    memory: float,
    cvat_names: str,
) -> None:
    """Mines what another model found; predictions in Parquet, and COCO results beyond memory, a part at a time."""
    from hardmine.data import open_dataset
    from hardmine.mining import LabelFiles, label_files, labels_of, mine as run_mining, mine_shards, write_mined
    from hardmine.mining.found_files import may_exceed
    from hardmine.mining.shards import most_rows
    from hardmine.predictions import holds_parquet, read_found

    if not holds_parquet(predictions) and not may_exceed(predictions, int(most_rows(memory))):
        dataset = open_dataset(data, **opened, need_pictures=False)
        tables = run_mining(dataset, read_found(predictions, confirmed.box_format), confirmed=confirmed)
        write_mined(out, tables, predictions.name, top, cvat_names=cvat_names)
        return
    if (Path(data) / f"objects{PARQUET}").exists():
        labels = label_files(Path(data), opened["images"])
    else:
        dataset = open_dataset(data, **opened, need_pictures=False)
        labels = LabelFiles.of(labels_of(dataset), dataset)
    mine_shards(labels, predictions, out, memory, top, cvat_names=cvat_names, confirmed=confirmed)
