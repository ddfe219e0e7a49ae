"""Which recipes are worth comparing first, by what a diagnosis says: a table of rules, each with its reason in words.

A rule looks at one number. Where that is beyond its limit, it offers recipes, the most promising first, and may advise
against others. Rules come in the order in which they are heard; of what they offer, recipes of different kinds are
taken, so that one comparison asks different questions. What the rules leave open is filled by what gained most so far.

Limits and preferences are judgements, from what the papers say their methods are for and from docs/results.md. They say
what to try, not what will win: that the comparison says.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hardmine.diagnosis.held_back import Diagnosis
from hardmine.errors import check_name
from hardmine.recipes import RECIPES

__all__ = ["BASELINE", "NUM_CANDIDATES", "RULES", "Advice", "Rule", "advise"]

BASELINE = "random"
NUM_CANDIDATES = 3
"""Recipes that are advised, beside the baseline."""
LONG_TAIL = 10
"""Times as many objects of the commonest class as of the rarest, from which classes are a matter at all."""
FEWEST_RIGHT = 0.2
"""The share of a model's predictions that must be right for its doubts of labels to be heard."""
MINING_BY_LOSS = ("ohem", "ohem_mmdet", "rfcn_ohem", "s_ohem", "hnm")
"""They train on what is lost most on, and a label error is just that."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recipe to try, with the options that differ from its defaults, and why: a sentence with the number behind it.

    rule: the name of the rule that it is from; empty where no rule says it.
    """

    recipe: str
    reason: str
    rule: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """As of `Recipe.kind`."""
        return RECIPES[self.recipe]().kind

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dictionary."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """Offers recipes where a number of a diagnosis is beyond a limit.

    number: in what unit the diagnosis has it; None where it is unknown, or means nothing there: then nothing is said.
    above, below: the limit; one of the two.  prefer: recipes, the most promising first.  avoid: what not to try.
    reason: with {percent} or {number} for it, and {d} for the whole diagnosis.
    """

    name: str
    number: Callable[[Diagnosis], float | None]
    prefer: tuple[str, ...]
    reason: str
    above: float | None = None
    below: float | None = None
    avoid: tuple[str, ...] = ()

    def fires(self, diagnosis: Diagnosis) -> bool:
        """Whether the number is beyond the limit."""
        number = self.number(diagnosis)
        if number is None:
            return False
        return (self.above is not None and number > self.above) or (self.below is not None and number < self.below)

    def offers(self, diagnosis: Diagnosis) -> list[Advice]:
        """All that it prefers, whatever the number is."""
        number = self.number(diagnosis) or 0.0
        decimal = f"{number:.2g}".replace("0.", ".")  # two digits: no other 0 stands before a point
        reason = self.reason.format(percent=f"{100 * number:.0f} %", number=decimal, d=diagnosis)
        return [Advice(recipe, reason, self.name) for recipe in self.prefer]


def _if_it_knows(diagnosis: Diagnosis, doubt: float | None) -> float | None:
    """A doubt of the labels; None where the model is itself mostly wrong."""
    return doubt if diagnosis.errors.precision >= FEWEST_RIGHT else None


def _tail_gap(diagnosis: Diagnosis) -> float | None:
    """By how much AP of the rarest third is below that of the commonest, where the classes are unequal."""
    of = diagnosis.classes
    if of.ratio < LONG_TAIL or of.ap_rarest is None or of.ap_commonest is None:
        return None
    return of.ap_commonest - of.ap_rarest


def _background_of(*heads: str) -> Callable[[Diagnosis], float | None]:
    return lambda d: d.errors.background if d.head in heads else None


ROBUST = ("dr_loss", "isr", "pisa", "ghm")  # GHM is for outliers, but did badly in both of our comparisons
NOT_MINED = "what ranks by loss would train on just these, so others are tried"
BACKGROUND = "{percent} of the errors are predictions on background: mining shows it more of such places"

RULES: tuple[Rule, ...] = (
    Rule(
        "missing labels",
        lambda d: _if_it_knows(d, d.suspects.missing),
        above=0.25,
        prefer=ROBUST,
        avoid=MINING_BY_LOSS,
        reason="for each object with a label, {number} seem to have none: " + NOT_MINED,
    ),
    Rule(
        "labelling given up early",
        lambda d: _if_it_knows(d, d.suspects.missing_by_image),
        below=-0.4,
        prefer=ROBUST,
        avoid=MINING_BY_LOSS,
        reason="the fewer labels an image has, the more predictions on background (rank correlation {number}), as "
        "where labels are missing: " + NOT_MINED,
    ),
    Rule(
        "suspect labels",
        lambda d: _if_it_knows(d, d.suspects.labels),
        above=0.15,
        prefer=ROBUST,
        avoid=MINING_BY_LOSS,
        reason="{percent} of the labels are suspected to be wrong: " + NOT_MINED,
    ),
    Rule(
        "long tail",
        _tail_gap,
        above=0.1,
        prefer=("eqlv2", "seesaw", "class_balanced", "efl"),
        reason="the commonest class has {d.classes.ratio:.0f} times as many objects as the rarest, and the AP of the "
        "rarest third of the classes is {number} lower: rare classes are given more weight",
    ),
    Rule(
        "easy negatives",
        lambda d: d.gradient.easy_negatives,
        above=0.4,
        prefer=("dr_loss", "focal", "ap_loss", "rs_loss", "hnm"),
        reason="{percent} of the classification gradient comes from negatives that score below .1: their sheer number "
        "is turned down",
    ),
    Rule(
        "background errors of a RoI head",
        _background_of("roi"),
        above=0.35,
        prefer=("ohem", "hnm", "ohem_mmdet"),
        reason=BACKGROUND,
    ),
    Rule(
        "background errors",
        _background_of("dense", "soft", "set"),
        above=0.35,
        prefer=("ohem_mmdet", "hnm", "ap_loss"),
        reason=BACKGROUND,
    ),
    Rule(
        "badly located",
        lambda d: d.errors.badly_located,
        above=0.25,
        prefer=("rs_loss", "alrp", "pisa", "gfl"),
        reason="{percent} of the errors lie on an object of their class, but badly: predictions that lie better are "
        "made to score higher",
    ),
    Rule(
        "score says little of IoU",
        lambda d: d.score_iou_correlation,
        below=0.3,
        prefer=("vfl", "carl", "pisa", "qfl", "correlation"),
        reason="the rank correlation of score and IoU of true predictions is only {number}: scores are made to say how "
        "well a box lies",
    ),
    Rule(
        "objects without samples",
        lambda d: d.samples.without,
        above=0.1,
        prefer=("atss", "simota"),
        reason="{percent} of the objects have no sample that is to find them: each is assigned its own",
    ),
    Rule(
        "few samples an object",
        lambda d: d.samples.mean,
        below=3.0,
        prefer=("atss", "simota"),
        reason="an object has {number} positive samples on average: it is assigned more",
    ),
    Rule(
        "small objects",
        lambda d: d.sizes.small,
        above=0.4,
        prefer=("atss", "simota"),
        reason="{percent} of the objects are smaller than 32² pixels, which fixed IoU thresholds assign few samples",
    ),
    Rule(
        "unequal objects",
        lambda d: d.samples.of_richest_quarter,
        above=0.5,
        prefer=("libra", "isr", "pisa"),
        reason="a quarter of the objects has {percent} of the positives: objects, or the best of their samples, are "
        "brought to equal terms",
    ),
    Rule(
        "hardest negatives",
        lambda d: d.gradient.hardest_negatives,
        above=0.4,
        prefer=("ghm", "dr_loss"),
        reason="{percent} of the classification gradient comes from the hardest 1 % of the negatives: outliers are "
        "turned down",
    ),
)

GAINED = {
    "dr_loss": "it gained most on RetinaNet, on scenes and on blood cells",
    "isr": "it gained most on Faster R-CNN, on scenes with one seed",
    "hnm": "it gained on scenes with RetinaNet and Faster R-CNN, but not on blood cells, where labels are missing",
    "rs_loss": "it gained on RetinaNet, on scenes and on blood cells",
    "eqlv2": "it gained on RetinaNet, on scenes and on blood cells with one seed each",
    "ap_loss": "it gained on RetinaNet, on scenes and on blood cells",
    "pisa": "it gained on RetinaNet and Faster R-CNN with one seed each",
    "correlation": "it gained on Faster R-CNN, on scenes with one seed",
    "libra": "it gained on Faster R-CNN, on scenes with one seed",
}
"""What is tried where no rule says what: in this order, by the measurements of docs/results.md."""


def advise(diagnosis: Diagnosis, takes: Sequence[str]) -> list[Advice]:
    """Three recipes to compare with the baseline, the most promising first; fewer only where the detector takes fewer.

    Args: takes: names of the recipes that the detector takes, such as `every_recipe` gives. The baseline and the
        diagnosed run's own recipe are never among the advice.
    Raises: ConfigError: a name that no recipe has.
    """
    for name in takes:
        check_name("recipe", name, RECIPES)
    usable = [name for name in takes if name not in (BASELINE, diagnosis.recipe)]
    firing = [rule for rule in RULES if rule.fires(diagnosis)]
    avoided = {name for rule in firing for name in rule.avoid}
    sensible = [name for name in usable if name not in avoided]
    by_rule = [_only(rule.offers(diagnosis), sensible) for rule in firing]
    gained = _only([Advice(name, _without_a_rule(name)) for name in GAINED], sensible)
    rest = [Advice(name, _without_a_rule(name)) for name in sorted(usable, key=avoided.__contains__)]
    chosen: list[Advice] = []
    for offers, only_new_kinds in ((by_rule, True), ([gained], True), (by_rule, False), ([gained, rest], False)):
        _choose(chosen, offers, only_new_kinds=only_new_kinds)
    return chosen


def _only(offers: Iterable[Advice], recipes: Sequence[str]) -> list[Advice]:
    return [offer for offer in offers if offer.recipe in recipes]


def _choose(chosen: list[Advice], by_rule: Sequence[Sequence[Advice]], *, only_new_kinds: bool) -> None:
    """Adds to what is chosen until there are enough: rules take turns, each with its first offer that is new."""
    num_before = -1
    while len(chosen) > num_before:
        num_before = len(chosen)
        for offers in by_rule:
            taken = {advice.recipe for advice in chosen}
            kinds = {advice.kind for advice in chosen} if only_new_kinds else set()
            new = [offer for offer in offers if offer.recipe not in taken and offer.kind not in kinds]
            chosen += new[: min(1, NUM_CANDIDATES - len(chosen))]


def _without_a_rule(name: str) -> str:
    """Why it is tried where the diagnosis does not say."""
    measured, published = GAINED.get(name), RECIPES[name]().gain
    known = [f"{measured} (docs/results.md)" if measured else "", f"published: {published}" if published else ""]
    return f"no number of the diagnosis points to it; {'; '.join(filter(None, known)) or 'the detector takes it'}"
