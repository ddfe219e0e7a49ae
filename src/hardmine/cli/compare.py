"""The command that compares recipes: what it asks for, and what it prints."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hardmine.cli.options import Out, Resume
from hardmine.cli.report import page_of
from hardmine.cli.showing import show_all
from hardmine.cli.training_options import given_options, takes_training_options
from hardmine.errors import ConfigError

if TYPE_CHECKING:
    from hardmine.cli.layout import Table
    from hardmine.comparison import RecipeChoice
    from hardmine.training import TrainingConfig

__all__ = ["compare"]

ALL, AUTO = "all", "auto"


class Match(StrEnum):
    """What is made equal beside the number of steps."""

    TIME = "time"


@takes_training_options
def compare(
    data: Annotated[
        list[str] | None,
        typer.Option(help="Data set; several times: all of them, and one answer over all.", show_default="scenes"),
    ] = None,
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Compared to the first; or: all, for all that the detector takes; auto: three that a short run of the "
            "default speaks for, tuned.",
            show_default="random,ohem,hnm; of masks ce,pixel_ohem,focal",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: each recipe is trained once per seed.")] = 3,
    out: Out = Path("runs/compare"),
    resume: Resume = False,
    tune: Annotated[
        int | None, typer.Option(min=2, help="Trials of each recipe before, on a part of the train split.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Difference in AP or mIoU that is none: within it, equal.")
    ] = None,
    test_split: Annotated[
        str | None, typer.Option(help="Also measure on this split, by which nothing is chosen.")
    ] = None,
    match: Annotated[Match | None, typer.Option(help="Also train each for as long as the first takes.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Runs to train at a time, in processes that share the threads of the CPU.",
            show_default="1; with the small backbones of our own on a CPU, up to 4",
        ),
    ] = None,
    **training: Any,
) -> None:
    """Train the same detector under several recipes and say which is better, and how sure that is.

    Without options: built-in scenes, a small detector, three seeds; a few minutes on two CPU cores.
    Recipes take options: --recipes random,ohem:budget=64,nms_iou=0.5,hnm
    A recipe that comes twice shows what noise alone makes: --recipes focal,focal
    """
    from accelerate import PartialState

    from hardmine.comparison import Protocol
    from hardmine.comparison.advice import NUM_CANDIDATES
    from hardmine.comparison.together import suitable_processes
    from hardmine.training.tasks import task_of

    configs = [given_options(training | ({"data": path} if path else {})) for path in data or [None]]
    protocol = Protocol(margin=margin, test_split=test_split, match_time=match is not None, tune=tune)
    recipes = recipes or task_of(configs[0]).recipes
    choices = _choices(recipes, configs[0])
    how: dict[str, Any] = {"protocol": protocol, "resume": resume}
    num_recipes = 1 + NUM_CANDIDATES if recipes == AUTO else len(choices)
    how |= {"seeds": range(seeds), "out": out, "jobs": jobs or suitable_processes(configs[0], num_recipes * seeds)}
    said = _compare_advised(configs, how) if recipes == AUTO else _compare(configs, choices, how)
    if PartialState().is_main_process:
        show_all(*said, f"Results: compare.json, compare.csv and runs in {out}", page_of(out))


def _choices(recipes: str, config: "TrainingConfig") -> list["RecipeChoice"]:
    from hardmine.cli.recipe_arguments import parse_recipes
    from hardmine.comparison.compare import every_recipe

    if recipes == AUTO:
        return []
    return every_recipe(config) if recipes == ALL else parse_recipes(recipes)


def _compare(
    configs: Sequence["TrainingConfig"], recipes: Sequence["RecipeChoice"], how: dict[str, Any]
) -> list["str | Table"]:
    from hardmine.cli.comparison_tables import comparison_tables, several_tables
    from hardmine.comparison.compare import compare as compare_recipes
    from hardmine.comparison.several import compare_on_several

    if len(configs) > 1:
        return [*several_tables(compare_on_several(configs, recipes, **how))]
    return [*comparison_tables(compare_recipes(configs[0], recipes, **how))]


def _compare_advised(configs: Sequence["TrainingConfig"], how: dict[str, Any]) -> list["str | Table"]:
    from hardmine.cli.comparison_tables import comparison_tables
    from hardmine.comparison.auto import compare_advised, recommend

    if len(configs) > 1:
        raise ConfigError("recipes are advised for one data set at a time; give --data once, or name the recipes")
    advice, comparison = compare_advised(configs[0], **how)
    reasons = [f"{of.recipe}: {of.reason}" for of in advice]
    return [*reasons, *comparison_tables(comparison), f"Recommended: {recommend(comparison).text}"]
