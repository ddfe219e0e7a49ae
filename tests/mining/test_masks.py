import numpy as np
import pytest
from scipy.special import softmax

from hardmine.data import IGNORED, open_segmentation_scenes, with_mask_errors
from hardmine.errors import DataError
from hardmine.mining.masks import HALF_DEPTH, pixel_suspicion, suspect_masks, suspect_regions


def sure(labels, num_classes=3, confidence=0.9):
    """Probabilities (C, H, W) of a model that says these labels with this confidence."""
    rest = (1 - confidence) / (num_classes - 1)
    return np.where(np.arange(num_classes)[:, None, None] == labels, confidence, rest)


def test_a_pixel_is_as_suspect_as_its_label_is_improbable():
    labels = np.array([[0, 1, 2], [IGNORED, 1, 0]])
    probabilities = softmax(np.random.default_rng(0).normal(size=(3, 2, 3)), axis=0)
    found = pixel_suspicion(labels, probabilities)
    for row, column in np.ndindex(2, 3):
        label = labels[row, column]
        expected = 0 if label == IGNORED else 1 - probabilities[label, row, column]
        assert found[row, column] == pytest.approx(expected)


def test_regions_are_where_one_class_is_labelled_and_another_is_said():
    truth = np.zeros((40, 50), np.uint8)
    labels = truth.copy()
    truth[5:15, 5:15] = 1  # not labelled
    labels[20:24, 30:40] = 2  # labelled, nothing there
    labels[35, 45] = 1  # a pixel alone is too small
    found = suspect_regions(labels, sure(truth))
    assert found["label"].tolist() == [0, 2]
    assert found["predicted"].tolist() == [1, 0]
    boxes = np.stack([found[side] for side in ("x1", "y1", "x2", "y2")], axis=1)
    assert boxes.tolist() == [[5, 5, 15, 15], [30, 20, 40, 24]]
    assert found["pixels"].tolist() == [100, 40]
    assert found["margin"] == pytest.approx(0.85)
    assert found["depth"].tolist() == [5, 2]
    assert found["score"] == pytest.approx(0.85 * found["depth"] / (found["depth"] + HALF_DEPTH))


def test_neighbouring_faults_of_two_kinds_are_two_regions():
    truth, labels = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    truth[5:10, 5:10], truth[10:15, 5:10] = 1, 2
    found = suspect_regions(labels, sure(truth))
    assert sorted(zip(found["label"].tolist(), found["predicted"].tolist(), strict=True)) == [(0, 1), (0, 2)]


def test_slivers_along_a_contour_are_less_suspect_than_a_blob_of_as_many_pixels():
    truth, labels = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.uint8)
    truth[:, :20], labels[:, :21] = 1, 1  # 60 pixels along the contour
    truth[20:28, 40:48] = 1  # 64 pixels
    found = suspect_regions(labels, sure(truth))
    assert found["pixels"].tolist() == [64, 60]
    assert found["score"][0] > 1.8 * found["score"][1]


def test_ignored_pixels_are_never_suspect():
    labels = np.full((20, 20), IGNORED, np.uint8)
    found = suspect_regions(labels, sure(np.ones((20, 20))))
    assert all(len(column) == 0 for column in found.values())
    assert not pixel_suspicion(labels, sure(np.ones((20, 20)))).any()


def test_regions_do_not_depend_on_how_an_image_is_turned():
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 3, (6, 6)), np.ones((5, 5), int))
    probabilities = softmax(rng.normal(size=(3, 30, 30)) + 3 * sure(labels), axis=0)
    one = suspect_regions(labels, probabilities, 1)
    other = suspect_regions(labels.T, probabilities.transpose(0, 2, 1), 1)
    assert one["score"] == pytest.approx(other["score"])
    assert sorted(one["pixels"].tolist()) == sorted(other["pixels"].tolist())


def test_a_model_that_knows_the_truth_ranks_the_planted_errors_first():
    scenes = open_segmentation_scenes("train", 40)
    spoilt = with_mask_errors(scenes, {"dropped": 0.2, "swapped": 0.2})
    rng = np.random.default_rng(0)

    def probabilities(place):
        noise = rng.normal(0, 1, (5, 128, 128))
        return softmax(noise + 6 * sure(scenes.mask(place), 5), axis=0)

    found = suspect_masks(spoilt, (probabilities(place) for place in range(40)))
    num_planted = sum(len(spoilt.planted(place)) for place in range(40))
    assert num_planted > 15
    for row in found.regions.head(num_planted // 2).iter_rows(named=True):
        place = row["image_id"] - 1
        part = (slice(row["y1"], row["y2"]), slice(row["x1"], row["x2"]))
        wrong = spoilt.mask(place)[part] != spoilt.true_mask(place)[part]
        assert wrong.any()
    has_errors = np.array([bool(spoilt.planted(place)) for place in range(40)])
    scores = found.images["score"].to_numpy()
    assert scores[has_errors].min() > scores[~has_errors].max()


def test_tables_name_images_and_classes():
    scenes = with_mask_errors(open_segmentation_scenes("train", 6), {"dropped": 1.0})
    found = suspect_masks(scenes, (sure(scenes.true_mask(place), 5) for place in range(6)))
    assert found.images["image_id"].to_list() == [1, 2, 3, 4, 5, 6]
    assert found.images["regions"].sum() == len(found.regions)
    assert found.images["suspect_pixels"].sum() == found.regions["pixels"].sum()
    assert set(found.regions["label"]) == {"background"}
    assert set(found.regions["predicted"]) <= set(scenes.classes[1:])
    assert found.regions["score"].is_sorted(descending=True)
    clean = suspect_masks(scenes.parent, (sure(scenes.true_mask(place), 5) for place in range(6)))
    assert len(clean.regions) == 0
    assert clean.regions.columns == found.regions.columns
    assert clean.images["self_confidence"].to_list() == pytest.approx([0.9] * 6)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.zeros((4, 5), int), np.ones((1, 4, 6)), r"the labels have shape \(4, 5\), the probabilities \(1, 4, 6\)"),
        (np.zeros((4, 5), int), np.ones((4, 5)), r"expected \(H, W\) and \(C, H, W\)"),
        (np.full((4, 5), 3), sure(np.zeros((4, 5))), "the label 3 is no class; expected 0 to 2, or 255"),
        (np.zeros((4, 5), int), np.zeros((3, 4, 5)), "take the softmax of logits first"),
        (np.zeros((4, 5), int), np.full((3, 4, 5), np.nan), "do not sum to 1"),
        (np.zeros((4, 5), int), np.array([2.0, -1.0])[:, None, None] * np.ones((2, 4, 5)), "some lie below 0"),
    ],
)
def test_what_does_not_fit_is_named(labels, probabilities, message):
    with pytest.raises(DataError, match=message):
        suspect_regions(labels, probabilities)
    with pytest.raises(DataError, match=message):
        pixel_suspicion(labels, probabilities)


def test_an_image_that_does_not_fit_is_named_and_so_is_a_number_of_images():
    scenes = open_segmentation_scenes("train", 3)
    right = [sure(scenes.mask(place), 5) for place in range(3)]
    with pytest.raises(DataError, match="scenes, image id 2: the labels have shape"):
        suspect_masks(scenes, [right[0], right[1][:, :5], right[2]])
    with pytest.raises(DataError, match="probabilities of 2 images; expected one for each of 3"):
        suspect_masks(scenes, right[:2])
    with pytest.raises(DataError, match="probabilities of more images; expected one for each of 3"):
        suspect_masks(scenes, [*right, right[0]])


def test_pixels_are_scored_as_by_cleanlab():
    rank = pytest.importorskip("cleanlab.segmentation.rank", reason="cleanlab is not installed")
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 3, (2, 8, 9)), softmax(rng.normal(size=(2, 3, 8, 9)), axis=1)
    _, theirs = rank.get_label_quality_scores(labels, probabilities, verbose=False)
    ours = [pixel_suspicion(*pair) for pair in zip(labels, probabilities, strict=True)]
    assert np.stack(ours) == pytest.approx(1 - theirs)
