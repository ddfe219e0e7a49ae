import numpy as np
import pytest

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation import Difference, bootstrap, evaluate_predictions, match_predictions, paired_differences


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
def test_the_interval_is_that_of_evaluating_every_resample_anew(num_seeds, repeated, two_recipes):
    ground_truth, runs, matches = two_recipes(num_seeds)
    found = paired_differences(matches, num_resamples=100, seed=4)
    rng = np.random.default_rng(4)
    images = rng.multinomial(8, [1 / 8] * 8, size=100)
    seeds = rng.multinomial(max(1, num_seeds - 1), [1 / num_seeds] * num_seeds, size=100)

    def mean_difference(image_counts, seed_counts):
        ap = {
            name: [evaluate_predictions(*repeated(ground_truth, p, image_counts)).ap for p in of]
            for name, of in runs.items()
        }
        return np.average(np.array(ap["ohem"]) - np.array(ap["random"]), weights=seed_counts)

    brute_force = [mean_difference(i, s) for i, s in zip(images, seeds, strict=True)]
    low, high = np.quantile(brute_force, [0.025, 0.975])
    assert list(found) == ["ohem"]
    assert found["ohem"].value == pytest.approx(mean_difference(np.ones(8, dtype=int), np.ones(num_seeds)), abs=1e-9)
    assert (found["ohem"].low, found["ohem"].high) == pytest.approx((low, high), abs=1e-9)


def test_a_recipe_is_not_different_from_itself(two_recipes):
    _, _, matches = two_recipes(2)
    same = paired_differences({"random": matches["random"], "again": matches["random"]})["again"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert same.verdict == "no difference seen"


def test_the_seeds_part_has_the_variance_of_a_mean_of_new_seeds():
    """With identical images only the seeds vary: the spread must be s/sqrt(S), where drawing S of S would give less."""
    values = np.array([0.0, 1.0, 5.0])
    counts = bootstrap._draw(np.random.default_rng(0), 3, 2, 200_000)[1:]
    assert (counts @ values / 2).var() == pytest.approx(values.var(ddof=1) / 3, rel=0.02)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.02, "better"),
        (-0.02, -0.01, "worse"),
        (-0.01, 0.02, "no difference seen"),
        (0.0, 0.1, "no difference seen"),
    ],
)
def test_the_verdict_is_read_from_the_interval_alone(low, high, verdict):
    assert Difference(0.5, low, high).verdict == verdict


def test_intervals_are_repeatable(two_recipes):
    _, _, matches = two_recipes(2)
    assert paired_differences(matches, seed=1) == paired_differences(matches, seed=1)
    assert paired_differences(matches, seed=1) != paired_differences(matches, seed=2)


def test_resamples_that_draw_no_object_are_left_out(random_case):
    ground_truth, _ = random_case(0, num_images=6)
    keep = ground_truth["annotations"][0] | {"iscrowd": 0}
    ground_truth["annotations"] = [keep]
    hit = [{k: keep[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.5}]
    found = paired_differences(
        {"blind": [match_predictions(ground_truth, [])], "sees": [match_predictions(ground_truth, hit)]}
    )
    assert found["sees"] == Difference(pytest.approx(1), pytest.approx(1), pytest.approx(1))


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
