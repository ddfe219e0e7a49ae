"""What a recipe is: one paper, as a choice of t, w, ℓ and Z for each place where a detector computes a loss.

    L = (1/Z) · Σ_i  w_i · ℓ(z_i, t_i)

A detector has one or two *heads* (a dense detector one; a two-stage detector its RPN and its RoI head; a set-prediction
detector one a decoder layer; a segmenter one, or two), and each head the same three *slots*:

select     which of its samples count at all, for both losses: a sampling
classify   the classification loss: a sampling, a loss, a normaliser
regress    the box loss, of positives: a sampling, a loss, a normaliser; pixels have none

A recipe fills only the parts it changes; the framework's own choice stays in all others. Some frameworks compute the
losses of a head themselves (`HeadTraits.is_framework`): there a recipe's weights multiply into the framework's own ℓ,
divided by its own Z, unless the recipe brings a classification loss; the box loss always stays the framework's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from hardmine.assign import Assigner, AssignerEvidence
from hardmine.core.samples import Activation, Evidence
from hardmine.equation.normalize import Normalizer, PerPositive
from hardmine.errors import EvidenceError
from hardmine.losses import ClassificationLoss, RegressionLoss, TaskBalance
from hardmine.sampling import All, Sampling, Scheduled

__all__ = [
    "BEYOND_RPN", "BOXES_AND_PIXELS", "PIXELS", "SLOTS", "HeadTraits", "Kind", "Paper", "Recipe", "Slot", "Slots",
    "over_all_samples",
]  # fmt: skip

SLOTS = ("select", "classify", "regress")
HeadName = Literal["dense", "rpn", "roi", "soft", "set", "pixels"]
FRAMEWORK_HEADS: frozenset[HeadName] = frozenset({"soft", "set"})
EVERY_HEAD: frozenset[HeadName] = frozenset(get_args(HeadName))
PIXELS: frozenset[HeadName] = frozenset({"pixels"})
BEYOND_RPN: frozenset[HeadName] = EVERY_HEAD - {"rpn"} - PIXELS
"""Where papers' methods act: proposals stay as the framework makes them, so that what is compared is one head."""
BOXES_AND_PIXELS: frozenset[HeadName] = BEYOND_RPN | PIXELS
"""Those that speak of classes only, and so of a segmenter's pixels as well."""


@dataclass(frozen=True, slots=True)
class HeadTraits:
    """What a recipe may know of a head before it fills its slots.

    name: "dense" (one-stage), "rpn", "roi", "soft" (one-stage, with soft targets from its assigner: YOLO), "set" (a
    fixed number of queries, each object matched to one: DETR) or "pixels" (a segmenter: no boxes, no background beside
    the classes).  num_classes: C, without background; 1 of an RPN.
    evidence: names of the fields of `Samples` the head can provide.
    code_scale: what its box codes are multiplied by, see `BoxCoder`.
    budget: samples of an image that the framework itself trains this head on; None where it takes all.
    assign_evidence: what it can tell an assigner beside boxes and objects.
    """

    detector: str
    name: HeadName
    activation: Activation
    num_classes: int
    evidence: frozenset[Evidence]
    code_scale: float = 1.0
    budget: int | None = None
    assign_evidence: frozenset[AssignerEvidence] = frozenset()

    @property
    def is_framework(self) -> bool:
        """Whether the framework computes the losses of this head itself."""
        return self.name in FRAMEWORK_HEADS

    @property
    def is_sampled(self) -> bool:
        """Whether the framework trains it on a sample of what there is, and not on all."""
        return self.name in ("rpn", "roi")

    def over(self, normalize: Normalizer) -> Normalizer | None:
        """The normaliser, for a loss that stays as it is; None where the framework divides that itself."""
        return None if self.is_framework else normalize


@dataclass(frozen=True, slots=True)
class Slot:
    """One place where a loss is computed. A part that is None stays as the framework has it.

    scale: what the whole sum is multiplied by; a `TaskBalance` looks at both sums of the head to say so.
    also: a listwise loss that is added to the classification loss.
    """

    sampling: Sampling | None = None
    loss: ClassificationLoss | RegressionLoss | None = None
    normalize: Normalizer | None = None
    scale: float | TaskBalance | None = None
    also: ClassificationLoss | None = None

    def over(self, default: "Slot") -> "Slot":
        """This slot, with its empty parts taken from the default."""
        mine = {part.name: getattr(self, part.name) for part in fields(self)}
        if isinstance(self.sampling, Scheduled):
            mine["sampling"] = self.sampling.beginning_with(default.sampling)
        return replace(default, **{name: part for name, part in mine.items() if part is not None})


Slots = Mapping[str, Slot]
Kind = Literal["own", "hard", "soft", "loss", "ranking", "assignment"]


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a method comes from."""

    authors: str
    title: str
    venue: str
    arxiv: str | None = None

    @property
    def short(self) -> str:
        """First author and venue, as a table has room for."""
        first, *others = self.authors.split(", ")
        return f"{first}{' et al.' if others else ''}, {self.venue}"

    def __str__(self) -> str:
        number = f", arXiv:{self.arxiv}" if self.arxiv else ""
        return f"{self.authors}, {self.title}, {self.venue}{number}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One method, ready to be put on a detector: `hardmine.wrap(model, recipe)`.

    on: the heads that the method is for; the others stay as the framework has them.
    slots: given such a head, the slots that the method fills there (keys from `SLOTS`); called once a head.
    assign: given such a head, the assigner that the method wants there, or None for the framework's own.
    objects_as_proposals: whether a RoI head also trains on the boxes of the objects themselves, as frameworks do.
    prior: probability with which a dense head's new classification layer should start, where the method needs one.
    kind: what sort of answer it is: "hard" or "soft" sampling, a "loss", a "ranking" loss, an "assignment".
    gain: the published gain in a few words.
    tuned: options worth tuning and the values to try, the default among them: those its paper tried, and where we know
        of none, some around the default.
    The other fields say what the method is; `hardmine explain` and the documentation print them.
    """

    name: str
    slots: Callable[[HeadTraits], Slots] = field(default=lambda _: {})
    kind: Kind = "own"
    title: str = ""
    summary: str = ""
    equation: str = ""
    paper: Paper | None = None
    gain: str = ""
    published: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    prior: float | None = None
    assign: Callable[[HeadTraits], Assigner | None] = field(default=lambda _: None)
    on: frozenset[HeadName] = EVERY_HEAD
    objects_as_proposals: bool = True

    def slots_on(self, head: HeadTraits) -> Slots:
        """What the method fills on this head; nothing where it is not for it.

        Raises: EvidenceError: it is for heads of boxes, and this one is of pixels, or the other way round.
        """
        self._check_samples(head)
        return self.slots(head) if head.name in self.on else {}

    def assigner_on(self, head: HeadTraits) -> Assigner | None:
        """The assigner that the method wants on this head, if any."""
        return self.assign(head) if head.name in self.on else None

    def _check_samples(self, head: HeadTraits) -> None:
        """Of a head that it is not for, where it is for none of that kind: it would do nothing, without a word."""
        of_pixels = head.name in PIXELS
        if self.kind == "own" or any((name in PIXELS) == of_pixels for name in self.on):
            return
        ours, theirs = ("pixels", "boxes") if of_pixels else ("boxes", "pixels")
        raise EvidenceError(
            f"recipe {self.name!r} needs samples that are {theirs}, but those of {head.detector}'s {head.name} head "
            f"are {ours}; choose a recipe for these"
        )


def over_all_samples(head: HeadTraits, classify: Slot, regress: Slot | None = None) -> Slots:
    """The slots of a method that leaves no sample out: all anchors of a dense head, divided by the positives.

    A RoI head keeps the proposals that its framework samples; where the framework computes the losses itself, its box
    loss stays.
    """
    if head.is_framework or head.name in PIXELS:
        return {"classify": classify}
    filled = {"classify": classify} if regress is None else {"classify": classify, "regress": regress}
    if head.name == "roi":
        return filled
    return {"select": Slot(All()), "regress": Slot(normalize=PerPositive()), **filled}
