import pytest

from hardmine.errors import ConfigError
from hardmine.figures.plain_head import part_of
from hardmine.losses import ClassificationLoss, Focal
from hardmine.recipes import RECIPES
from hardmine.sampling import GHMC


def test_a_part_is_the_recipes_own():
    loss = part_of(RECIPES["focal"](gamma=3.0), "classify", Focal)
    assert (loss.gamma, loss.alpha) == (3.0, 0.25)


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="'random' has no ClassificationLoss in slot 'classify'"):
        part_of(RECIPES["random"](), "classify", ClassificationLoss)
    with pytest.raises(ConfigError, match="'focal' has no GHMC"):
        part_of(RECIPES["focal"](), "classify", GHMC)
