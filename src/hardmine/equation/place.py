"""Where a part of a recipe goes, and whether it fits there: what it needs is held against what the head has."""

from dataclasses import dataclass

from torch import nn

from hardmine.assign import Assigner
from hardmine.core.samples import Evidence
from hardmine.equation.recipe import HeadTraits, Slot
from hardmine.equation.slot import Loss, LossSlot
from hardmine.errors import ConfigError, EvidenceError
from hardmine.losses import ClassificationLoss, RegressionLoss
from hardmine.sampling import All, Sampling

__all__ = ["Place", "is_listwise"]


def is_listwise(loss: nn.Module | None) -> bool:
    return isinstance(loss, ClassificationLoss) and loss.listwise


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recipe's choice goes, for checks and their messages."""

    recipe: str
    traits: HeadTraits
    slot: str
    evidence: frozenset[Evidence]

    def __str__(self) -> str:
        return f"recipe {self.recipe!r} in slot {self.slot!r} of {self.traits.detector}'s {self.traits.name} head"

    def assigner(self, assigner: Assigner) -> Assigner:
        self._check_needs(assigner, assigner.needs, self.traits.assign_evidence)
        return assigner

    def sampling(self, slot: Slot) -> Sampling:
        sampling = slot.sampling or All()
        self._check_needs(sampling, sampling.needs, self.evidence)
        self._check_activation(sampling)
        return sampling

    def filled(self, slot: Slot, kind: type[Loss]) -> LossSlot[Loss]:
        if not isinstance(slot.loss, kind) or slot.normalize is None:
            raise ConfigError(
                f"{self}: got {slot.loss} and {slot.normalize}, expected a {kind.__name__} and a Normalizer"
            )
        self.losses(slot)
        self._check_space(slot.loss)
        return LossSlot(self.sampling(slot), slot.loss, slot.normalize, slot)

    def losses(self, slot: Slot) -> None:
        """Checks that the losses and the normaliser of a slot have what they need, and may stand there."""
        self._check_listwise(slot)
        for part in (slot.loss, slot.normalize, slot.also):
            self._check_needs(part, getattr(part, "needs", frozenset()), self.evidence)
            self._check_activation(part)

    def _check_listwise(self, slot: Slot) -> None:
        """Losses of a whole batch have no weights to take; losses of a sample cannot be added to one another."""
        if is_listwise(slot.loss) and not isinstance(slot.sampling, All):
            raise ConfigError(
                f"{self}: {type(slot.loss).__name__} compares all samples with each other and takes no weights; put "
                f"the sampling into the slot 'select'"
            )
        if slot.also is not None and not (is_listwise(slot.also) and self.slot == "classify"):
            raise ConfigError(f"{self}: got also={type(slot.also).__name__}, expected a listwise loss, in 'classify'")

    def _check_space(self, loss: nn.Module) -> None:
        if isinstance(loss, RegressionLoss) and loss.space == "code":
            self._check_needs(loss, frozenset({"code_error"}), self.evidence)
        if isinstance(loss, RegressionLoss) and loss.space == "distribution":
            raise EvidenceError(
                f"{self}: {type(loss).__name__} needs a distribution of each side of a box, which this head does not "
                f"have (it predicts four numbers); choose a loss of these"
            )

    def _check_needs(self, part: nn.Module | None, needs: frozenset[str], has: frozenset[str]) -> None:
        if missing := sorted(needs - has):
            raise EvidenceError(
                f"{self}: {type(part).__name__} needs {', '.join(missing)}, which this head does not have (it has "
                f"{', '.join(sorted(has)) or 'none'}); choose a recipe, or an option of it, that does without"
            )

    def _check_activation(self, part: nn.Module | None) -> None:
        activation = getattr(part, "activation", None)
        if activation not in (None, self.traits.activation):
            raise EvidenceError(
                f"{self}: {type(part).__name__} needs {activation} scores, but this head's are "
                f"{self.traits.activation}; choose a recipe, or an option of it, for these"
            )
