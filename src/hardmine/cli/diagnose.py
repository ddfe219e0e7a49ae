"""The command that looks into a detector: of what is asked for, and what it prints."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hardmine.cli.options import Images, Out
from hardmine.cli.report import page_of
from hardmine.cli.showing import show_all
from hardmine.cli.training_options import given_options, takes_training_options
from hardmine.errors import ConfigError
from hardmine.launch import num_started

if TYPE_CHECKING:
    from hardmine.recipes import Recipe

__all__ = ["diagnose"]

OF_A_DETECTOR = (
    "task", "classes", "instances", "detector", "backbone", "weights", "image_size", "batch_size", "proposals",
    "allow_unlabelled",
)  # fmt: skip


@partial(takes_training_options, only=OF_A_DETECTOR)
def diagnose(
    run: Annotated[Path | None, typer.Argument(help="Folder of a finished run.", show_default=False)] = None,
    *,
    out: Out,
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Recipes to put on the same weights: random,ohem:budget=64",
            show_default="the run's own and one in contrast to it",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set.", show_default="the run's own; without a run, scenes")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the data set.", show_default="what is learnt from")
    ] = None,
    images: Images = None,
    images_shown: Annotated[int, typer.Option(min=1, help="Look at so many images, taken at random.")] = 256,
    **training: Any,
) -> None:
    """Say where a detector's gradient comes from: which samples, objects, classes, scores, levels and images.

    Of a segmenter: pixels of which class, how near to a contour, with which score, on which images.

    Of a finished run, or with --detector of a detector as a training would begin with it; nothing is trained.
    """
    from hardmine.cli.diagnosis_tables import shares_table
    from hardmine.diagnosis.inspecting import inspect_detector, inspect_run
    from hardmine.diagnosis.inspection import refuse_taken, write_inspection

    if num_started() > 1:
        raise ConfigError("a diagnosis is of one process; start it without torchrun and accelerate launch")
    refuse_taken(out)
    given = {name: value for name, value in training.items() if value is not None}
    chosen = None if recipes is None else _recipes(recipes)
    if run is None:
        if "detector" not in given and given.get("task") != "segmentation":
            raise ConfigError("give the folder of a finished run, or --detector with the name of one")
        own = {"data": data, "train_split": split, "images": None if images is None else str(images)}
        found = inspect_detector(given_options(given | own), chosen, num_images=images_shown)
    elif given:
        option = next(iter(given)).replace("_", "-")
        raise ConfigError(f"a run has its detector and all that belongs to it; leave --{option} out, or the run")
    else:
        found = inspect_run(run, chosen, data=data, split=split, images=images, num_images=images_shown)
    write_inspection(found, out)
    show_all(
        f"{found.detector}, head {found.final_head}, {found.num_images} images of {found.data} ({found.split})",
        shares_table(found),
        *(f"- {sentence.text}" for sentence in found.sentences),
        f"Written: diagnosis.json, tables.csv, tables.parquet in {out}",
        page_of(out),
    )


def _recipes(text: str) -> "dict[str, Recipe]":
    from hardmine.cli.recipe_arguments import parse_recipes
    from hardmine.training.recipe_names import make_recipe

    return {choice.label: make_recipe(choice.name, choice.options) for choice in parse_recipes(text)}
