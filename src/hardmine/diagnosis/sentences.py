"""What the numbers say, in plain words: a table of rules, each a condition on numbers and a sentence.

A rule of one recipe looks at its final head; a rule of two looks at what changes between them, on the same weights. The
numbers of a sentence are kept beside it, under their names in diagnosis.json. Limits are judgements: they say what is
worth a sentence, not what is good or bad.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hardmine.diagnosis.head_tables import HeadTables

if TYPE_CHECKING:
    from hardmine.diagnosis.held_back import Diagnosis

__all__ = [
    "COMPARISONS",
    "PIXEL_COMPARISONS",
    "PIXEL_RULES",
    "RULES",
    "Comparison",
    "Rule",
    "Sentence",
    "sentences_of",
]

Numbers = dict[str, float]
RPN, CONTOURS = "rpn", "contour_distance"
RULES_OF_RPN = ("counts", "whose gradient", "objects without positives", "levels")
NOTABLE = 0.05
"""A difference of shares below which two recipes are not told apart."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """numbers: those that it is derived from, by where they are in diagnosis.json.

    random/dense/totals/positives is that number of head dense under recipe random, random/dense/score/0-.1/gradient one
    of a row of a table, held_back/errors/missed one of a run's errors.
    """

    text: str
    numbers: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """A sentence on one head. numbers: None where there is nothing to say; text: with the numbers put in."""

    name: str
    numbers: Callable[[HeadTables], Numbers | None]
    text: Callable[[Numbers], str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sentence on the same number of a head under two recipes, where it differs by more than `least`."""

    name: str
    number: str
    text: str
    least: float = NOTABLE


def sentences_of(
    recipes: Mapping[str, Mapping[str, HeadTables]], final_head: str, held_back: "Diagnosis | None" = None
) -> Iterator[Sentence]:
    """All that there is to say of the final head, and of the RPN before it what decides about proposals.

    Of the first recipe, and then what differs under the others.
    """
    (first, heads), *others = recipes.items()
    are_pixels = CONTOURS in heads[final_head].tables
    yield from _of_head(first, final_head, heads[final_head], PIXEL_RULES if are_pixels else RULES)
    comparisons = PIXEL_COMPARISONS if are_pixels else COMPARISONS
    for other, of_other in others:
        yield from _compared(final_head, first, heads[final_head], other, of_other[final_head], comparisons)
    if RPN in heads and final_head != RPN:
        for sentence in _of_head(first, RPN, heads[RPN], [rule for rule in RULES if rule.name in RULES_OF_RPN]):
            yield Sentence(f"RPN: {sentence.text}", sentence.numbers)
    if held_back is not None:
        yield from _of_errors(held_back)


def _of_head(recipe: str, head: str, of: HeadTables, rules: Iterable[Rule]) -> Iterator[Sentence]:
    for rule in rules:
        numbers = rule.numbers(of)
        if numbers is not None:
            yield Sentence(rule.text(numbers), {_place(recipe, head, name): value for name, value in numbers.items()})


def _place(recipe: str, head: str, name: str) -> str:
    return f"{recipe}/{head}/{name if '/' in name else f'totals/{name}'}"


def percent(share: float) -> str:
    """A share in words, with a digit after the point where it would be 0 or 100 otherwise."""
    value = 100 * share
    if 0 < value < 0.1:
        return "less than 0.1 %"
    return f"{value:.1f} %" if 0 < value < 1 or 99 < value < 100 else f"{value:.0f} %"


def _compared(
    head: str,
    first: str,
    of_first: HeadTables,
    other: str,
    of_other: HeadTables,
    comparisons: Sequence[Comparison],
) -> Iterator[Sentence]:
    said = False
    for rule in comparisons:
        before, after = of_first.totals.get(rule.number), of_other.totals.get(rule.number)
        if before is None or after is None or abs(before - after) <= rule.least:
            continue
        said = True
        text = rule.text.format(first=first, other=other, before=percent(before), after=percent(after))
        yield Sentence(text, {_place(first, head, rule.number): before, _place(other, head, rule.number): after})
    if not said:
        pair = {first: of_first, other: of_other}
        yield Sentence(
            f"On these weights {other} pulls at the same samples as {first}, within {percent(NOTABLE)} of the gradient "
            "of every kind.",
            {
                _place(name, head, rule.number): of.totals[rule.number]
                for name, of in pair.items()
                for rule in comparisons
            },
        )


def _some(of: HeadTables, *names: str) -> Numbers | None:
    found = {name: of.totals[name] for name in names if name in of.totals}
    return found if len(found) == len(names) else None


def _when(numbers: Numbers | None, condition: Callable[[Numbers], bool]) -> Numbers | None:
    return numbers if numbers is not None and condition(numbers) else None


def _counts(of: HeadTables) -> Numbers | None:
    return _some(of, "candidates_per_image", "candidate_positives_per_image", "objects_per_image")


def _say_counts(n: Numbers) -> str:
    num, positives = n["candidates_per_image"], n["candidate_positives_per_image"]
    ratio = f", one in {num / positives:,.0f}" if positives > 0 else ""
    return (
        f"{num:,.0f} candidates an image, {positives:,.1f} of them positive{ratio}, for {n['objects_per_image']:.1f} "
        "objects."
    )


def _sampled(of: HeadTables) -> Numbers | None:
    numbers = _some(of, "kept_per_image", "samples_per_image")
    return _when(numbers, lambda n: n["kept_per_image"] < 0.99 * n["samples_per_image"])


def _say_sampled(n: Numbers) -> str:
    return f"The recipe counts {n['kept_per_image']:,.0f} of {n['samples_per_image']:,.0f} samples an image."


def _say_easy(n: Numbers) -> str:
    return (
        f"{percent(n['easy_negative_gradient'])} of the classification gradient comes from negatives that score below "
        f".1 ({percent(n['easy_negatives'])} of the samples), {percent(n['hard_negative_gradient'])} from negatives "
        f"above .5, {percent(n['positive_gradient'])} from positives."
    )


def _say_hardest(n: Numbers) -> str:
    return (
        f"The hardest 1 % of the negatives (by cross entropy) make {percent(n['hardest_negative_gradient'])} of the "
        f"gradient, all negatives {percent(n['negative_gradient'])}."
    )


def _say_effective(n: Numbers) -> str:
    of_weights = (
        "the weights of the recipe are all alike"
        if n["effective_share_weight"] > 0.999
        else f"by the weights of the recipe it would be {n['effective_samples_weight']:,.0f} "
        f"({percent(n['effective_share_weight'])})"
    )
    return (
        f"The gradient is as concentrated as if {n['effective_samples_gradient']:,.0f} samples pulled alike "
        f"({percent(n['effective_share_gradient'])}); {of_weights}."
    )


def _tenth(of: HeadTables) -> Numbers | None:
    return {"loss_decile/10 (hardest)/gradient": of.share("loss_decile", "10 (hardest)", "gradient")}


def _say_tenth(n: Numbers) -> str:
    (share,) = n.values()
    return f"The tenth of the samples with the highest cross entropy makes {percent(share)} of the gradient."


def _without(of: HeadTables) -> Numbers | None:
    return _when(_some(of, "objects_without_positive", "objects"), lambda n: n["objects_without_positive"] > 0.01)


def _small(of: HeadTables) -> Numbers | None:
    """Objects of each size that no sample is positive for, where one size is worse off than all."""
    rows = {row["bin"]: row for row in of.tables["object_size"] if row["objects"]}
    if len(rows) < 2:
        return None
    per_object = {name: row["positives"] / row["objects"] for name, row in rows.items()}
    least, most = min(per_object, key=per_object.__getitem__), max(per_object, key=per_object.__getitem__)
    if per_object[most] < 2 * per_object[least]:
        return None
    found = {}
    for name in (least, most):
        found |= {f"object_size/{name}/{of}": float(rows[name][of]) for of in ("positives", "objects")}
    return found


def _say_small(n: Numbers) -> str:
    names = [key.split("/")[1] for key in n if key.endswith("/objects")]
    least, most = (n[f"object_size/{name}/positives"] / n[f"object_size/{name}/objects"] for name in names)
    return f"A {names[0]} object has {least:.1f} positive samples, a {names[1]} one {most:.1f}."


def _class(of: HeadTables) -> Numbers | None:
    """The class that most of the positives' gradient is of, where there are several and one has more than half."""
    rows = of.tables["class"][:-1]
    whole = sum(row["gradient"] for row in rows)
    if len(rows) < 2 or not whole:
        return None
    row = max(rows, key=lambda row: row["gradient"])
    objects = of.totals["objects"]
    found = {
        f"class/{row['bin']}/gradient": row["gradient"],
        f"class/{row['bin']}/objects": float(row["objects"]),
        "positive_gradient": of.totals["positive_gradient"],
        "objects": float(objects),
    }
    return found if row["gradient"] / whole > 0.5 and objects else None


def _say_class(n: Numbers) -> str:
    gradient, objects = list(n)[:2]
    name = gradient.removeprefix("class/").removesuffix("/gradient")
    return (
        f"Of the gradient of positives {percent(n[gradient] / n['positive_gradient'])} is of class {name}, which has "
        f"{percent(n[objects] / n['objects'])} of the objects."
    )


def _level(of: HeadTables) -> Numbers | None:
    """The level with most of the gradient, where it has far more than its share of the samples."""
    rows = of.tables.get("level", [])
    if len(rows) < 2:
        return None
    row = max(rows, key=lambda row: row["gradient"] - row["samples"])
    if row["gradient"] < row["samples"] + 0.2:
        return None
    return {f"level/{row['bin']}/{name}": row[name] for name in ("gradient", "samples")}


def _say_level(n: Numbers) -> str:
    gradient, samples = n
    name = gradient.split("/")[1]
    return f"The level of {name} has {percent(n[samples])} of the samples and {percent(n[gradient])} of the gradient."


def _quality(of: HeadTables) -> Numbers | None:
    return _some(of, "score_iou_correlation", "score_iou_rank_correlation", "mean_positive_score", "mean_positive_iou")


def _say_quality(n: Numbers) -> str:
    ranks = n["score_iou_rank_correlation"]
    weak = ": a high score says little of how well a box fits" if ranks < 0.2 else ""
    return (
        f"Score and IoU of positives correlate by {n['score_iou_correlation']:.2f}, their ranks by {ranks:.2f}{weak} "
        f"(means {n['mean_positive_score']:.2f} and {n['mean_positive_iou']:.2f})."
    )


def _uneven(of: HeadTables) -> Numbers | None:
    return _when(
        _some(of, "images_for_half_gradient", "images"),
        lambda n: n["images"] >= 20 and n["images_for_half_gradient"] < 0.25 * n["images"],
    )


def _say_uneven(n: Numbers) -> str:
    return f"{n['images_for_half_gradient']:.0f} of the {n['images']:.0f} images make half of the gradient."


def _empty(of: HeadTables) -> Numbers | None:
    """Images without a positive, where their share of the gradient is twice that of the images."""
    return _when(
        _some(of, "gradient_without_positive", "images_without_positive", "images"),
        lambda n: n["gradient_without_positive"] > max(2 * n["images_without_positive"] / n["images"], NOTABLE),
    )


def _say_empty(n: Numbers) -> str:
    return (
        f"The {n['images_without_positive']:.0f} of {n['images']:.0f} images that have no positive sample make "
        f"{percent(n['gradient_without_positive'])} of the gradient: nothing divides the loss of their negatives."
    )


def _of_pixels(say: Callable[[Numbers], str]) -> Callable[[Numbers], str]:
    """The same sentence where the samples are pixels."""
    return lambda n: say(n).replace("samples", "pixels")


def _say_pixels(n: Numbers) -> str:
    ignored = f"; {percent(n['ignored_share'])} of all are ignored" if n["ignored_share"] else ""
    return f"{n['samples_per_image']:,.0f} labelled pixels an image{ignored}."


def _say_scores(n: Numbers) -> str:
    return (
        f"{percent(n['hard_gradient'])} of the gradient comes from pixels whose class scores below .5 "
        f"({percent(n['hard_samples'])} of the pixels), {percent(n['easy_gradient'])} from pixels above .9 "
        f"({percent(n['easy_samples'])})."
    )


def _say_contours(n: Numbers) -> str:
    return (
        f"Pixels at most 2 away from another label are {percent(n['contour_samples'])} of the pixels and make "
        f"{percent(n['contour_gradient'])} of the gradient."
    )


def _pixel_class(of: HeadTables) -> Numbers | None:
    """The class with most gradient, where that is another share than of the pixels."""
    rows = [row for row in of.tables["class"] if row["count"]]
    if len(rows) < 2:
        return None
    row = max(rows, key=lambda row: row["gradient"])
    found = {f"class/{row['bin']}/{name}": row[name] for name in ("gradient", "samples")}
    return found if abs(row["gradient"] - row["samples"]) > NOTABLE else None


def _say_pixel_class(n: Numbers) -> str:
    gradient, samples = n
    name = gradient.removeprefix("class/").removesuffix("/gradient")
    return (
        f"Class {name} has most of the gradient: {percent(n[gradient])} of it, with {percent(n[samples])} of the "
        "pixels."
    )


EASY_NEGATIVES = ("easy_negative_gradient", "easy_negatives", "hard_negative_gradient", "positive_gradient")
EFFECTIVE = tuple(f"effective_{what}_{of}" for of in ("gradient", "weight") for what in ("samples", "share"))

RULES: tuple[Rule, ...] = (
    Rule("counts", _counts, _say_counts),
    Rule("sampled", _sampled, _say_sampled),
    Rule("whose gradient", lambda of: _some(of, *EASY_NEGATIVES), _say_easy),
    Rule("hardest negatives", lambda of: _some(of, "hardest_negative_gradient", "negative_gradient"), _say_hardest),
    Rule("hardest tenth", _tenth, _say_tenth),
    Rule("effective samples", lambda of: _some(of, *EFFECTIVE), _say_effective),
    Rule(
        "objects without positives",
        _without,
        lambda n: (
            f"{percent(n['objects_without_positive'])} of the {n['objects']:,.0f} objects have no positive sample: "
            "nothing is learnt from them."
        ),
    ),
    Rule("sizes", _small, _say_small),
    Rule("classes", _class, _say_class),
    Rule("levels", _level, _say_level),
    Rule("score and IoU", _quality, _say_quality),
    Rule("images", _uneven, _say_uneven),
    Rule("images without positives", _empty, _say_empty),
)

OF_SCORES = ("hard_gradient", "hard_samples", "easy_gradient", "easy_samples")

PIXEL_RULES: tuple[Rule, ...] = (
    Rule("pixels", lambda of: _some(of, "samples_per_image", "ignored_share"), _say_pixels),
    Rule("kept", _sampled, _of_pixels(_say_sampled)),
    Rule("scores", lambda of: _some(of, *OF_SCORES), _say_scores),
    Rule("contours", lambda of: _some(of, "contour_samples", "contour_gradient"), _say_contours),
    Rule("classes", _pixel_class, _say_pixel_class),
    Rule("hardest tenth", _tenth, _of_pixels(_say_tenth)),
    Rule("effective pixels", lambda of: _some(of, *EFFECTIVE), _of_pixels(_say_effective)),
    Rule("images", _uneven, _say_uneven),
)

COMPARISONS: tuple[Comparison, ...] = (
    Comparison(
        "easy negatives",
        "easy_negative_gradient",
        "Negatives that score below .1 have {before} of the gradient under {first} and {after} under {other}.",
    ),
    Comparison(
        "hard negatives",
        "hard_negative_gradient",
        "Negatives that score above .5 have {before} of the gradient under {first} and {after} under {other}.",
    ),
    Comparison(
        "positives",
        "positive_gradient",
        "Positives have {before} of the gradient under {first} and {after} under {other}.",
    ),
    Comparison(
        "effective samples",
        "effective_share_gradient",
        "The gradient is spread as if {before} of the samples pulled alike under {first}, {after} under {other}.",
        least=0.01,
    ),
)

PIXEL_COMPARISONS: tuple[Comparison, ...] = (
    Comparison(
        "hard pixels",
        "hard_gradient",
        "Pixels whose class scores below .5 have {before} of the gradient under {first} and {after} under {other}.",
    ),
    Comparison(
        "easy pixels",
        "easy_gradient",
        "Pixels whose class scores above .9 have {before} of the gradient under {first} and {after} under {other}.",
    ),
    Comparison(
        "contours",
        "contour_gradient",
        "Pixels at most 2 away from another label have {before} of the gradient under {first} and {after} under "
        "{other}.",
    ),
    Comparison(
        "effective pixels",
        "effective_share_gradient",
        "The gradient is spread as if {before} of the pixels pulled alike under {first}, {after} under {other}.",
        least=0.01,
    ),
)


def _of_errors(held_back: "Diagnosis") -> Iterator[Sentence]:
    """What the predictions of the measured split are wrong about."""
    errors = held_back.errors
    kinds = {
        name: getattr(errors, name) for name in ("background", "missed", "badly_located", "confusion", "duplicate")
    }
    worst = max(kinds, key=lambda name: kinds[name])
    if not errors.num_errors:
        return
    words = {"background": "predictions on background", "missed": "objects that are missed"}
    yield Sentence(
        f"Of what is wrong with its predictions (at the score with the best F1, {errors.threshold:.2f}), "
        f"{percent(kinds[worst])} are {words.get(worst, worst.replace('_', ' '))}.",
        {"held_back/errors/threshold": errors.threshold, f"held_back/errors/{worst}": kinds[worst]},
    )
