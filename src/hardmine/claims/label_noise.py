"""The claim that mining by loss suffers most from wrong labels: kinds and shares of errors by methods."""

from hardmine.claims.claim import Cell, Claim, Contrast, Measurement, cell
from hardmine.claims.gains import average_precisions, gain
from hardmine.claims.runs import Runs
from hardmine.data.label_errors import ERROR_KINDS

__all__ = ["CLAIMS", "claim_of_noise"]

DETECTOR = "fasterrcnn"
MINED, BASELINE, BESIDE = "ohem", "random", "isr"


def noisy(recipe: str, label_errors: str | None) -> Cell:
    """The recipe, trained on labels with errors."""
    return cell(DETECTOR, recipe, label_errors=label_errors)


def loss_by_noise(runs: Runs, label_errors: str) -> Contrast:
    """What OHEM loses more than random sampling where labels are wrong, in AP on right ones."""
    lost = {name: gain(runs, (noisy(name, None), noisy(name, label_errors))).values for name in (MINED, BASELINE)}
    return Contrast(f"AP lost to {label_errors}: {MINED} - {BASELINE}", lost[MINED] - lost[BASELINE])


def claim_of_noise(share: str, kinds: tuple[str, ...], methods: tuple[str, ...] = (BASELINE, MINED)) -> Claim:
    """The claim at a share of the objects; methods: whose AP is shown."""
    errors = [f"{kind}={share}" for kind in kinds]
    cells = tuple(noisy(name, of) for of in (None, *errors) for name in methods)

    def measure(runs: Runs) -> Measurement:
        return Measurement([loss_by_noise(runs, of) for of in errors], average_precisions(runs, cells))

    return Claim(
        slug=f"ohem-suffers-from-noise-{share.lstrip('.')}0",
        ids=("000-03",),
        words="OHEM looks at difficulty only, so wrong labels hurt it more than random sampling "
        f"({share} of the objects).",
        source="Pang et al., Libra R-CNN, CVPR 2019; nobody we know of measured it under controlled noise",
        published="no figure; 71.5 % of the boxes flagged by their loss on VOC were label errors",
        measure=measure,
        cells=cells,
        notes="Errors are planted in what is learnt from, and AP is measured on right labels.",
    )


CLAIMS = (claim_of_noise(".4", ERROR_KINDS, (BASELINE, MINED, BESIDE)), claim_of_noise(".2", ("dropped", "swapped")))
