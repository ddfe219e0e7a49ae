import numpy as np
import pytest

from hardmine.evaluation import evaluate_predictions, judge
from hardmine.evaluation.error_types import ERROR_TYPES, error_types
from hardmine.evaluation.matching import read_evidence

CAT, DOG = 1, 2
LEFT, RIGHT, NOWHERE = [0, 0, 100, 100], [300, 0, 100, 100], [0, 300, 100, 100]
OFF_LEFT = [0, 0, 100, 40]  # IoU .4 with LEFT


def ground_truth(*objects) -> dict:
    return {
        "images": [{"id": 1}],
        "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for i, (c, box) in enumerate(objects)
        ],
    }


def predictions(*found) -> list[dict]:
    return [{"image_id": 1, "category_id": c, "bbox": box, "score": score} for c, box, score in found]


def judged_types(truth: dict, found: list[dict]):
    evidence = read_evidence(truth, found)
    return evidence, error_types(evidence, evidence.match(evidence.pairs()), evidence.pairs(of_any_class=True))


def costs_of(truth: dict, found: list[dict], image_counts=None) -> dict:
    judged = judge(truth, found)
    counts = np.ones((1, judged.num_images), int) if image_counts is None else image_counts
    values = judged.measures(counts, [f"error_{error}" for error in ERROR_TYPES])
    return {error: values[f"error_{error}"] for error in ERROR_TYPES}


TWO = ground_truth((CAT, LEFT), (DOG, RIGHT))  # each class is half of AP
ONE_WRONG = {  # what is found, the types, and the costs; precision at all recalls is 1/2 behind one false prediction
    "location": ([(CAT, OFF_LEFT, 0.9), (DOG, RIGHT, 0.8)], {"location"}, {"location": 0.5}),
    "location of what is found later": (
        [(CAT, OFF_LEFT, 0.9), (CAT, LEFT, 0.8), (DOG, RIGHT, 0.8)],
        {"location"},
        {"location": 0.25, "false_positive": 0.25},
    ),
    "location of what was found": ([(CAT, OFF_LEFT, 0.7), (CAT, LEFT, 0.8), (DOG, RIGHT, 0.8)], {"location"}, {}),
    "class": (  # removing it or mending it, dogs have AP 1; only mended is the cat found
        [(DOG, LEFT, 0.9), (DOG, RIGHT, 0.8)],
        {"class"},
        {"class": 0.75, "false_positive": 0.25},
    ),
    "both": ([(DOG, OFF_LEFT, 0.9), (DOG, RIGHT, 0.8)], {"both", "missed"}, {"both": 0.25, "false_positive": 0.25}),
    "background": (
        [(CAT, NOWHERE, 0.9), (CAT, LEFT, 0.8), (DOG, RIGHT, 0.8)],
        {"background"},
        {"background": 0.25, "false_positive": 0.25},
    ),
}


@pytest.mark.parametrize(("found", "types", "expected"), ONE_WRONG.values(), ids=ONE_WRONG)
def test_one_error_is_of_its_type_and_costs_what_mending_it_gains(found, types, expected):
    _, errors = judged_types(TWO, predictions(*found))
    counted = {error: int(is_one.sum()) for error, is_one in errors.of_prediction.items()}
    counted["missed"] = int(errors.is_missed.sum())
    assert dict.fromkeys(types, 1) == {error: n for error, n in counted.items() if n}
    costs = {error: cost[0] for error, cost in costs_of(TWO, predictions(*found)).items()}
    assert costs == pytest.approx(dict.fromkeys(ERROR_TYPES, 0.0) | expected, abs=1e-12)


def test_a_duplicate_costs_what_it_takes_from_the_predictions_after_it():
    truth = ground_truth((CAT, LEFT), (CAT, RIGHT))
    found = predictions((CAT, LEFT, 0.9), (CAT, LEFT, 0.8), (CAT, RIGHT, 0.7))
    _, errors = judged_types(truth, found)
    np.testing.assert_array_equal(errors.of_prediction["duplicate"], [False, True, False])
    costs = costs_of(truth, found)  # of 101 recalls the 51 up to 1/2 have precision 1, the other 50 had 2/3
    for error in ("duplicate", "false_positive"):
        np.testing.assert_allclose(costs[error], 50 / 101 / 3)
    assert sum(cost[0] for cost in costs.values()) == pytest.approx(2 * 50 / 101 / 3)


def test_a_missed_object_costs_the_recalls_that_are_not_reached():
    truth = ground_truth((CAT, LEFT), (CAT, RIGHT))
    costs = costs_of(truth, predictions((CAT, LEFT, 0.9)))
    for error in ("missed", "false_negative"):
        np.testing.assert_allclose(costs[error], 50 / 101)
    assert sum(cost[0] for cost in costs.values()) == pytest.approx(2 * 50 / 101)


def test_an_object_that_an_error_is_about_is_a_false_negative_and_not_missed():
    truth = ground_truth((CAT, LEFT), (CAT, RIGHT))
    costs = costs_of(truth, predictions((CAT, RIGHT, 0.9), (CAT, OFF_LEFT, 0.8)))
    assert costs["missed"] == 0
    np.testing.assert_allclose(costs["false_negative"], 50 / 101)
    np.testing.assert_allclose(costs["location"], 50 / 101)


def test_of_two_predictions_mended_onto_one_object_the_surest_stays():
    found = predictions((CAT, OFF_LEFT, 0.9), (CAT, OFF_LEFT, 0.8), (DOG, RIGHT, 0.9), (DOG, LEFT, 0.3))
    _, errors = judged_types(TWO, found)
    assert [errors.of_prediction[error].sum() for error in ("location", "class")] == [2, 1]
    of_cats, of_dogs = errors.oracles["location"].classes
    assert (of_cats.is_true.tolist(), of_cats.scores.tolist()) == ([[True]], [0.9])
    assert of_cats.iou.tolist() == [[1.0]]
    assert of_dogs.is_true.tolist() == [[True, False]]


def test_where_several_types_fit_location_is_before_class_and_class_before_duplicate():
    far_cat = [40, 0, 100, 100]  # IoU .43 with LEFT
    _, errors = judged_types(ground_truth((CAT, far_cat), (DOG, LEFT)), predictions((CAT, LEFT, 0.9)))
    assert errors.of_prediction["location"].tolist() == [True]
    _, errors = judged_types(
        ground_truth((CAT, LEFT), (DOG, LEFT)), predictions((CAT, LEFT, 0.9), (CAT, LEFT, 0.8), (DOG, LEFT, 0.9))
    )
    assert errors.of_prediction["class"].tolist() == [False, True, False]


def test_borders_belong_to_the_better_type():
    tenth, half = [0, 0, 100, 10], [0, 0, 100, 50]  # IoU .1 and .5 with LEFT
    for box, error in ((tenth, "location"), ([0, 0, 100, 9], "background"), (half, None)):
        _, errors = judged_types(ground_truth((CAT, LEFT)), predictions((CAT, box, 0.9)))
        assert [name for name, is_one in errors.of_prediction.items() if is_one.any()] == ([error] if error else [])
    _, errors = judged_types(ground_truth((CAT, LEFT)), predictions((DOG, tenth, 0.9)))
    assert errors.of_prediction["both"].all()


def test_a_prediction_on_a_crowd_is_no_error_and_a_crowd_is_not_missed():
    truth = ground_truth((CAT, LEFT), (DOG, RIGHT))
    truth["annotations"][1]["iscrowd"] = 1
    _, errors = judged_types(truth, predictions((CAT, LEFT, 0.9), (DOG, RIGHT, 0.9)))
    assert not np.any(list(errors.of_prediction.values()))
    assert not errors.is_missed.any()
    _, errors = judged_types(truth, predictions((CAT, RIGHT, 0.9)))  # about no object
    assert errors.of_prediction["background"].all()


def distinct(case, seed: int, **options) -> tuple[dict, list[dict]]:
    truth, found = case(seed, num_images=8, per_image=8, **options)
    scores = np.random.default_rng(seed).permutation(len(found)) / len(found)
    return truth, [p | {"score": float(score)} for p, score in zip(found, scores, strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_every_false_prediction_has_one_type(seed, random_case):
    evidence, errors = judged_types(*random_case(seed))
    matching = evidence.match(evidence.pairs())
    np.testing.assert_array_equal(
        np.sum(list(errors.of_prediction.values()), axis=0), ~(matching.is_true[0] | matching.is_ignored[0])
    )


@pytest.mark.parametrize("seed", range(12))
def test_costs_are_those_of_faster_coco_eval_on_mended_predictions(seed, random_case):
    truth, found = distinct(random_case, seed)
    evidence, errors = judged_types(truth, found)
    before = evaluate_predictions(truth, found).ap50
    costs = costs_of(truth, found)
    mended = {error: _without(evidence, of) for error, of in errors.of_prediction.items()}
    mended["false_positive"] = _without(evidence, np.any(list(errors.of_prediction.values()), axis=0))
    mended |= {error: _moved(evidence, errors.of_prediction[error], error) for error in ("location", "class")}
    for error, predicted in mended.items():
        after = evaluate_predictions(truth, as_results(truth, predicted)).ap50
        np.testing.assert_allclose(costs[error], after - before, atol=1e-9, err_msg=error)
    unfound = ~np.isin(np.arange(len(errors.is_missed)), evidence.match(evidence.pairs()).object[0])
    for error, removed in {"missed": errors.is_missed, "false_negative": unfound & ~evidence.objects.is_crowd}.items():
        rest = [a for a, is_removed in zip(truth["annotations"], removed, strict=True) if not is_removed]
        after = evaluate_predictions(truth | {"annotations": rest}, found).ap50
        np.testing.assert_allclose(costs[error], after - before, atol=1e-9, err_msg=error)


def as_results(truth: dict, predicted: list[tuple]) -> list[dict]:
    images, categories = (sorted(item["id"] for item in truth[of]) for of in ("images", "categories"))
    return [
        {"image_id": images[image], "category_id": categories[c], "bbox": list(box), "score": score}
        for image, c, box, score in predicted
    ]


def _without(evidence, removed) -> list[tuple]:
    of = evidence.detections
    rows = np.flatnonzero(~removed)
    return [(int(of.image[d]), int(of.category[d]), of.box[d].tolist(), float(of.score[d])) for d in rows]


def _moved(evidence, mended, error) -> list[tuple]:
    """One after another by falling score, each on the object it is about, if no surer one is there."""
    of, objects, pairs = evidence.detections, evidence.objects, evidence.pairs(of_any_class=True)
    matching = evidence.match(evidence.pairs())
    given, kept = set(), []
    for d in np.argsort(-of.score):
        image, category, box = int(of.image[d]), int(of.category[d]), of.box[d].tolist()
        about = matching.object[0, d] if matching.is_true[0, d] else -1
        if mended[d]:
            choices = [
                (overlap, o)
                for o, overlap in zip(
                    pairs.object[pairs.detection == d], pairs.overlap[pairs.detection == d], strict=True
                )
                if not objects.is_crowd[o] and (objects.category[o] == category) == (error == "location")
            ]
            about = max(choices)[1]
            category, box = int(objects.category[about]), objects.box[about].tolist()
        if about < 0 or about not in given:
            kept.append((image, category, box, float(of.score[d])))
        given.add(about)
    return kept


@pytest.mark.parametrize("seed", range(4))
def test_costs_on_a_resample_are_those_of_a_data_set_with_copies(seed, random_case, repeated):
    truth, found = distinct(random_case, seed)
    counts = np.random.default_rng(seed).integers(0, 4, (4, len(truth["images"])))
    costs = costs_of(truth, found, counts)
    for draw, row in enumerate(counts):
        for error, cost in costs_of(*repeated(truth, found, row)).items():
            np.testing.assert_allclose(costs[error][draw], cost[0], atol=1e-9, err_msg=error)


@pytest.mark.parametrize("seed", range(8))
def test_mending_never_costs(seed, random_case):
    truth, found = random_case(seed)
    counts = np.random.default_rng(seed).integers(0, 3, (20, len(truth["images"])))
    for cost in costs_of(truth, found, counts).values():
        assert (cost >= -1e-12).all()


def test_a_class_without_true_predictions_keeps_its_ap_of_zero_and_no_object_is_undefined():
    assert all(cost == 0 for cost in costs_of(TWO, []).values())
    empty = ground_truth()
    assert all(np.isnan(cost[0]) for cost in costs_of(empty, predictions((CAT, LEFT, 0.9))).values())
