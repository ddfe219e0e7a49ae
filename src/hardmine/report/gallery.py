"""A mined folder as a gallery: what the page's script is told, and which pictures it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hardmine.errors import ConfigError
from hardmine.report.examples import HARD_KINDS, SUSPECT_KINDS, Examples
from hardmine.report.pictures import FolderOfImages, Generated, Source, Wanted, window
from hardmine.tables.columns import SIDES

__all__ = ["Gallery", "gallery_of", "source_of"]

GENERATED = "scenes"
DECIMALS = 1
"""Of a box, in pixels: what can be seen."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """One mined folder.  wanted: the pictures.  data: for the script, but for which pictures there are.

    data_set: how to name the data set on a command line.  maps: of masks, where the maps of what is hard are.
    """

    mined: Path
    examples: Examples
    wanted: Sequence[Wanted]
    data: Mapping[str, Any]
    data_set: str
    predictions: str
    maps: Source | None = None

    @property
    def num_suspects(self) -> int:
        return int(self.examples.rows["row"].is_not_null().sum())

    def for_script(self, folder: str, wrong: Mapping[int, str]) -> dict[str, Any]:
        """All that the script needs. folder: of the pictures, as the page links it.  wrong: images without any."""
        return {**self.data, "folder": folder, "missing": list(wrong)}


def source_of(facts: Mapping[str, Any], examples: Examples, images: Path | None) -> Source:
    """Where the pictures of a mined folder are, from what its `mined.json` says or what was given.

    Raises: ConfigError: neither says it.
    """
    if images is not None:
        return FolderOfImages(images)
    if isinstance(folder := facts.get("images"), str):
        return FolderOfImages(Path(folder))
    is_generated = not (examples.images["file_name"] != "").any()
    if is_generated and facts.get("data") == GENERATED:
        return Generated(str(facts.get("split") or "train"))
    raise ConfigError("where the images of the mined folder are is not known; give their folder with --images")


def gallery_of(mined: Path, facts: Mapping[str, Any], examples: Examples) -> Gallery:
    """The gallery of a mined folder."""
    rows, images = examples.rows, examples.images
    place = {image_id: number for number, image_id in enumerate(images["image_id"])}
    sizes = list(zip(images["width"], images["height"], strict=True))
    on_image = [place[image_id] for image_id in rows["image_id"]]
    labels, found = (_boxes(rows, prefix) for prefix in ("label_", "found_"))
    crops = [
        window([box for box in (label, of_found) if box is not None], sizes[at])
        for label, of_found, at in zip(labels, found, on_image, strict=True)
    ]
    data = {
        "mined": str(mined.absolute()),
        "fingerprint": examples.fingerprint,
        "suspects": list(SUSPECT_KINDS),
        "totals": dict(examples.totals),
        "images": {
            "id": [str(image_id) for image_id in images["image_id"]],  # as text: JavaScript has no 64-bit integers
            "name": images["file_name"].to_list(),
            "size": sizes,
            **_on_images(examples, place),
        },
        "examples": {"image": on_image, "crop": crops, **_columns(rows), "label": labels, "found": found},
    }
    by_image: list[list[tuple[int, tuple[int, int, int, int]]]] = [[] for _ in sizes]
    for number, (at, crop) in enumerate(zip(on_image, crops, strict=True)):
        by_image[at].append((number, crop))
    wanted = [
        Wanted(number, image_id, file_name, sizes[number], by_image[number])
        for number, (image_id, file_name) in enumerate(images.select("image_id", "file_name").iter_rows())
    ]
    data_set = GENERATED if facts.get("data") == GENERATED and not isinstance(facts.get("images"), str) else "DATA"
    return Gallery(mined, examples, wanted, data, data_set, str(facts.get("predictions") or ""))


def _columns(rows: pl.DataFrame) -> dict[str, list[Any]]:
    """What is said of each example, names as their place in a list of all."""
    names = sorted({name for column in ("category", "found_category") for name in rows[column] if name})
    number = {name: place for place, name in enumerate(names)}
    there = list(dict.fromkeys(rows["kind"]))
    kinds = [kind for kind in (*SUSPECT_KINDS, *HARD_KINDS) if kind in there] or there
    numbers = {name: rows[name].fill_nan(None).to_list() for name in ("value", "score", "iou", "loss")}
    return {
        "kinds": kinds,
        "classes": names,
        "kind": [kinds.index(kind) for kind in rows["kind"]],
        "row": rows["row"].to_list(),
        "category": [number.get(name) for name in rows["category"]],
        "foundCategory": [number.get(name) for name in rows["found_category"]],
        "why": [why or "" for why in rows["why"]],
        **numbers,
    }


def _boxes(rows: pl.DataFrame, prefix: str) -> list[list[float] | None]:
    corners = rows.select(pl.col(f"{prefix}{side}").round(DECIMALS) for side in SIDES)
    return [None if None in box else list(box) for box in corners.iter_rows()]


def _on_images(examples: Examples, place: Mapping[int, int]) -> dict[str, Any]:
    """Labels and predictions of each image, as [class, x1, y1, x2, y2] and [class, score, x1, y1, x2, y2]."""
    tables = {"labels": examples.labels, "predictions": examples.predictions}
    names = list(dict.fromkeys(name for table in tables.values() for name in table["category"]))
    number = {name: at for at, name in enumerate(names)}
    drawn: dict[str, list[list[Any]]] = {name: [[] for _ in place] for name in tables}
    for name, table in tables.items():
        scores = ["score"] if "score" in table.columns else []
        columns = [pl.col(column).round(3 if column == "score" else DECIMALS) for column in (*scores, *SIDES)]
        for image_id, category, *numbers in table.select("image_id", "category", *columns).iter_rows():
            drawn[name][place[image_id]].append([number[category], *numbers])
    return {"classes": names, **drawn}
