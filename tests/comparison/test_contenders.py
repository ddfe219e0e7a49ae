from pathlib import Path

import pytest

from hardmine.comparison.contenders import RecipeChoice, contenders, with_recipe
from hardmine.errors import ConfigError
from hardmine.training import TrainingConfig

CONFIG = TrainingConfig(lr=0.01)


def entered(*names: str) -> list[tuple[RecipeChoice, TrainingConfig]]:
    return [(RecipeChoice(name), with_recipe(CONFIG, RecipeChoice(name))) for name in names]


def test_each_recipe_has_its_configuration_and_the_same_seeds():
    for contender in contenders(entered("random", "ohem"), [0, 1]):
        assert contender.config.recipe == contender.label == str(contender.folder)
        assert contender.config.lr == CONFIG.lr
        assert contender.seeds == (0, 1)


def test_a_recipe_that_comes_again_has_seeds_and_a_folder_of_its_own():
    first, again, third = contenders(entered("focal", "focal", "focal"), [0, 5])
    assert len({*first.seeds, *again.seeds, *third.seeds}) == 3 * 2
    assert (first.label, again.label, third.label) == ("focal", "focal again", "focal again 3")
    assert (again.folder, again.config) == (Path("focal again"), first.config)


def test_other_options_are_another_recipe():
    labels = {RecipeChoice("ohem", {"budget": budget}).label for budget in (16, 32)}
    assert labels == {"ohem-budget=16", "ohem-budget=32"}


@pytest.mark.parametrize(("names", "seeds"), [([], [0]), (["random"], []), (["random"], [0, 0])])
def test_nothing_to_compare_is_refused(names, seeds):
    with pytest.raises(ConfigError, match="a comparison needs"):
        contenders(entered(*names), seeds)
