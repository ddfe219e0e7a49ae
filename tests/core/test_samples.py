"""Padding, labels, and what a method is shown."""

from dataclasses import replace

import pytest
import torch

from hardmine import BACKGROUND, IGNORE, Assignment, GroundTruth, Samples
from hardmine.errors import EvidenceError, ShapeError


@pytest.fixture
def ground_truth() -> GroundTruth:
    boxes = [torch.arange(8.0).view(2, 4), torch.zeros(0, 4)]
    return GroundTruth.from_lists(boxes, [torch.tensor([2, 0]), torch.zeros(0, dtype=torch.int64)])


def test_images_are_padded_to_the_one_with_most_objects(ground_truth):
    assert ground_truth.boxes.shape == (2, 2, 4)
    assert ground_truth.is_object.tolist() == [[True, True], [False, False]]
    assert ground_truth.ignore_regions.shape == (2, 0, 4)


def test_a_batch_without_objects_has_one_empty_column():
    empty = GroundTruth.from_lists([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2)
    assert empty.boxes.shape == (2, 1, 4)
    assert not empty.is_object.any()


def test_ignore_regions_are_padded_with_empty_boxes():
    boxes, labels = [torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2
    regions = GroundTruth.from_lists(boxes, labels, [torch.ones(2, 4), torch.zeros(0, 4)]).ignore_regions
    assert regions.tolist() == [[[1.0] * 4] * 2, [[0.0] * 4] * 2]


@pytest.mark.parametrize(("boxes", "labels"), [((2, 4), (3,)), ((2, 5), (2,)), ((4,), (1,)), ((2, 4), (2, 1))], ids=str)
def test_shapes_that_do_not_belong_together_are_named(boxes, labels):
    with pytest.raises(ShapeError, match=r"image 1 of the batch: got boxes .* and labels .*; expected"):
        GroundTruth.from_lists([torch.zeros(1, 4), torch.zeros(boxes)], [torch.zeros(1), torch.zeros(labels)])


def test_boxes_and_labels_of_an_assignment(ground_truth):
    assignment = Assignment(torch.tensor([[1, BACKGROUND, 0], [IGNORE, BACKGROUND, IGNORE]]), torch.zeros(2, 3))
    assert ground_truth.labels_of(assignment).tolist() == [[0, BACKGROUND, 2], [IGNORE, BACKGROUND, IGNORE]]
    assert ground_truth.boxes_of(assignment)[0, [0, 2]].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_positives_count_as_much_as_their_object(ground_truth):
    assignment = Assignment(torch.tensor([[1, BACKGROUND, 0], [IGNORE, BACKGROUND, IGNORE]]), torch.zeros(2, 3))
    selected = torch.tensor([[1.0, 3.0, 2.0], [0.0, 1.0, 0.0]])
    weighted = replace(ground_truth, weights=torch.tensor([[0.5, 0.25], [9.0, 9.0]]))
    assert weighted.weigh(selected, assignment).tolist() == [[0.25, 3.0, 1.0], [0.0, 1.0, 0.0]]
    assert ground_truth.weigh(selected, assignment) is selected


def test_what_belongs_to_an_object_of_weight_0_is_ignored(ground_truth):
    assignment = Assignment(torch.tensor([[1, BACKGROUND, 0], [IGNORE, BACKGROUND, IGNORE]]), torch.zeros(2, 3))
    weighted = replace(ground_truth, weights=torch.tensor([[1e-9, 0.0], [0.0, 0.0]]))
    counted = weighted.counted(assignment).matched_gt
    assert counted.tolist() == [[IGNORE, BACKGROUND, 0], [IGNORE, BACKGROUND, IGNORE]]
    assert ground_truth.counted(assignment) is assignment


def test_weights_are_padded():
    boxes, labels = [torch.ones(1, 4), torch.ones(2, 4)], [torch.zeros(1).long(), torch.zeros(2).long()]
    padded = GroundTruth.from_lists(boxes, labels, weights=[torch.tensor([0.5]), torch.tensor([1.0, 2.0])])
    assert padded.weights.tolist() == [[0.5, 0.0], [1.0, 2.0]]


def test_an_assignment_says_what_each_sample_is():
    assignment = Assignment(torch.tensor([[3, BACKGROUND, IGNORE]]), torch.tensor([[0.7, 0.1, 0.0]]))
    assert assignment.is_positive.tolist() == [[True, False, False]]
    assert assignment.is_negative.tolist() == [[False, True, False]]
    assert assignment.is_valid.tolist() == [[True, True, False]]
    assert assignment.only(torch.tensor([[False, True, True]])).matched_gt.tolist() == [[IGNORE, BACKGROUND, IGNORE]]
    gathered = assignment.gather(torch.tensor([[2, 0]]))
    assert gathered.matched_gt.tolist() == [[IGNORE, 3]]
    torch.testing.assert_close(gathered.iou, torch.tensor([[0.0, 0.7]]))


@pytest.fixture
def samples() -> Samples:
    matched = torch.tensor([[0, BACKGROUND]])
    return Samples(Assignment(matched, torch.zeros(1, 2)), labels=matched.clone(), noise=torch.rand(1, 2))


def test_evidence_is_read_by_name_and_its_absence_named(samples):
    assert samples["noise"] is samples.noise
    assert samples.available == ("labels", "noise")
    with pytest.raises(EvidenceError, match="no boxes; they have labels, noise"):
        samples["boxes"]


def test_only_takes_all_other_evidence_away(samples):
    assert samples.only(frozenset({"noise"})).available == ("noise",)
    with pytest.raises(EvidenceError, match="no logits"):
        samples.only(frozenset({"noise", "logits"}))


def test_keep_ignores_the_others(samples):
    kept = samples.keep(torch.tensor([[False, True]]))
    assert kept.assignment.matched_gt.tolist() == [[IGNORE, BACKGROUND]]
    assert kept["labels"].tolist() == [[IGNORE, BACKGROUND]]
    assert samples["labels"].tolist() == [[0, BACKGROUND]]
