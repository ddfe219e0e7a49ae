"""The tables and numbers of one head, of the sums over all its samples."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hardmine.diagnosis.bins import CONTOUR_BINS, IOU_BINS, NO_OBJECT, SCORE_BINS, SIZES, fine_values
from hardmine.diagnosis.look import IGNORED, NEGATIVE, PADDING, POSITIVE
from hardmine.diagnosis.tally import MEASURES, RANKS, PixelTally, Sums, Tally

__all__ = ["CONTOUR", "EASY", "FEWEST_POSITIVES", "HARD", "SHARES", "HeadTables", "head_tables", "pixel_tables"]

COUNT, KEPT, LOSS, WEIGHT, GRADIENT, BOX = range(len(MEASURES))
SHARES = ("samples", "loss", "weight", "gradient")
EASY, HARD = 1, 5
"""Tenths of the score: negatives in those below the first are easy, from the second on they are hard."""
HARDEST = 0.01
CONTOUR = 2
"""Bins of the distance to a contour that are near it: up to 2 pixels."""
UNSURE, SURE = 5, 9
"""Tenths of the score of a pixel's class: below the first it is hard, from the second on it is easy."""
FEWEST_POSITIVES = 20
"""With fewer, no correlation is asked of them."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HeadTables:
    """One head under one recipe.

    tables: rows by table; each a bin with its count and its shares of all samples, their loss, weight and gradient.
    totals: numbers of the head as a whole, by name; docs/diagnosis.md says what each is.
    """

    tables: Mapping[str, list[Row]]
    totals: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)

    def share(self, table: str, bin_name: str, measure: str) -> float:
        """One number of a table; 0 of a bin that is not there."""
        return next((row[measure] or 0.0 for row in self.tables.get(table, ()) if row["bin"] == bin_name), 0.0)


def head_tables(
    tally: Tally, *, classes: Sequence[str] | None = None, images: Sequence[str] | None = None
) -> HeadTables:
    """What has been summed up so far.

    Args: classes: names of the labels 0..C-1.  images: names of the images, in the order in which they were seen.
    """
    sums = {name: of.cpu().numpy() for name, of in tally.sums.items()}
    by_kind = sums["iou"].sum(1)
    make = _Rows(by_kind[:2].sum(0), tally.has_loss, tally.has_box)
    names = _class_names(tally, classes)
    tables = {
        "kind": _by_kind(make, by_kind),
        "iou": make.rows(IOU_BINS, sums["iou"]),
        "object_size": _by_size(make, sums["object_size"], tally.objects.cpu().numpy()),
        "class": _by_class(make, names, sums["class"], tally.objects_of.cpu().numpy()),
        "score": make.rows(SCORE_BINS, sums["score"]),
        "loss_decile": _by_decile(make, sums["loss_decile"]),
    }
    if tally.has_levels:
        tables["level"] = make.rows(
            [f"stride {2**k}" for k in range(sums["level"].shape[1])], sums["level"], all_=False
        )
    tables["image"] = _by_image(make, tally, by_kind, images)
    return HeadTables(tables, _totals(tally, by_kind, sums))


def pixel_tables(
    tally: PixelTally, *, classes: Sequence[str] | None = None, images: Sequence[str] | None = None
) -> HeadTables:
    """The same of a head of pixels, each of which is a sample of its class."""
    sums = {name: of.cpu().numpy() for name, of in tally.sums.items()}
    by_kind = sums["score"].sum(1)
    make = _Rows(by_kind[:2].sum(0), tally.has_loss, False)
    labelled, ignored = _by_kind(make, by_kind)[::2]
    tables = {
        "kind": [labelled | {"bin": "labelled"}, ignored],
        "class": make.rows(_class_names(tally, classes), sums["class"]),
        "contour_distance": make.rows(CONTOUR_BINS, sums["contour_distance"]),
        "score": make.rows(SCORE_BINS, sums["score"]),
        "loss_decile": _by_decile(make, sums["loss_decile"]),
        "image": _by_image(make, tally, by_kind, images),
    }
    of_boxes = ("positives", "negative_gradient", "box_gradient")
    kept = {
        table: [{name: of for name, of in row.items() if name not in of_boxes} for row in rows]
        for table, rows in tables.items()
    }
    return HeadTables(kept, _pixel_totals(tally, by_kind, sums))


def _class_names(tally: Sums, classes: Sequence[str] | None) -> list[str]:
    """As many as there are; those that nobody named are called by their number."""
    named = list(classes or ())[: tally.num_classes]
    return [*named, *(str(place) for place in range(len(named), tally.num_classes))]


def _pixel_totals(tally: PixelTally, by_kind: np.ndarray, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    whole, num = by_kind[:2].sum(0), max(tally.num_images, 1)
    found: dict[str, float] = {
        "images": tally.num_images,
        "steps": tally.num_steps,
        "samples": int(whole[COUNT]),
        "ignored": int(by_kind[IGNORED, COUNT]),
        "kept": int(whole[KEPT]),
    }
    found |= {f"{name}_per_image": found[name] / num for name in ("samples", "ignored", "kept")}
    found["ignored_share"] = found["ignored"] / max(found["samples"] + found["ignored"], 1)
    found |= {"gradient": float(whole[GRADIENT]), "weight": float(whole[WEIGHT])}
    near = sums["contour_distance"][POSITIVE, :CONTOUR].sum(0)
    hard, easy = (sums["score"][POSITIVE, tenths].sum(0) for tenths in (slice(UNSURE), slice(SURE, None)))
    for name, of in (("contour", near), ("hard", hard), ("easy", easy)):
        found[f"{name}_samples"] = float(of[COUNT] / max(whole[COUNT], 1))
        found[f"{name}_gradient"] = float(of[GRADIENT] / max(whole[GRADIENT], np.finfo(float).tiny))
    return found | _effective(tally, whole) | _images(tally)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Makes rows; whole: (M,) the sums over all samples."""

    whole: np.ndarray
    has_loss: bool
    has_box: bool

    def rows(self, names: Sequence[str], sums: np.ndarray, *, all_: bool = True) -> list[Row]:
        """One a bin, of sums (kind, bin, measure); all_: those without a sample, too."""
        positive, negative = sums[POSITIVE], sums[NEGATIVE]
        made = [self.row(*of) for of in zip(names, positive + negative, positive, negative, strict=True)]
        return made if all_ else [row for row in made if row["count"]]

    def row(self, name: str, of_all: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> Row:
        shares = of_all / np.where(self.whole > 0, self.whole, 1)
        of_negatives = negative[GRADIENT] / max(self.whole[GRADIENT], np.finfo(float).tiny)
        return {
            "bin": name,
            "count": round(of_all[COUNT]),
            "positives": round(positive[COUNT]),
            "samples": float(shares[COUNT]),
            "kept": float(of_all[KEPT] / max(of_all[COUNT], 1)),
            "loss": float(shares[LOSS]) if self.has_loss else None,
            "weight": float(shares[WEIGHT]),
            "gradient": float(shares[GRADIENT]),
            "negative_gradient": float(of_negatives),
            "box_gradient": float(shares[BOX]) if self.has_box else None,
        }


def _by_kind(make: _Rows, by_kind: np.ndarray) -> list[Row]:
    """Ignored samples are counted beside the others; they are no share of anything."""
    nothing = np.zeros(len(MEASURES))
    positive, negative = by_kind[POSITIVE], by_kind[NEGATIVE]
    ignored = make.row("ignored", nothing, nothing, nothing) | {"count": round(by_kind[IGNORED, COUNT])}
    rows = [make.row("positive", positive, positive, nothing), make.row("negative", negative, nothing, negative)]
    return [*rows, ignored]


def _by_size(make: _Rows, sums: np.ndarray, objects: np.ndarray) -> list[Row]:
    rows = make.rows([*SIZES, NO_OBJECT], sums)
    for row, (num, without, _) in zip(rows, [*objects, (0, 0, 0)], strict=True):
        row |= {"objects": round(num), "objects_without_positive": round(without)}
    return rows


def _by_class(make: _Rows, names: Sequence[str], sums: np.ndarray, objects: np.ndarray) -> list[Row]:
    rows = make.rows([*names, NO_OBJECT], sums)
    for row, num in zip(rows, [*objects, 0], strict=True):
        row["objects"] = round(num)
    return rows


def _by_decile(make: _Rows, fine: np.ndarray) -> list[Row]:
    """Tenths of the samples by their cross entropy; a fine bin that lies across a border is dealt out evenly."""
    parts = _parts(fine[:2, :, COUNT].sum(0), np.linspace(0, 1, 11))
    tenths = np.einsum("db,kbm->kdm", parts, fine)
    names = ["1 (easiest)", *map(str, range(2, 10)), "10 (hardest)"]
    rows = make.rows(names, tenths)
    whole = np.diff(np.round(np.cumsum([0, *tenths[:2, :, COUNT].sum(0)]))).astype(int)
    of_positives = np.diff(np.round(np.cumsum([0, *tenths[POSITIVE, :, COUNT]]))).astype(int)
    for row, count, positives in zip(rows, whole.tolist(), of_positives.tolist(), strict=True):
        row |= {"count": count, "positives": positives}
    return rows


def _parts(counts: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """(D, K): which share of each bin lies between two borders, given as shares of all in the order of the bins."""
    upper = np.cumsum(counts)
    lower, edges = upper - counts, borders * upper[-1]
    shared = np.minimum(upper, edges[1:, None]) - np.maximum(lower, edges[:-1, None])
    return np.maximum(shared, 0) / np.maximum(counts, 1)


def _by_image(make: _Rows, tally: Sums, by_kind: np.ndarray, images: Sequence[str] | None) -> list[Row]:
    """The richest by gradient, and all others together."""
    richest = tally.richest.cpu().numpy()
    nothing = np.zeros(len(MEASURES))
    rows = [
        make.row(_image_name(int(row[0]), images), row[2:], nothing, nothing) | {"positives": round(row[1])}
        for row in richest
    ]
    if others := tally.num_images - len(richest):
        rest = make.row(f"{others} others", make.whole - richest[:, 2:].sum(0), nothing, nothing)
        rows.append(rest | {"positives": round(by_kind[POSITIVE, COUNT] - richest[:, 1].sum())})
    return [{name: row[name] for name in ("bin", "count", "positives", "kept", *SHARES)} for row in rows]


def _image_name(place: int, images: Sequence[str] | None) -> str:
    return images[place] if images is not None and place < len(images) else f"image {place}"


def _totals(tally: Tally, by_kind: np.ndarray, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    counts = {name: int(by_kind[kind, COUNT]) for name, kind in (("positives", POSITIVE), ("negatives", NEGATIVE))}
    num = max(tally.num_images, 1)
    objects = tally.objects.sum(0).tolist()
    found: dict[str, float] = {
        "images": tally.num_images,
        "steps": tally.num_steps,
        "samples": sum(counts.values()),
        **counts,
        "ignored": int(by_kind[IGNORED, COUNT]),
        "kept": int(by_kind[:2, KEPT].sum()),
        "objects": int(objects[0]),
        "objects_without_positive": objects[1] / max(objects[0], 1),
        "positives_per_object": objects[2] / max(objects[0], 1),
    }
    candidates = tally.candidates.cpu().numpy()
    found["candidates"] = int(candidates[:PADDING].sum()) or found["samples"] + found["ignored"]
    found["candidate_positives"] = int(candidates[POSITIVE]) or counts["positives"]
    of_images = ("candidates", "candidate_positives", "samples", "positives", "negatives", "ignored", "kept", "objects")
    found |= {f"{name}_per_image": found[name] / num for name in of_images}
    return found | _gradients(tally, by_kind, sums) | _quality(tally) | _images(tally)


def _gradients(tally: Tally, by_kind: np.ndarray, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Shares of the gradient, and how many samples there are in effect."""
    whole = by_kind[:2].sum(0)
    gradient = max(whole[GRADIENT], np.finfo(float).tiny)
    of_scores, fine = sums["score"][NEGATIVE, :, GRADIENT], sums["loss_decile"][NEGATIVE]
    hardest = _parts(fine[:, COUNT], np.array([1 - HARDEST, 1.0]))[0] @ fine[:, GRADIENT]
    easy = sums["score"][NEGATIVE, :EASY, COUNT].sum()
    found = {
        "gradient": float(whole[GRADIENT]),
        "weight": float(whole[WEIGHT]),
        "positive_gradient": by_kind[POSITIVE, GRADIENT] / gradient,
        "negative_gradient": by_kind[NEGATIVE, GRADIENT] / gradient,
        "easy_negative_gradient": of_scores[:EASY].sum() / gradient,
        "hard_negative_gradient": of_scores[HARD:].sum() / gradient,
        "hardest_negative_gradient": hardest / gradient,
        "easy_negatives": easy / max(whole[COUNT], 1),
    }
    return {name: float(value) for name, value in found.items()} | _effective(tally, whole)


def _effective(tally: Sums, whole: np.ndarray) -> dict[str, float]:
    """The loss, and how many samples there are in effect by their weights and by their gradients."""
    found = {}
    if tally.has_loss:
        found["classification_loss"] = whole[LOSS] / (tally.num_whole_steps or 1)
    for name, column, square in zip(("weight", "gradient"), (WEIGHT, GRADIENT), tally.squares.tolist(), strict=True):
        effective = whole[column] ** 2 / square if square > 0 else 0.0
        found |= {f"effective_samples_{name}": effective, f"effective_share_{name}": effective / max(whole[COUNT], 1)}
    return {name: float(value) for name, value in found.items()}


def _quality(tally: Tally) -> dict[str, float]:
    """How score and IoU of positives go together; nothing of too few, or of such as are all alike."""
    num, score, iou, score2, iou2, both = tally.moments.tolist()
    if num < FEWEST_POSITIVES:
        return {}
    found = {"mean_positive_score": score / num, "mean_positive_iou": iou / num}
    spread = (score2 / num - (score / num) ** 2) * (iou2 / num - (iou / num) ** 2)
    if spread > 1e-24:
        found["score_iou_correlation"] = (both / num - score * iou / num**2) / spread**0.5
    ranks = _rank_correlation(tally.ranks[:-1].reshape(RANKS).cpu().numpy())
    return found if ranks is None else found | {"score_iou_rank_correlation": ranks}


def _rank_correlation(counts: np.ndarray) -> float | None:
    """Spearman's, of pairs counted by bins; those within a bin are ties."""
    total = counts.sum()
    margins = counts.sum(1), counts.sum(0)
    ranks = [np.cumsum(of) - of / 2 - total / 2 for of in margins]  # middle ranks, about their mean
    spread = [(of * rank**2).sum() for of, rank in zip(margins, ranks, strict=True)]
    return float(ranks[0] @ counts @ ranks[1] / (spread[0] * spread[1]) ** 0.5) if min(spread) > 0 else None


def _images(tally: Sums) -> dict[str, float]:
    """How unequal images are, by their share of the gradient."""
    counts, gradients = tally.images.cpu().numpy().T
    whole = gradients.sum()
    if not whole:
        return {}
    empty, of_empty = tally.empty.tolist()
    values, upto = fine_values().numpy() / whole, np.cumsum(counts)
    found = {"images_without_positive": empty, "gradient_without_positive": float(of_empty / whole)}
    for name, quantile in (("lowest", 0.0), ("median", 0.5), ("90th", 0.9)):
        place = int(np.searchsorted(upto, max(quantile * upto[-1], 1)))
        found[f"image_gradient_{name}"] = float(values[place])
    found["image_gradient_highest"] = float(tally.richest[0, 2 + GRADIENT] / whole)
    richest_first = np.cumsum(gradients[::-1])
    needed = int(np.searchsorted(richest_first, whole / 2))
    before = richest_first[needed] - gradients[::-1][needed]
    part = (whole / 2 - before) / gradients[::-1][needed]
    found["images_for_half_gradient"] = float(counts[::-1][:needed].sum() + part * counts[::-1][needed])
    return found
