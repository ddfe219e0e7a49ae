import pytest

from hardmine.claims.label_noise import claim_of_noise
from tests.claims.made import MadeRuns, found_of

CLEAN = {"fasterrcnn-random": [0.3, 0.32, 0.31], "fasterrcnn-ohem": [0.35, 0.36, 0.37]}


@pytest.mark.parametrize(("lost", "verdict"), [(0.2, "holds"), (0.1, "undecided"), (0.02, "does not hold")])
def test_what_ohem_loses_is_compared_to_what_random_sampling_loses(lost, verdict):
    values = dict(CLEAN)
    for kind in ("dropped", "swapped"):
        values[f"fasterrcnn-random-{kind}=.2"] = [of - 0.1 for of in CLEAN["fasterrcnn-random"]]
        values[f"fasterrcnn-ohem-{kind}=.2"] = [of - lost for of in CLEAN["fasterrcnn-ohem"]]
    found = found_of("ohem-suffers-from-noise-20", MadeRuns(values))
    assert [of.verdict for of in found] == [verdict] * 2
    assert found[0].value == pytest.approx(lost - 0.1)


def test_all_methods_are_trained_on_each_kind_of_error_and_on_none():
    claim = claim_of_noise(".3", ("dropped", "shifted"), ("random", "ohem", "isr"))
    assert len(claim.cells) == 3 * 3
    assert {cell.label_errors for cell in claim.cells} == {None, "dropped=.3", "shifted=.3"}
