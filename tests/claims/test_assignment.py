import pytest

from tests.claims.made import MadeRuns, found_of

OWN = {"retinanet-random": [0.1, 0.11, 0.1], "fcos-random": [0.15, 0.16, 0.15]}


@pytest.mark.parametrize(
    ("gap", "verdict"), [(0.0, "holds"), (-0.01, "holds"), (0.05, "undecided"), (0.2, "does not hold")]
)
def test_the_gap_must_be_smaller_under_the_same_assignment_whoever_is_ahead(gap, verdict):
    values = OWN | {"retinanet-atss": [0.2, 0.19, 0.21], "retinanet-fcos": [of - gap for of in OWN["fcos-random"]]}
    values["fcos-max_iou"] = [of - gap for of in OWN["retinanet-random"]]
    values["fcos-atss"] = [of + gap for of in values["retinanet-atss"]]
    found = found_of("assignment-is-the-difference", MadeRuns(values))
    assert [of.verdict for of in found] == [verdict] * 3
    assert found[0].value == pytest.approx(0.05 - abs(gap))
