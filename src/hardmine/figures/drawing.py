"""Which figure a recipe has, and the way from its name to a file."""

from collections.abc import Callable
from pathlib import Path

from hardmine.errors import ConfigError
from hardmine.figures.figure import Figure
from hardmine.figures.ghm import draw_ghm
from hardmine.figures.gradients import draw_gradients
from hardmine.figures.libra import draw_box_loss, draw_kept_negatives
from hardmine.figures.prime import draw_carl, draw_isr, draw_pisa
from hardmine.figures.ranking_losses import draw_ranking
from hardmine.figures.saving import check_savable, save
from hardmine.figures.scores import draw_class_balance, draw_focusing, draw_qualities
from hardmine.recipes import Recipe
from hardmine.training.evidence import TrainedRun, open_run

__all__ = ["FROM_A_RUN", "FROM_THE_FORMULA", "draw", "plot"]

FROM_THE_FORMULA: dict[str, Callable[[Recipe], Figure]] = {
    "ce": draw_focusing,
    "balanced_ce": draw_focusing,
    "focal": draw_focusing,
    "qfl": draw_qualities,
    "gfl": draw_qualities,
    "vfl": draw_qualities,
    "mal": draw_qualities,
    "ia_bce": draw_qualities,
    "tood": draw_qualities,
    "eqlv2": draw_class_balance,
    "efl": draw_class_balance,
    "isr": draw_isr,
    "carl": draw_carl,
    "pisa": draw_pisa,
    "libra": draw_box_loss,
    "ap_loss": draw_ranking,
    "alrp": draw_ranking,
    "rs_loss": draw_ranking,
    "dr_loss": draw_ranking,
}
"""What needs nothing but the method itself."""
FROM_A_RUN: dict[str, Callable[[Recipe, TrainedRun], Figure]] = {"ghm": draw_ghm, "libra": draw_kept_negatives}
"""What needs samples of a detector; every recipe has `draw_gradients` besides."""


def plot(
    recipe: Recipe,
    path: Path,
    run: Path | None = None,
    data: str | None = None,
    split: str | None = None,
    images: Path | None = None,
) -> None:
    """Draws what a recipe does into a .png, .svg or .html file; with a run, also what it does there.

    Raises: ConfigError: another kind of file, a recipe that is drawn from a run only, or data without a run.
        RunError, DataError: one that cannot be used.  EvidenceError: the recipe does not go with its detector.
    """
    check_savable(path)
    if run is None and (data or split or images):
        raise ConfigError("a data set or split is looked at through a detector; give a finished run with --run")
    save(draw(recipe, None if run is None else open_run(run, data, split, images)), path)


def draw(recipe: Recipe, trained: TrainedRun | None = None) -> Figure:
    """The figure of a recipe: from its formula, and where there is a run, from real samples.

    Raises: ConfigError: a recipe without a figure of its own, and no run.
    """
    by_formula = FROM_THE_FORMULA.get(recipe.name)
    figure = by_formula(recipe) if by_formula else Figure(recipe.title, [])
    if trained is None:
        if not by_formula:
            raise ConfigError(
                f"recipe {recipe.name!r} is drawn from the samples of a detector; add --run FOLDER with a finished run "
                "(hardmine train --out FOLDER)"
            )
        return figure
    if recipe.name in FROM_A_RUN:
        figure = figure.beside(FROM_A_RUN[recipe.name](recipe, trained))
    return figure.above(draw_gradients(recipe, trained))
