import numpy as np
import pytest

from hardmine.comparison.judging import judge_all
from hardmine.data import open_scenes
from hardmine.errors import DataError
from hardmine.evaluation import NO_VERDICT, evaluate_predictions

SCENES = open_scenes("val", num_images=12)
TRUTH = SCENES.coco_ground_truth()


def found(share: float, seed: int) -> list[dict]:
    """So many of the objects, found exactly."""
    kept = np.random.default_rng(seed).random(len(TRUTH["annotations"])) < share
    scores = np.random.default_rng(seed + 100).random(len(kept))
    return [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": float(score)}
        for a, keep, score in zip(TRUTH["annotations"], kept, scores, strict=True)
        if keep
    ]


def test_measures_are_those_of_each_run_and_the_better_one_is_seen():
    predictions = {"few": [found(0.2, seed) for seed in range(4)], "most": [found(0.9, seed) for seed in range(4)]}
    judged = judge_all(SCENES, predictions)
    for name, of_runs in predictions.items():
        for run, ap, ap50 in zip(of_runs, judged[name]["ap"].by_seed, judged[name]["ap50"].by_seed, strict=True):
            metrics = evaluate_predictions(TRUTH, run)
            assert (ap, ap50) == pytest.approx((metrics.ap, metrics.ap50))
    assert judged["few"]["ap"].difference is None
    assert judged["most"]["ap"].verdict == "better"
    assert judged["most"]["error_missed"].verdict == "better"  # fewer of them
    assert judged["most"]["error_missed"].mean < judged["few"]["error_missed"].mean


def test_the_margin_is_one_of_ap_alone():
    predictions = {"first": [found(0.9, 1), found(0.9, 2)], "same": [found(0.9, 1), found(0.9, 2)]}
    judged = judge_all(SCENES, predictions, margin=0.01)["same"]
    assert judged["ap"].verdict == "equal within .01"
    assert judged["ap50"].verdict == "no difference seen"


def test_groups_are_what_is_drawn():
    predictions = {"few": [found(0.3, 1), found(0.4, 2)], "most": [found(0.9, 1), found(0.9, 2)]}
    alone = judge_all(SCENES, predictions)["most"]["ap"].difference
    together = judge_all(SCENES, predictions, groups=np.arange(12) // 4)["most"]["ap"].difference
    assert (alone.num_units, together.num_units) == (12, 3)
    assert together.value == alone.value
    with pytest.raises(DataError, match="one group"):
        judge_all(SCENES, predictions, groups=np.zeros(12))


def test_what_the_images_do_not_hold_is_not_measured():
    judged = judge_all(SCENES, {"a": [found(0.5, 1)], "b": [found(0.6, 1)]})
    assert judged["b"]["ap"].verdict == NO_VERDICT
    undefined = [name for name, measure in judged["b"].items() if measure.mean is None]
    assert "ap_large" in undefined  # no digit is that large
    assert all(judged["b"][name].difference is None for name in undefined)


def test_one_recipe_has_measures_and_no_difference():
    judged = judge_all(SCENES, {"alone": [found(0.5, 1)]})
    assert judged["alone"]["ap"].mean > 0
    assert judged["alone"]["ap"].difference is None
