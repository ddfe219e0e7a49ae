import pytest

from hardmine.comparison.contenders import RecipeChoice, with_recipe
from hardmine.comparison.search import LARGEST_FACTOR, trials
from hardmine.errors import ConfigError
from hardmine.recipes import RECIPES
from hardmine.training import TrainingConfig
from hardmine.training.recipe_names import make_recipe

CONFIG = TrainingConfig(weights="imagenet", backbone="mobilenet_v2")
CHOICES = [RecipeChoice(name) for name in RECIPES]
NUMBER = 9


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_the_first_trial_is_the_recipe_as_it_is(choice):
    config = with_recipe(CONFIG, choice)
    first, *_ = trials(choice, config, NUMBER)
    tried = first.of(config)
    assert (tried.peak_lr, tried.classification_weight) == (CONFIG.peak_lr, 1.0)
    assert make_recipe(tried.recipe, tried.recipe_options).parameters == RECIPES[choice.name]().parameters


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_every_trial_can_be_made_and_all_recipes_are_tried_alike(choice):
    config = with_recipe(CONFIG, choice)
    settings = trials(choice, config, NUMBER)
    shared = [(trial.number, trial.lr, trial.classification_weight) for trial in settings]
    assert shared == [(of.number, of.lr, of.classification_weight) for of in trials(CHOICES[0], CONFIG, NUMBER)]
    for trial in settings:
        tried = trial.of(config)
        made = make_recipe(tried.recipe, tried.recipe_options)
        assert all(made.parameters[name] == value for name, value in trial.options.items())
        assert all(value in made.tuned[name] for name, value in trial.options.items())
        assert 1 / LARGEST_FACTOR <= trial.lr / CONFIG.peak_lr <= LARGEST_FACTOR
        assert 1 / LARGEST_FACTOR <= trial.classification_weight <= LARGEST_FACTOR


def test_settings_spread_over_the_whole_range():
    factors = sorted(trial.lr / CONFIG.peak_lr for trial in trials(CHOICES[0], CONFIG, 16))
    assert factors[0] < 0.4
    assert factors[-1] > 2.5
    assert len(set(factors)) >= 15


def test_more_trials_go_on_from_fewer():
    focal = RecipeChoice("focal")
    assert trials(focal, CONFIG, 9)[:4] == trials(focal, CONFIG, 4)


def test_an_option_that_was_given_is_not_searched():
    given = RecipeChoice("focal", {"gamma": 1.0})
    assert all("gamma" not in trial.options for trial in trials(given, with_recipe(CONFIG, given), NUMBER))
    assert any("gamma" in trial.options for trial in trials(RecipeChoice("focal"), CONFIG, NUMBER))


def test_one_trial_is_no_choice():
    with pytest.raises(ConfigError, match="at least 2"):
        trials(CHOICES[0], CONFIG, 1)
