"""What the commands print: tables that fit 80 columns, in a terminal or a file."""

from collections.abc import Iterable, Iterator

from rich import box
from rich.table import Table

from hardmine.data import CheckReport, SplitReport
from hardmine.detectors import DETECTORS, build, wrap
from hardmine.detectors.head import Head
from hardmine.errors import EvidenceError
from hardmine.evaluation import Difference, LookAlikeErrors, Metrics
from hardmine.recipes import RECIPES, Recipe, Slot
from hardmine.recipes.recipe import SLOTS
from hardmine.training.compare import Comparison, RecipeChoice

__all__ = ["check_report", "comparison_table", "explanation", "metrics_table", "recipes_table"]

UNDEFINED = "-"


def comparison_table(comparison: Comparison) -> Table:
    """One row per recipe; the verdict stands under its interval."""
    has_look_alikes = any(row.look_alikes for row in comparison.rows)
    table = _table("recipe", "AP", "AP50", "AP75", "difference in AP", "step\ntime", "peak\nMB")
    if has_look_alikes:
        table.add_column("look-alikes\nhit, AUC")
    for row in comparison.rows:
        cells = [row.recipe, *map(_number, (row.ap, row.ap50, row.ap75)), _difference(row.difference)]
        cells += [f"{row.step_time_ratio:.2f}x", f"{row.peak_memory_mb:.0f}"]
        table.add_row(*cells, *([_look_alikes(row.look_alikes)] if has_look_alikes else []))
    return table


def metrics_table(metrics: Metrics) -> Table:
    """COCO's metrics, then AP of each class."""
    table = _table("metric", "value")
    named = {"AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75}
    named |= {"AP small": metrics.ap_small, "AP medium": metrics.ap_medium, "AP large": metrics.ap_large}
    named |= {"AR 100": metrics.ar100} | {f"AP of {name}": ap for name, ap in metrics.per_class.items()}
    for name, value in named.items():
        table.add_row(name, _number(value))
    return table


def recipes_table() -> Table:
    """Name, what it does in one line, paper."""
    table = _table("recipe", "what it does", "paper")
    for name, make in RECIPES.items():
        recipe = make()
        table.add_row(name, recipe.summary, str(recipe.paper or UNDEFINED))
    return table


def explanation(choice: RecipeChoice) -> Iterator[str | Table]:
    """Everything that a recipe says of itself."""
    recipe = RECIPES[choice.name](**choice.options)
    yield f"{recipe.name}: {recipe.title}\n{recipe.summary}\n\n    {recipe.equation}\n"
    yield f"Paper: {recipe.paper or 'none'}"
    yield "Options: " + (", ".join(f"{name}={value}" for name, value in recipe.parameters.items()) or "none")
    yield from _filled_slots(recipe)
    yield from _listed("Published", recipe.published)
    yield from _listed("Differs from the paper", recipe.differences)


def check_report(report: CheckReport) -> Iterator[str | Table]:
    """What was found, split by split, then every problem on a line, then the verdict."""
    yield f"{report.data}: {report.format}"
    for split in report.splits:
        yield _split_summary(split)
        yield _class_table(split)
    yield from (f"{problem.severity}: {problem}" for problem in report.problems)
    usable = "usable" if report.is_usable else "not usable: a split has no image, or none has an object"
    yield f"{report.num_errors} errors, {report.num_warnings} warnings; {usable}"


def _filled_slots(recipe: Recipe) -> Iterator[str | Table]:
    """What the recipe puts where, read off every detector under it; then why some detectors cannot take it."""
    table, refusals = _table("detector", "head", *SLOTS), []
    for detector in DETECTORS:
        try:
            modules = wrap(build(detector, 1, backbone="tiny"), recipe).modules()
        except EvidenceError as error:
            refusals.append(f"Not for {detector}: {error}")
            continue
        for head in (module for module in modules if isinstance(module, Head)):
            slots = recipe.slots(head.traits)
            table.add_row(detector, head.traits.name, *(_parts(slots.get(slot)) for slot in SLOTS))
    yield table
    yield from refusals


def _parts(slot: Slot | None) -> str:
    parts = [slot.sampling, slot.loss, slot.normalize] if slot else []
    return ", ".join(type(part).__name__ for part in parts if part is not None) or "its own"


def _split_summary(split: SplitReport) -> str:
    sizes = split.box_sizes
    return (
        f"\n{split.split}: {split.num_images} images ({split.num_background} without objects), "
        f"{split.num_boxes} objects ({sizes.small} small, {sizes.medium} medium, {sizes.large} large), "
        f"{split.num_crowd} crowd or difficult"
    )


def _class_table(split: SplitReport) -> Table:
    table = _table("class", "objects")
    for name, count in split.boxes_per_class.items():
        table.add_row(name, str(count))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(first, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in others:
        table.add_column(name)
    return table


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return UNDEFINED
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]\n{difference.verdict}"


def _look_alikes(errors: LookAlikeErrors | None) -> str:
    if errors is None:
        return UNDEFINED
    share, auc = errors.share_at_matched_recall, errors.auc
    return f"{UNDEFINED if share is None else format(share, '.0%')}, {UNDEFINED if auc is None else format(auc, '.2f')}"


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"  - {item}" for item in items]
    yield "\n".join([f"{title}:", *lines]) if lines else f"{title}: nothing"
