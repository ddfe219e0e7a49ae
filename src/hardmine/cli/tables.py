"""What the commands print, as tables that `layout` makes fit.

What stands on torch is imported in the tables that need it: those of mining do not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from hardmine.cli.layout import Cell, Column, Table, table_of
from hardmine.errors import EvidenceError
from hardmine.mining.tables import hardest, largest
from hardmine.tables.columns import SIDES

if TYPE_CHECKING:
    from torch import nn

    from hardmine.comparison import RecipeChoice
    from hardmine.data import CheckReport, SegmentationCheck, SegmentationSplit, SplitReport
    from hardmine.evaluation import Difference, MaskMetrics, Metrics
    from hardmine.mining import Round
    from hardmine.recipes import Recipe, Slot

__all__ = [
    "UNDEFINED",
    "check_report",
    "difference_cell",
    "explanation",
    "hardest_table",
    "metrics_table",
    "mined_table",
    "number",
    "recipes_table",
    "rounds_table",
    "segmentation_report",
    "suspects_table",
]

UNDEFINED = "-"
CORNERS = "x1 y1 x2 y2"


def metrics_table(metrics: "Metrics | MaskMetrics") -> Table:
    """COCO's metrics, then AP of each class; of masks IoU and accuracy, then IoU of each class and its boundaries."""
    from hardmine.evaluation import Metrics

    named = _of_boxes(metrics) if isinstance(metrics, Metrics) else _of_masks(metrics)
    return table_of("metric", Column("value", "number"), rows=[(name, number(value)) for name, value in named.items()])


def _of_masks(metrics: "MaskMetrics") -> dict[str, float | None]:
    whole = {"mIoU": metrics.miou, "accuracy": metrics.accuracy, "mean accuracy": metrics.mean_accuracy}
    of_classes = {f"IoU of {name}": iou for name, iou in metrics.iou_per_class.items()}
    of_boundaries = {f"boundary IoU of {name}": iou for name, iou in metrics.boundary_iou_per_class.items()}
    return {**whole, "boundary IoU": metrics.boundary_iou, **of_classes, **of_boundaries}


def _of_boxes(metrics: "Metrics") -> dict[str, float | None]:
    named = {"AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75}
    named |= {"AP small": metrics.ap_small, "AP medium": metrics.ap_medium, "AP large": metrics.ap_large}
    return named | {"AR 100": metrics.ar100} | {f"AP of {name}": ap for name, ap in metrics.per_class.items()}


def mined_table(mined: Path) -> Table:
    """How many objects, predictions and suspects are of which kind, and why; how many images are hard."""
    rows: list[tuple[str, ...]] = []
    for name, why in (("objects", "reason"), ("predictions", "error"), ("suspects", None)):
        by = ["kind"] if why is None else ["kind", why]
        for kind, *reason, count in _read(mined, name).group_by(by).len().sort(by).collect().iter_rows():
            rows.append((name, kind, "".join(reason) or UNDEFINED, str(count)))
    is_hard = (pl.col("hardness") > 0).alias("hard")
    for hard, count in _read(mined, "images").group_by(is_hard).len().sort("hard").collect().iter_rows():
        rows.append(("images", f"with {'something' if hard else 'nothing'} hard", UNDEFINED, str(count)))
    return table_of("what", "kind", Column("why", "words"), Column("number", "number"), rows=rows)


def hardest_table(mined: Path, kind: str, top: int | None) -> Table:
    """One hard object or mistaken prediction a row: where it is and why it is hard."""
    listed = hardest(_read(mined, "objects" if kind == "hard positive" else "predictions"), kind, top)
    rows = [
        (
            row["image"],
            row["category"] or UNDEFINED,
            _box(row) or UNDEFINED,
            row.get("reason") or row.get("error") or UNDEFINED,
            number(row["hardness"]),
        )
        for row in _with_images(mined, listed)
    ]
    columns = Column("image", "file"), "class", CORNERS, "why", Column("hardness", "number")
    return table_of(*columns, rows=rows, caption=f"{kind}s:")


def suspects_table(mined: Path, top: int | None) -> Table:
    """One label a row that is perhaps at fault, and what it should perhaps be."""
    rows: list[tuple[Cell, ...]] = []
    for row in _with_images(mined, largest(_read(mined, "suspects"), "probability", top)):
        label = _class_and_box(row["category"], _box(row), UNDEFINED)
        rather = _class_and_box(row["suggested_category"], _box(row, "suggested_"), "nothing")
        rows.append((row["image"], row["kind"], label, rather, number(row["probability"])))
    columns = Column("image", "file"), "why", f"label, {CORNERS}", "rather", Column("prob.", "number")
    return table_of(*columns, rows=rows, caption="suspects:")


def _class_and_box(category: str | None, box: str, nothing: str) -> list[str]:
    return [part for part in (category, box) if part] or [nothing]


def _read(mined: Path, name: str) -> pl.LazyFrame:
    return pl.scan_parquet(mined / f"{name}.parquet")


def _with_images(mined: Path, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows with the file name of their image under `image`, or its id where it has none."""
    images = _read(mined, "images").select("image_id", "file_name")
    for row in (
        rows.lazy().join(images, on="image_id", how="left", maintain_order="left").collect().iter_rows(named=True)
    ):
        yield row | {"image": row["file_name"] or str(row["image_id"])}


def _box(row: Mapping[str, Any], prefix: str = "") -> str:
    sides = [row[f"{prefix}{side}"] for side in SIDES]
    return "" if sides[0] is None else " ".join(f"{side:.0f}" for side in sides)


def rounds_table(rounds: "Iterable[Round]") -> Table:
    """One row per round: how good its detector is, and what was mined with it."""
    from hardmine.evaluation import NO_VERDICT

    rows: list[tuple[Cell, ...]] = []
    for row in rounds:
        mined = (
            UNDEFINED if count is None else str(count)
            for count in (row.hard_positives, row.hard_negatives, row.suspects)
        )
        quality = number(row.metrics.ap), number(row.metrics.ap50), difference_cell(row.difference, NO_VERDICT)
        rows.append((str(row.number), *quality, *mined))
    counted = (Column("hard positives", "number"), Column("hard negatives", "number"), Column("suspects", "number"))
    return table_of("round", Column("AP", "number"), Column("AP50", "number"), "difference in AP", *counted, rows=rows)


def recipes_table() -> Table:
    """Each recipe's name, the parts of the equation it sets, its kind, the detectors that take it, paper and gain."""
    from hardmine.detectors.support import heads_under, parts_set
    from hardmine.recipes import RECIPES
    from hardmine.training.recipe_names import find_recipe, installed_recipes

    rows = []
    for name in (*RECIPES, *installed_recipes()):
        recipe = find_recipe(name)()
        takes = {detector: isinstance(heads, list) for detector, heads in heads_under(recipe).items()}
        paper = recipe.paper.short if recipe.paper else ""
        cells = (parts_set(recipe), recipe.kind, _listing(takes), paper, recipe.gain)
        rows.append((name, *(cell or UNDEFINED for cell in cells)))
    words = Column("detectors", "words"), Column("paper", "words"), Column("published gain", "words")
    return table_of("recipe", Column("sets", "words"), "kind", *words, rows=rows)


def _listing(takes: Mapping[str, bool]) -> str:
    """The names of those that do, or where they are most of all, the names of the others."""
    takers, others = ([detector for detector, does in takes.items() if does is wanted] for wanted in (True, False))
    if not others:
        return "all"
    return f"all but {', '.join(others)}" if len(others) < len(takers) else ", ".join(takers)


def explanation(choice: "RecipeChoice") -> Iterator[str | Table]:
    """Everything that a recipe says of itself."""
    from hardmine.training.recipe_names import make_recipe

    recipe = make_recipe(choice.name, choice.options)
    yield f"{recipe.name}: {recipe.title}"
    yield from (*recipe.summary.splitlines(), "")
    yield from (*(f"    {line}" for line in recipe.equation.splitlines()), "")
    yield f"Paper: {recipe.paper or 'none'}"
    yield "Options: " + (", ".join(f"{name}={value}" for name, value in recipe.parameters.items()) or "none")
    yield from _listed("Worth tuning", (f"{name}: {', '.join(map(str, of))}" for name, of in recipe.tuned.items()))
    yield from _filled_slots(recipe)
    yield from _listed("Published", recipe.published)
    yield from _listed("Differs from the paper", recipe.differences)


def check_report(report: "CheckReport") -> Iterator[str | Table]:
    """What was found, split by split, then every problem on a line, then the verdict."""
    yield f"{report.data}: {report.format}"
    for split in report.splits:
        yield ""
        yield _split_summary(split)
        yield _class_table(split)
    yield from _verdict(report)


def segmentation_report(report: "SegmentationCheck") -> Iterator[str | Table]:
    """As `check_report`, of masks."""
    yield f"{report.data}: {report.format}"
    for split in report.splits:
        yield _mask_summary(split)
        yield _pixel_table(split)
    yield from _verdict(report)


def _verdict(report: "CheckReport | SegmentationCheck") -> Iterator[str]:
    yield from (f"{problem.severity}: {problem}" for problem in report.problems)
    usable = f"not usable: {'; '.join(report.faults)}" if report.faults else "usable"
    yield f"{report.num_errors} errors, {report.num_warnings} warnings; {usable}"


def _mask_summary(split: "SegmentationSplit") -> str:
    sizes = [f"{width}x{height} ({count})" for (width, height), count in split.image_sizes.items()]
    shown = ", ".join(sizes[:4]) + (f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else "")
    of = f" of {shown}" if shown else ""
    return f"{split.split}: {split.num_images} images{of}, {split.ignored_share:.2%} of pixels ignored"


def _pixel_table(split: "SegmentationSplit") -> Table:
    images, total = split.images_per_class, max(1, split.num_pixels)
    rows = [
        (name, str(count), f"{count / total:.2%}", str(images[name])) for name, count in split.pixels_per_class.items()
    ]
    numbers = (Column(title, "number") for title in ("pixels", "share", "images"))
    return table_of("class", *numbers, rows=rows)


def _filled_slots(recipe: "Recipe") -> Iterator[str | Table]:
    """What the recipe puts where, read off every detector under it; then why some detectors cannot take it."""
    from hardmine.detectors.support import heads_under
    from hardmine.equation.recipe import SLOTS

    rows, refusals = [], []
    for detector, heads in heads_under(recipe).items():
        if isinstance(heads, EvidenceError):
            refusals.append(f"Not for {detector}: {heads}")
            continue
        for head in heads:
            slots = recipe.slots_on(head.traits)
            filled = [_names(recipe.assigner_on(head.traits)), *(_parts(slots.get(slot)) for slot in SLOTS)]
            rows.append((detector, head.traits.name, *filled))
    yield table_of("detector", "head", *(Column(name, "words") for name in ("assign", *SLOTS)), rows=rows)
    yield from refusals


def _parts(slot: "Slot | None") -> str:
    return _names(*(getattr(slot, part.name) for part in fields(slot))) if slot else _names()


def _names(*parts: "nn.Module | float | None") -> str:
    """What was chosen, by name; a factor as a number."""
    from torch import nn

    given = [part for part in parts if part is not None]
    return ", ".join(_name(part) if isinstance(part, nn.Module) else f"times {part:g}" for part in given) or "its own"


def _name(part: "nn.Module") -> str:
    from hardmine.sampling import Sampling

    inner = ", ".join(type(child).__name__ for child in part.children() if isinstance(child, Sampling))
    return f"{type(part).__name__}({inner})" if inner else type(part).__name__


def _split_summary(split: "SplitReport") -> str:
    sizes = split.box_sizes
    return (
        f"{split.split}: {split.num_images} images ({split.num_background} without objects), "
        f"{split.num_boxes} objects ({sizes.small} small, {sizes.medium} medium, {sizes.large} large), "
        f"{split.num_crowd} crowd or difficult"
    )


def _class_table(split: "SplitReport") -> Table:
    return table_of(
        "class", Column("objects", "number"), rows=[(n, str(count)) for n, count in split.boxes_per_class.items()]
    )


def number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def difference_cell(difference: "Difference | None", verdict: str, *, is_one_of_many: bool = False) -> Cell:
    if difference is None:
        return UNDEFINED
    plain = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    of_all = f"all    [{difference.simultaneous_low:+.3f}, {difference.simultaneous_high:+.3f}]"
    return [plain, *([of_all] if is_one_of_many else []), verdict]


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    lines = [f"  - {item}" for item in items]
    yield f"{title}:" if lines else f"{title}: nothing"
    yield from lines
