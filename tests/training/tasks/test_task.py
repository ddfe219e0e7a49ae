"""What is asked of every task."""

from dataclasses import fields

import pytest

from hardmine.cli.recipe_arguments import parse_recipes
from hardmine.training.recipe_names import make_recipe
from hardmine.training.tasks import TASKS


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_the_main_measure_is_the_first_column_and_a_field_of_the_metrics(task):
    assert next(iter(task.columns)) == task.main
    assert set(task.columns) <= {field.name for field in fields(task.metrics)}
    assert task.columns[task.main] == task.called


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_what_is_compared_by_default_are_recipes(task):
    for recipe in parse_recipes(task.recipes):
        make_recipe(recipe.name, recipe.options)
