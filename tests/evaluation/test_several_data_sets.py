from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation import across_data_sets, differences, resamples

UNITS = {"roads": 40, "cells": 70}


def measures(rng: np.random.Generator, *, num_seeds: int = 3, gain: float = 0.0, run: float = 1.0):
    """Means over images of two recipes on each data set; the second gains by `gain`."""
    return {data: of_data_set(rng, num_images, num_seeds, gain, run) for data, num_images in UNITS.items()}


def of_data_set(rng: np.random.Generator, num_images: int, num_seeds: int, gain: float, run: float):
    draws = resamples(num_images, num_resamples=100, seed=int(rng.integers(1 << 30)))
    level = rng.uniform(0, 5)
    return {
        name: level + more + draws @ rng.normal(size=(num_images, num_seeds)) / num_images
        + draws @ rng.normal(size=(num_images, 1)) / num_images
        + run * rng.normal(size=num_seeds) / np.sqrt(num_images)
        for name, more in (("random", 0.0), ("ohem", gain))
    }  # fmt: skip


def test_values_are_those_of_the_runs_as_they_are():
    values = measures(np.random.default_rng(0), num_seeds=4)
    found = across_data_sets(values, UNITS)
    assert list(found) == ["ohem"]
    by_seed = [(of["ohem"] - of["random"])[0] for of in values.values()]
    assert found["ohem"].mean_difference.value == pytest.approx(np.mean(by_seed))
    assert found["ohem"].middle_mean.value == pytest.approx(stats.trim_mean(np.concatenate(by_seed), 0.25))
    wins = [np.mean(of["ohem"][0][:, None] > of["random"][0]) for of in values.values()]
    assert found["ohem"].probability_of_improvement.value == pytest.approx(np.mean(wins))


def test_one_data_set_has_the_interval_of_its_difference():
    values = measures(np.random.default_rng(0))
    alone = across_data_sets({"roads": values["roads"]}, {"roads": 40})["ohem"].mean_difference
    expected = differences(values["roads"], 40)["ohem"]
    assert astuple(alone) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_the_interval_of_the_mean_covers(num_seeds, record_property):
    """.95 to .98 in simulations: two data sets have more degrees of freedom than are made use of, never fewer."""
    rng, repetitions, covered = np.random.default_rng(3), 400, 0
    for _ in range(repetitions):
        found = across_data_sets(measures(rng, num_seeds=num_seeds), UNITS)["ohem"].mean_difference
        covered += found.low <= 0 <= found.high
    record_property("coverage", covered / repetitions)
    assert stats.binom.ppf(0.001, repetitions, 0.94) <= covered <= stats.binom.ppf(0.999, repetitions, 0.98)


def test_a_recipe_that_always_wins_improves_for_certain():
    found = across_data_sets(measures(np.random.default_rng(0), gain=10.0), UNITS)["ohem"]
    assert astuple(found.probability_of_improvement) == (1, 1, 1)
    assert found.middle_mean.low > 0
    assert found.mean_difference.low > 0


def test_a_recipe_improves_on_itself_by_chance_alone():
    values = {data: of | {"ohem": of["random"]} for data, of in measures(np.random.default_rng(0)).items()}
    found = across_data_sets(values, UNITS)["ohem"]
    assert astuple(found.mean_difference) == astuple(found.middle_mean) == (0, 0, 0)
    assert astuple(found.probability_of_improvement) == (0.5, 0.5, 0.5)


def test_one_odd_run_does_not_move_the_middle_mean():
    values = measures(np.random.default_rng(0), num_seeds=4)
    before = across_data_sets(values, UNITS)["ohem"]
    highest = (values["roads"]["ohem"] - values["roads"]["random"])[0].argmax()
    lift = np.zeros(4)
    lift[highest] = 100.0
    values["roads"]["ohem"] = values["roads"]["ohem"] + lift
    after = across_data_sets(values, UNITS)["ohem"]
    assert after.mean_difference.value > before.mean_difference.value + 10
    assert after.middle_mean.value - before.middle_mean.value < 1


def test_seeds_may_be_one_or_others_on_another_data_set():
    rng = np.random.default_rng(0)
    values = {"roads": measures(rng, num_seeds=1)["roads"], "cells": measures(rng, num_seeds=4)["cells"]}
    found = across_data_sets(values, UNITS)["ohem"].mean_difference
    assert found.low < found.value < found.high


def test_results_are_repeatable():
    values = measures(np.random.default_rng(0))
    assert across_data_sets(values, UNITS, seed=1) == across_data_sets(values, UNITS, seed=1)
    assert across_data_sets(values, UNITS, seed=1) != across_data_sets(values, UNITS, seed=2)


def test_what_cannot_be_compared_is_refused():
    values = measures(np.random.default_rng(0))
    undefined = {name: np.full_like(of, np.nan) for name, of in values["cells"].items()}
    with pytest.raises(ConfigError, match="same recipes on each"):
        across_data_sets(values | {"cells": {"random": values["cells"]["random"]}}, UNITS)
    with pytest.raises(ConfigError, match="same recipes on each"):
        across_data_sets(values, {"roads": 40})
    with pytest.raises(ConfigError, match="data set cells: every recipe needs"):
        across_data_sets(values | {"cells": values["cells"] | {"ohem": np.zeros((101, 2))}}, UNITS)
    with pytest.raises(DataError, match="data set cells: needs at least 2 images"):
        across_data_sets(values | {"cells": undefined}, UNITS)
