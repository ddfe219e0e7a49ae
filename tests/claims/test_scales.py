import pytest

from hardmine.claims.claim import cell
from hardmine.claims.scales import SCALES, scale_called
from hardmine.errors import ConfigError


@pytest.mark.parametrize("name", ["smoke", "small"])
def test_no_rule_is_left_to_be_applied(name):
    config = scale_called(name).config(cell("retinanet", "focal", gamma=1.0), 2)
    assert None not in (config.epochs, config.lr, config.batch_size)
    assert (config.detector, config.recipe_options, config.seed) == ("retinanet", {"gamma": 1.0}, 2)


def test_smoke_has_one_seed_and_the_others_enough_for_a_verdict():
    assert [len(SCALES[name].seeds) for name in ("smoke", "small", "full")] == [1, 3, 3]


def test_a_detector_has_its_own_schedule():
    small = scale_called("small")
    assert small.config(cell("retinanet", "ce"), 0).epochs > small.config(cell("fasterrcnn", "ce"), 0).epochs


def test_the_full_scale_needs_data():
    with pytest.raises(ConfigError, match="--data"):
        scale_called("full").config(cell("retinanet", "ce"), 0)
    assert scale_called("full", "coco").config(cell("retinanet", "ce"), 0).data == "coco"


def test_seeds_can_be_added_to_those_that_are_there():
    assert scale_called("small", num_seeds=5).seeds[:3] == SCALES["small"].seeds
    assert scale_called("smoke", num_seeds=2).seeds == (0, 1)


def test_there_is_no_other_scale():
    with pytest.raises(ConfigError, match="small"):
        scale_called("smal")
