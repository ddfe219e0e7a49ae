from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation import (
    NO_VERDICT,
    ClassMatches,
    Difference,
    Matches,
    differences,
    evaluate_predictions,
    match_predictions,
    paired_differences,
    resamples,
)

REPETITIONS = 300
NOISE = 0.8  # of one image's difficulty under one recipe, in the units of `detections`


def within_chance(num: int, repetitions: int, lowest: float = 0.93, highest: float = 0.97) -> bool:
    """Whether a number of successes is one that a chance from `lowest` to `highest` gives in all but .2 % of cases."""
    return stats.binom.ppf(0.001, repetitions, lowest) <= num <= stats.binom.ppf(0.999, repetitions, highest)


def detections(rng: np.random.Generator, quality: np.ndarray, image: np.ndarray) -> Matches:
    """A run's predictions on objects (G,) of given images: one for each, as good as `quality`, and two false an image.

    What is better fits at more thresholds and has a higher score. False ones have the scores of poor ones.
    """
    num_images = len(quality)
    fit = quality[image] + rng.normal(size=len(image))
    scores = np.concatenate([fit + rng.normal(size=len(image)), rng.normal(-0.5, 1.0, 2 * num_images)])
    places = np.concatenate([image, np.repeat(np.arange(num_images), 2)])
    order = np.argsort(-scores)
    is_true = np.concatenate([fit > [[-0.5], [0.5]], np.zeros((2, 2 * num_images), dtype=bool)], axis=1)[:, order]
    num_objects = np.bincount(image, minlength=num_images)
    is_ignored, iou = np.zeros_like(is_true), is_true.astype(float)
    return Matches((ClassMatches(scores[order], places[order], is_true, is_ignored, iou, num_objects),))


def alike(rng: np.random.Generator, num_recipes: int, num_seeds: int, num_images: int, run: float):
    """Recipes none of which is better: each has images it likes, runs that differ, and a bit of both."""
    image = np.repeat(np.arange(num_images), 1 + rng.poisson(1, num_images))
    liked = NOISE * rng.normal(size=(num_recipes, 1, num_images))
    luck = run * NOISE / np.sqrt(num_images) * rng.normal(size=(num_recipes, num_seeds, 1))
    both = NOISE / 4 * rng.normal(size=(num_recipes, num_seeds, num_images))
    return {
        f"recipe {k}": [detections(rng, quality, image) for quality in of_recipe]
        for k, of_recipe in enumerate(liked + luck + both)
    }


@pytest.mark.parametrize(
    ("num_seeds", "num_images", "run"),
    [(2, 60, 0.0), (2, 60, 1.0), (3, 60, 1.0), (3, 60, 3.0), (5, 60, 1.0), (2, 200, 1.0)],
)
def test_intervals_cover_of_detections(num_seeds, num_images, run, record_property):
    """The whole chain, from predictions to the verdict; the formula alone has its grid in `test_variance`."""
    rng = np.random.default_rng(1)
    found = [
        paired_differences(alike(rng, 2, num_seeds, num_images, run), num_resamples=100, seed=k)["recipe 1"]
        for k in range(REPETITIONS)
    ]
    covered = sum(of.low <= 0 <= of.high for of in found)
    record_property("coverage", covered / REPETITIONS)
    assert within_chance(covered, REPETITIONS)
    assert sum(of.verdict in ("better", "worse") for of in found) == REPETITIONS - covered


@pytest.mark.parametrize(("num_seeds", "run"), [(2, 1.0), (3, 0.0), (3, 3.0), (10, 1.0)])
def test_simultaneous_intervals_cover_all_at_once(num_seeds, run, monkeypatch, record_property):
    monkeypatch.setattr("hardmine.evaluation.intervals.NUM_SIMULATED", 2000)
    rng, num_images = np.random.default_rng(2), 60
    draws = resamples(num_images, num_resamples=100)
    covered = 0
    for _ in range(REPETITIONS):
        found = differences(means(rng, draws, num_recipes=5, num_seeds=num_seeds, run=run), num_images)
        covered += all(of.simultaneous_low <= 0 <= of.simultaneous_high for of in found.values())
    record_property("coverage", covered / REPETITIONS)
    assert within_chance(covered, REPETITIONS, highest=0.98)


def means(rng: np.random.Generator, draws: np.ndarray, *, num_recipes: int, num_seeds: int, run: float):
    """Measures that are means over images, of recipes that are alike."""
    num_images = draws.shape[1]
    return {
        f"recipe {k}": draws @ (rng.normal(size=(num_images, 1)) + 0.5 * rng.normal(size=(num_images, num_seeds)))
        / num_images
        + run * rng.normal(size=num_seeds) / np.sqrt(num_images)
        for k in range(num_recipes)
    }  # fmt: skip


@pytest.fixture
def five_recipes() -> dict[str, np.ndarray]:
    draws = resamples(50, num_resamples=200)
    return means(np.random.default_rng(0), draws, num_recipes=5, num_seeds=3, run=1.0)


def test_the_value_is_the_mean_over_seeds_on_the_images_as_they_are(five_recipes):
    found = differences(five_recipes, 50)
    assert list(found) == ["recipe 1", "recipe 2", "recipe 3", "recipe 4"]
    for name, of in found.items():
        assert of.value == pytest.approx((five_recipes[name] - five_recipes["recipe 0"])[0].mean())


def test_an_interval_is_the_t_quantile_times_the_standard_error_of_both_parts(five_recipes):
    for of in differences(five_recipes, 50).values():
        assert of.standard_error**2 == pytest.approx(of.run_variance / 3 + of.image_variance)
        half = stats.t.ppf(0.975, of.degrees_of_freedom) * of.standard_error
        assert (of.low, of.high) == pytest.approx((of.value - half, of.value + half))
        half = stats.t.ppf(1 - of.level / 2, of.degrees_of_freedom) * of.standard_error
        assert (of.simultaneous_low, of.simultaneous_high) == pytest.approx((of.value - half, of.value + half))
        assert 2 - 1e-3 <= of.degrees_of_freedom <= 49 + 1e-3


def test_one_difference_alone_is_what_it_is_among_others_but_for_the_simultaneous_interval(five_recipes):
    among_others = differences(five_recipes, 50)
    for name, of in among_others.items():
        alone = differences({"recipe 0": five_recipes["recipe 0"], name: five_recipes[name]}, 50)[name]
        assert (alone.simultaneous_low, alone.simultaneous_high) == (alone.low, alone.high) == (of.low, of.high)
        assert of.simultaneous_low < of.low
        assert of.high < of.simultaneous_high
        assert 0.05 / 4 / 2 < of.level < alone.level == 0.05


def test_recipes_that_are_one_and_the_same_need_no_wider_interval(five_recipes):
    same = {"first": five_recipes["recipe 0"], **{f"copy {k}": five_recipes["recipe 1"] for k in range(3)}}
    images_only = {name: np.repeat(values[:, :1], 3, axis=1) for name, values in same.items()}
    assert differences(images_only, 50)["copy 0"].level == pytest.approx(0.05, abs=0.004)


def test_one_seed_speaks_of_the_images_only_and_gives_no_verdict(five_recipes):
    one_seed = {name: values[:, :1] + (name == "recipe 4") for name, values in five_recipes.items()}
    found = differences(one_seed, 50)["recipe 4"]
    drawn = (one_seed["recipe 4"] - one_seed["recipe 0"])[1:]
    assert found.degrees_of_freedom == pytest.approx(49, rel=1e-4)
    assert found.standard_error**2 == pytest.approx(drawn.var(ddof=1) * 50 / 49)
    assert found.simultaneous_low > 0
    assert found.verdict == NO_VERDICT == "one seed: no verdict"
    assert (found.run_variance, found.smallest_detectable, found.seeds_for(1.0)) == (None, None, None)


def test_a_recipe_is_not_different_from_itself(five_recipes):
    values = five_recipes["recipe 0"]
    found = differences({"random": values, "again": values, "other": five_recipes["recipe 1"]}, 50)["again"]
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.verdict == "no difference seen"


def test_draws_on_which_a_measure_is_undefined_are_left_out(five_recipes):
    values = {name: of.copy() for name, of in five_recipes.items()}
    values["recipe 2"][1:100, 1] = np.nan
    kept = {name: np.delete(of, np.arange(1, 100), axis=0) for name, of in five_recipes.items()}
    assert differences(values, 50) == differences(kept, 50)


def of_interval(low: float, high: float, **changes) -> Difference:
    plain = Difference(
        value=(low + high) / 2,
        low=low,
        high=high,
        simultaneous_low=low,
        simultaneous_high=high,
        standard_error=0.01,
        degrees_of_freedom=20.0,
        run_variance=2e-4,
        image_variance=1e-5,
        num_seeds=3,
        num_units=100,
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (0.01, 0.02, None, "better"),
        (-0.02, -0.01, None, "worse"),
        (-0.01, 0.02, None, "no difference seen"),
        (0.0, 0.1, None, "no difference seen"),
        (-0.004, 0.003, 0.005, "equal within .005"),
        (-0.004, 0.006, 0.005, "no difference seen"),
        (-0.006, 0.003, 0.005, "no difference seen"),
        (0.001, 0.003, 0.005, "better"),
        (-0.01, 0.02, 1.5, "equal within 1.5"),
    ],
)
def test_the_verdict_is_read_from_the_simultaneous_interval_alone(low, high, margin, verdict):
    found = of_interval(low, high, margin=margin)
    assert found.verdict == verdict
    assert replace(found, low=5.0, high=6.0).verdict == verdict
    assert replace(found, num_seeds=1).verdict == NO_VERDICT


def test_what_could_have_been_seen_is_seen_in_80_percent_of_cases():
    found = of_interval(-0.02, 0.02)
    rng = np.random.default_rng(0)
    t = (found.smallest_detectable + 0.01 * rng.normal(size=100_000)) / (
        0.01 * np.sqrt(rng.chisquare(20, 100_000) / 20)
    )
    assert (t > stats.t.ppf(0.975, 20)).mean() == pytest.approx(0.8, abs=0.01)
    assert replace(found, level=0.01).smallest_detectable > found.smallest_detectable


def test_more_seeds_are_asked_for_to_see_a_smaller_difference():
    found = of_interval(-0.02, 0.02)
    needed = [found.seeds_for(size) for size in (0.05, 0.03, 0.02, 0.015)]
    assert needed == sorted(needed)
    assert None not in needed
    least = 2.8 * np.sqrt(found.image_variance)  # what all seeds of the world would leave
    assert found.seeds_for(least) is None
    assert found.seeds_for(1.1 * least) > 10
    assert found.seeds_for(-0.03) == found.seeds_for(0.03)


def test_the_seeds_asked_for_detect_the_difference():
    found = of_interval(-0.02, 0.02)
    num_seeds = found.seeds_for(0.03)
    for seeds, is_enough in ((num_seeds, True), (num_seeds - 1, False)):
        values = seeds_of_variance(seeds, found.run_variance)
        again = differences(values, found.num_units)["other"]
        assert again.run_variance == pytest.approx(found.run_variance)
        assert (again.smallest_detectable <= 0.03) == is_enough


def seeds_of_variance(num_seeds: int, run_variance: float) -> dict[str, np.ndarray]:
    """Values whose parts are those of `of_interval`."""
    seeds = np.linspace(-1, 1, num_seeds)
    seeds *= np.sqrt(run_variance / seeds.var(ddof=1))
    images = np.tile([-1.0, 1.0], 20)[:, None]
    images *= np.sqrt(1e-5 * 99 / 100 / images.var(ddof=1))
    other = np.concatenate([np.zeros((1, 1)), images]) + seeds
    return {"first": np.zeros_like(other), "other": other}


def test_values_that_cannot_be_compared_are_refused(five_recipes):
    one = five_recipes["recipe 0"]
    undefined = one.copy()
    undefined[0, 1] = np.nan
    seldom = one.copy()
    seldom[15:, 1] = np.nan
    with pytest.raises(ConfigError, match="of one shape"):
        differences({"a": one, "b": one[:, :2]}, 50)
    with pytest.raises(ConfigError, match="of one shape"):
        differences({}, 50)
    with pytest.raises(ConfigError, match="margin must be above zero"):
        differences({"a": one, "b": one}, 50, margin=0)
    with pytest.raises(DataError, match="at least 2"):
        differences({"a": one, "b": one}, 1)
    with pytest.raises(DataError, match=r"measure of b is undefined"):
        differences({"a": one, "b": undefined}, 50)
    with pytest.raises(DataError, match="defined on 14 draws"):
        differences({"a": one, "b": seldom}, 50)


def distinct_scores(predictions: list[dict], seed: int) -> list[dict]:
    scores = np.random.default_rng(seed).random(len(predictions))
    return [p | {"score": float(s)} for p, s in zip(predictions, scores, strict=True)]


@pytest.fixture
def two_recipes(random_case):
    def make(num_seeds: int):
        ground_truth, predictions = random_case(0, num_images=8)
        runs = {
            "random": [distinct_scores(predictions, s) for s in range(num_seeds)],
            "ohem": [distinct_scores(predictions[::2], 50 + s) for s in range(num_seeds)],
        }
        return ground_truth, runs, {name: [match_predictions(ground_truth, p) for p in of] for name, of in runs.items()}

    return make


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_differences_in_ap_are_those_of_evaluating_every_draw_anew(num_seeds, repeated, two_recipes):
    ground_truth, runs, matches = two_recipes(num_seeds)
    found = paired_differences(matches, num_resamples=100, seed=4)
    values = {
        name: np.array(
            [
                [evaluate_predictions(*repeated(ground_truth, p, counts)).ap for p in of]
                for counts in resamples(8, num_resamples=100, seed=4)
            ]
        )
        for name, of in runs.items()
    }
    expected = differences(values, 8)["ohem"]
    assert list(found) == ["ohem"]
    for name in ("value", "low", "high", "standard_error", "image_variance"):
        assert getattr(found["ohem"], name) == pytest.approx(getattr(expected, name), abs=1e-9)


def test_intervals_are_repeatable(two_recipes):
    _, _, matches = two_recipes(2)
    assert paired_differences(matches, seed=1) == paired_differences(matches, seed=1)
    assert paired_differences(matches, seed=1) != paired_differences(matches, seed=2)


def test_groups_are_the_units(two_recipes):
    _, _, matches = two_recipes(2)
    found = paired_differences(matches, groups=np.array([0, 0, 1, 1, 2, 2, 3, 3]), margin=0.3)["ohem"]
    assert (found.num_units, found.margin) == (4, 0.3)
    assert found.value == paired_differences(matches)["ohem"].value


def test_resamples_that_draw_no_object_are_left_out(random_case):
    ground_truth, _ = random_case(0, num_images=6)
    keep = ground_truth["annotations"][0] | {"iscrowd": 0}
    ground_truth["annotations"] = [keep]
    hit = [{k: keep[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.5}]
    found = paired_differences(
        {"blind": [match_predictions(ground_truth, [])], "sees": [match_predictions(ground_truth, hit)]}
    )["sees"]
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_what_cannot_be_paired_is_refused(random_case):
    ground_truth, predictions = random_case(0)
    one = match_predictions(ground_truth, predictions)
    fewer_images = match_predictions(*random_case(0, num_images=3))
    unlabelled = match_predictions(ground_truth | {"annotations": []}, predictions)
    with pytest.raises(ConfigError, match="same seeds"):
        paired_differences({"a": [one], "b": [one, one]})
    with pytest.raises(ConfigError, match="same images"):
        paired_differences({"a": [one], "b": [fewer_images]})
    with pytest.raises(ConfigError, match="at least 100"):
        paired_differences({"a": [one], "b": [one]}, num_resamples=10)
    with pytest.raises(DataError, match="no labelled object"):
        paired_differences({"a": [unlabelled], "b": [unlabelled]})
