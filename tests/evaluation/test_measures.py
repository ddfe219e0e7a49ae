import copy

import numpy as np
import pytest

from hardmine.errors import ConfigError, DataError
from hardmine.evaluation import LOWER_IS_BETTER, MEASURES, ap_of_class, evaluate_predictions, judge, match_predictions


def once(judged) -> np.ndarray:
    return np.ones((1, judged.num_images), dtype=int)


def draws(judged, seed: int, num: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(
        judged.num_images, np.full(judged.num_images, 1 / judged.num_images), num
    )


@pytest.mark.parametrize("case", ["random_case", "sized_case"])
@pytest.mark.parametrize("seed", range(10))
def test_every_image_once_they_are_faster_coco_evals(seed, case, request):
    truth, found = request.getfixturevalue(case)(seed)
    judged = judge(truth, found)
    values = judged.measures(once(judged))
    expected = evaluate_predictions(truth, found).to_dict()
    by_class = {ap_of_class(name): ap for name, ap in expected.pop("per_class").items()}
    for name, ap in (expected | by_class).items():
        if name != "ar100":
            np.testing.assert_allclose(values[name], [np.nan if ap is None else ap], atol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", range(5))
def test_ap_is_bit_for_bit_that_of_matches(seed, random_case):
    truth, found = random_case(seed)
    judged, matches = judge(truth, found), match_predictions(truth, found)
    for counts in (once(judged), draws(judged, seed)):
        values = judged.measures(counts)
        np.testing.assert_array_equal(values["ap"], matches.average_precision(counts))
        for name, of_class in zip(judged.class_names, matches.classes, strict=True):
            np.testing.assert_array_equal(values[ap_of_class(name)], of_class.average_precision(counts))


def test_a_measure_is_the_same_with_whatever_others_it_is_computed(sized_case):
    judged = judge(*sized_case(0))
    counts = draws(judged, 0)
    values = judged.measures(counts)
    assert tuple(values) == judged.names == (*MEASURES, "ap of cat", "ap of dog", "ap of owl")
    for name, value in values.items():
        assert value.shape == (len(counts),)
        np.testing.assert_array_equal(judged.measures(counts, [name])[name], value)
    assert list(judged.measures(counts, ("lrp", "ap", "ap of dog"))) == ["lrp", "ap", "ap of dog"]
    assert judged.measures(counts, []) == {}


@pytest.mark.parametrize("seed", range(4))
def test_counting_an_image_n_times_is_a_data_set_with_n_copies_of_it(seed, sized_case, repeated):
    truth, found = sized_case(seed)
    scores = np.random.default_rng(seed).random(len(found))  # no ties
    found = [p | {"score": float(score)} for p, score in zip(found, scores, strict=True)]
    judged = judge(truth, found)
    counts = draws(judged, seed, 4)
    values = judged.measures(counts)
    for draw, row in enumerate(counts):
        copies = judge(*repeated(truth, found, row))
        for name, value in copies.measures(once(copies)).items():
            np.testing.assert_allclose(values[name][draw], value[0], atol=1e-9, err_msg=name)


def test_resamples_in_blocks_are_the_resamples_at_once(monkeypatch, sized_case):
    judged = judge(*sized_case(3))
    counts = draws(judged, 3)
    at_once = judged.measures(counts)
    monkeypatch.setattr("hardmine.evaluation.matching.MAX_CELLS", 1)
    for name, value in judged.measures(counts).items():
        np.testing.assert_allclose(value, at_once[name], rtol=1e-12, atol=1e-12, err_msg=name)


def test_perfect_predictions_are_the_best_in_every_measure(sized_case):
    truth, _ = sized_case(1, crowd=0)
    keys = ("image_id", "category_id", "bbox")
    judged = judge(truth, [{k: a[k] for k in keys} | {"score": 1.0} for a in truth["annotations"]])
    for name, value in judged.measures(once(judged)).items():
        if "small" not in name and "medium" not in name and "large" not in name and name != "ap of owl":
            np.testing.assert_allclose(value, [float(name not in LOWER_IS_BETTER)], atol=1e-12, err_msg=name)


def test_without_predictions_or_objects_a_measure_is_worst_or_undefined(random_case):
    truth, found = random_case(0)
    blind = judge(truth, [])
    values = {name: value[0] for name, value in blind.measures(once(blind)).items()}
    assert (values["ap"], values["ap_small"], values["lrp"], values["error_missed"]) == (0, 0, 1, 0)
    assert np.isnan([values["ece"], values["ap_large"], values["ap of owl"]]).all()
    unlabelled = judge(truth | {"annotations": []}, found)
    values = unlabelled.measures(once(unlabelled))
    assert {name for name, value in values.items() if not np.isnan(value[0])} == {"ece"}
    nothing_drawn = judge(truth, found).measures(0 * once(blind))
    assert all(np.isnan(value).all() for value in nothing_drawn.values())


def test_two_classes_of_one_name_have_two_measures(random_case):
    truth, found = random_case(0)
    truth["categories"] = [c | {"name": "cat"} for c in truth["categories"]]
    names = [name for name in judge(truth, found).names if name not in MEASURES]
    assert names == ["ap of cat (category 2)", "ap of cat (category 7)", "ap of cat (category 12)"]


def test_arguments_are_left_alone_and_what_does_not_fit_is_named(random_case):
    truth, found = random_case(0)
    before = copy.deepcopy((truth, found))
    judged = judge(truth, found)
    judged.measures(once(judged))
    assert (truth, found) == before
    with pytest.raises(ConfigError, match=r"no measure is called \['ap of cow', 'map'\]; there are ap, ap50.*'cat'"):
        judged.measures(once(judged), ["ap", "map", "ap of cow"])
    with pytest.raises(ConfigError, match=r"must be \(resamples, 12 images\), got \(1, 11\)"):
        judged.measures(once(judged)[:, 1:])
    with pytest.raises(DataError, match=r"mine\.json, record 0: image_id 1 "):
        judge(truth, [found[0] | {"image_id": 1}], source="mine.json")
