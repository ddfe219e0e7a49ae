import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score

from hardmine.data import IGNORED
from hardmine.errors import ConfigError, DataError
from hardmine.evaluation import (
    MASK_MEASURES,
    MaskJudge,
    join_judged,
    judge_masks,
    mask_differences,
    resamples,
)

NAMES = ("road", "sky", "car", "cat")


def some_masks(num_images=5, num_classes=4, ignored=0.1, right=0.6, seed=0):
    """Pairs of a blocky truth, some of it ignored, and a prediction that agrees with a part of it."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(num_images):
        height, width = rng.integers(20, 40, 2).tolist()
        truth = np.kron(rng.integers(0, num_classes, (5, 5)), np.ones((8, 8), int))[:height, :width]
        prediction = np.where(rng.random(truth.shape) < right, truth, rng.integers(0, num_classes, truth.shape))
        pairs.append((np.where(rng.random(truth.shape) < ignored, IGNORED, truth), prediction))
    return pairs


def as_they_are(judged):
    return {name: values[0] for name, values in judged.measures(np.ones((1, judged.num_images), int)).items()}


def in_a_row(pairs):
    truth = np.concatenate([truth.reshape(-1) for truth, _ in pairs])
    prediction = np.concatenate([prediction.reshape(-1) for _, prediction in pairs])
    return truth[truth != IGNORED], prediction[truth != IGNORED]


def slow_near_contour(labels, width):
    near = np.zeros(labels.shape, bool)
    for row, column in np.ndindex(labels.shape):
        for y in range(row - width, row + width + 1):
            for x in range(column - width, column + width + 1):
                is_inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
                near[row, column] |= not is_inside or labels[y, x] != labels[row, column]
    return near


def slow_boundary_iou(pairs, label, share=0.02):
    both = either = 0
    for truth, prediction in pairs:
        judged = np.where(truth == IGNORED, IGNORED, prediction)
        width = max(1, round(share * np.hypot(*truth.shape)))
        true = slow_near_contour(truth, width) & (truth == label)
        predicted = slow_near_contour(judged, width) & (judged == label)
        both, either = both + (true & predicted).sum(), either + (true | predicted).sum()
    return both / either


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_learn(seed):
    pairs = some_masks(seed=seed)
    judged, (truth, prediction) = judge_masks(pairs, NAMES), in_a_row(pairs)
    found = as_they_are(judged)
    assert (judged.confusion() == confusion_matrix(truth, prediction, labels=range(4))).all()
    assert found["miou"] == pytest.approx(jaccard_score(truth, prediction, average="macro"))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, prediction))
    assert found["mean_accuracy"] == pytest.approx(recall_score(truth, prediction, average="macro"))
    by_class = jaccard_score(truth, prediction, average=None, labels=range(4))
    assert [found[f"iou of {name}"] for name in NAMES] == pytest.approx(by_class)


def test_miou_is_that_of_torchmetrics():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("torchmetrics.classification", reason="torchmetrics is not installed")
    pairs = some_masks(num_classes=3)
    truth, prediction = map(torch.from_numpy, in_a_row(pairs))
    theirs = metrics.MulticlassJaccardIndex(4, average="macro", ignore_index=IGNORED)(prediction, truth)
    # a class that is nowhere is left out by both
    assert as_they_are(judge_masks(pairs, NAMES))["miou"] == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_boundary_iou_is_that_of_slow_loops(seed):
    pairs = some_masks(num_images=2, right=0.95, ignored=0.02, seed=seed)
    found = as_they_are(judge_masks(pairs, NAMES))
    slow = [slow_boundary_iou(pairs, label) for label in range(4)]
    assert [found[f"boundary iou of {name}"] for name in NAMES] == pytest.approx(slow)
    assert found["boundary_iou"] == pytest.approx(np.mean(slow))


def test_the_width_of_boundaries_grows_with_the_diagonal():
    """The diagonal is 500 pixels, so d is 10; of two squares of 100 that are a pixel apart the bands are that wide."""
    truth, prediction = np.zeros((300, 400), int), np.zeros((300, 400), int)
    truth[100:200, 100:200], prediction[100:200, 101:201] = 1, 1
    judged = judge_masks([(truth, prediction)], ("ground", "square"))
    assert judged.boundaries.true[0, 1] == judged.boundaries.predicted[0, 1] == 100**2 - 80**2
    assert judged.boundaries.both[0, 1] == 100 * 99 - 80 * 81


def test_a_draw_counts_images_as_often_as_they_are_drawn():
    pairs = some_masks()
    judged = judge_masks(pairs, NAMES)
    counts = np.array([[0, 2, 1, 0, 2]])
    again = judge_masks([pairs[1], pairs[1], pairs[2], pairs[4], pairs[4]], NAMES)
    drawn = {name: values[0] for name, values in judged.measures(counts).items()}
    assert drawn == pytest.approx(as_they_are(again))
    assert (judged.confusion(counts[0]) == again.confusion()).all()


def test_perfect_masks_have_one_throughout_and_absent_classes_are_left_out():
    pairs = [(truth, np.where(truth == IGNORED, 0, truth)) for truth, _ in some_masks(num_classes=3)]
    found = as_they_are(judge_masks(pairs, NAMES))
    assert all(found[name] == 1 for name in MASK_MEASURES)
    assert np.isnan(found["iou of cat"])
    assert np.isnan(found["boundary iou of cat"])


def test_a_class_that_is_only_predicted_counts_as_wrong():
    truth, prediction = np.zeros((10, 10), int), np.zeros((10, 10), int)
    prediction[:5] = 1
    found = as_they_are(judge_masks([(truth, prediction)], NAMES))
    assert found["miou"] == pytest.approx((0.5 + 0) / 2)
    assert found["mean_accuracy"] == pytest.approx(0.5)


def test_what_is_predicted_where_the_truth_is_ignored_changes_nothing():
    pairs = some_masks()
    rng = np.random.default_rng(1)
    others = [(t, np.where(t == IGNORED, rng.integers(0, 4, t.shape), p)) for t, p in pairs]
    assert as_they_are(judge_masks(pairs, NAMES)) == as_they_are(judge_masks(others, NAMES))


def test_values_by_image_are_those_of_the_image_alone():
    pairs = some_masks()
    judged = judge_masks(pairs, NAMES)
    for place, pair in enumerate(pairs):
        alone = as_they_are(judge_masks([pair], NAMES))
        assert judged.iou_by_image[place] == pytest.approx([alone[f"iou of {name}"] for name in NAMES], nan_ok=True)
        of_boundaries = [alone[f"boundary iou of {name}"] for name in NAMES]
        assert judged.boundary_iou_by_image[place] == pytest.approx(of_boundaries, nan_ok=True)


def test_an_image_that_is_ignored_throughout_counts_nothing():
    pairs = some_masks()
    nothing = (np.full((9, 9), IGNORED), np.zeros((9, 9), int))
    assert as_they_are(judge_masks([*pairs, nothing], NAMES)) == as_they_are(judge_masks(pairs, NAMES))
    assert all(np.isnan(value) for value in as_they_are(judge_masks([nothing], NAMES)).values())


def test_better_masks_are_called_better_and_equal_ones_are_not():
    of = {
        "first": [judge_masks(some_masks(40, right=0.6, seed=0), NAMES)] * 2,
        "same": [judge_masks(some_masks(40, right=0.6, seed=0), NAMES)] * 2,
        "better": [judge_masks(some_masks(40, right=right, seed=0), NAMES) for right in (0.8, 0.802)],
    }
    for measure in ("miou", "boundary_iou"):
        found = mask_differences(of, measure, num_resamples=200)
        assert found["better"].verdict == "better"
        assert found["same"].verdict == "no difference seen"
        assert found["better"].low < found["better"].value < found["better"].high


def test_draws_by_group_are_wider_where_images_are_alike():
    """Ten images, each six times: as groups they are ten, and the interval says so."""
    masks = [pair for seed in range(10) for pair in some_masks(1, right=0.3 + 0.06 * seed, seed=seed) * 6]
    others = [(truth, np.where(truth == IGNORED, 0, truth)) for truth, _ in masks]
    of = {"first": [judge_masks(others, NAMES)], "second": [judge_masks(masks, NAMES)]}
    alone = mask_differences(of)["second"]
    grouped = mask_differences(of, groups=np.repeat(np.arange(10), 6))["second"]
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_memory_is_that_of_the_cells_that_are_there():
    many = [f"class {number}" for number in range(200)]
    judged = judge_masks(some_masks(num_images=10), many, boundaries=False)
    assert len(judged.cells) <= 10 * 16
    assert np.isnan(as_they_are(judged)["boundary_iou"])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((3, 4), int), np.zeros((4, 3), int), r"shape \(3, 4\), the prediction \(4, 3\)"),
        (np.zeros((1, 3, 4), int), np.zeros((1, 3, 4), int), r"expected \(H, W\)"),
        (np.full((3, 4), 4), np.zeros((3, 4), int), "truth has the label 4; expected 0 to 3, or 255"),
        (np.zeros((3, 4), int), np.full((3, 4), IGNORED), "prediction has the label 255; expected 0 to 3$"),
        (np.full((3, 4), -2), np.zeros((3, 4), int), "truth has the label -2"),
    ],
)
def test_masks_that_cannot_be_judged_are_named(truth, prediction, message):
    judge = MaskJudge(NAMES)
    judge.add(np.zeros((3, 4), int), np.zeros((3, 4), int))
    with pytest.raises(DataError, match=f"image 1: the .*{message}"):
        judge.add(truth, prediction)


def test_wrong_arguments_are_named():
    judged = judge_masks(some_masks(), NAMES)
    with pytest.raises(ConfigError, match="no measure is called"):
        judged.measures(np.ones((1, 5), int), ["mIoU"])
    with pytest.raises(ConfigError, match=r"\(draws, 5 images\), got \(1, 4\)"):
        judged.measures(np.ones((1, 4), int))
    with pytest.raises(ConfigError, match="1 to 255 classes, got 0"):
        MaskJudge(())
    with pytest.raises(DataError, match="no image was judged"):
        MaskJudge(NAMES).result()
    with pytest.raises(ConfigError, match="same images"):
        mask_differences({"one": [judged], "other": [judge_masks(some_masks(4), NAMES)]})


def test_draws_of_the_bootstrap_are_taken_as_they_are():
    judged = judge_masks(some_masks(), NAMES)
    values = judged.measures(resamples(5, num_resamples=50))
    assert all(of.shape == (51,) for of in values.values())
    assert values["miou"][0] == as_they_are(judged)["miou"]


def test_metrics_are_the_measures_of_the_images_as_they_are():
    judged = judge_masks(some_masks(), (*NAMES, "nowhere"))
    found, measures = judged.metrics, as_they_are(judged)
    for name in MASK_MEASURES:
        assert getattr(found, name) == measures[name]
    assert found.iou_per_class["car"] == measures["iou of car"]
    assert found.boundary_iou_per_class["cat"] == measures["boundary iou of cat"]
    assert found.iou_per_class["nowhere"] is found.boundary_iou_per_class["nowhere"] is None
    assert found.to_dict()["miou"] == found.miou


def test_parts_that_were_judged_apart_make_the_whole():
    pairs = some_masks(7)
    whole = judge_masks(pairs, NAMES)
    places = [[0, 3, 6], [5, 1], [2, 4]]
    joined = join_judged([(of, judge_masks([pairs[place] for place in of], NAMES)) for of in places])
    counts = resamples(7, num_resamples=20)
    for name, values in whole.measures(counts).items():
        np.testing.assert_array_equal(joined.measures(counts)[name], values)
    np.testing.assert_array_equal(joined.cells, whole.cells)


@pytest.mark.parametrize("places", [[[0, 1], [1, 2]], [[0, 1], [3]], [[0, 1, 2], [3, 4]]])
def test_parts_that_make_no_whole_are_refused(places):
    judged = [judge_masks(some_masks(2), NAMES), judge_masks(some_masks(1), NAMES)]
    with pytest.raises(ConfigError, match="make no whole"):
        join_judged(list(zip(places, judged, strict=True)))
