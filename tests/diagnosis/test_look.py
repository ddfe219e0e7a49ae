import torch

from hardmine.core.samples import IGNORE, Assignment, GroundTruth
from hardmine.diagnosis.look import IGNORED, NEGATIVE, PADDING, POSITIVE, kinds_of, look_at, look_at_pixels


def test_only_what_is_ignored_can_be_padding():
    assignment = Assignment(torch.tensor([[0, -1, -2, -2]]), torch.zeros(1, 4))
    is_padding = torch.tensor([[True, True, False, True]])
    assert kinds_of(assignment, is_padding).tolist() == [[POSITIVE, NEGATIVE, IGNORED, PADDING]]
    assert kinds_of(assignment).tolist() == [[POSITIVE, NEGATIVE, IGNORED, IGNORED]]


def look(activation: str, logits, weight=None, object_weights=None):
    box = torch.tensor([[[0.0, 0, 10, 20]]])
    objects = GroundTruth(box, torch.tensor([[1]]), torch.tensor([[True]]), box[:, :0], object_weights)
    assignment = Assignment(torch.tensor([[0, -1]]), torch.tensor([[0.6, 0.1]]))
    return look_at(
        torch.tensor([logits]),
        activation,
        assignment,
        objects,
        kind=kinds_of(assignment),
        box_iou=torch.tensor([[0.7, 0.4]]),
        weight=torch.ones(1, 2) if weight is None else weight,
        loss=None,
    )


def test_scores_are_those_of_foreground_classes():
    sigmoid = look("sigmoid", [[0.0, -2], [1, 3]])
    torch.testing.assert_close(sigmoid.score, torch.tensor([[0.0, 3]]).sigmoid())
    torch.testing.assert_close(sigmoid.own_score, torch.tensor([[torch.tensor(-2.0).sigmoid(), 0]]))
    softmax = look("softmax", [[0.0, 1, 5], [0, 0, 9]])
    assert float(softmax.score[0, 1]) < 0.01  # the last column is the background's
    assert float(softmax.cross_entropy[0, 1]) < 0.01


def test_what_is_of_the_objects():
    seen = look("sigmoid", [[0.0, 0], [0, 0]])
    assert seen.areas.tolist() == [[200]]
    assert seen.label[0, 0] == 1
    assert seen.box_iou.tolist() == [[torch.tensor(0.7).item(), 0]]  # of positives only
    assert not look("sigmoid", [[0.0, 0], [0, 0]], object_weights=torch.zeros(1, 1)).is_object.any()


def test_a_weight_of_each_class_is_their_mean():
    weight = torch.tensor([[[1.0, 0], [0.5, 0.5]]])
    assert look("sigmoid", [[0.0, 0], [0, 0]], weight).weight.tolist() == [[0.5, 0.5]]


def test_of_a_pixel_the_score_is_that_of_its_class_and_what_is_ignored_has_none():
    logits = torch.randn(1, 3, 2, 2)
    labels = torch.tensor([[[2, IGNORE], [0, 1]]])
    found = look_at_pixels(
        logits, labels, contour=torch.zeros(1, 2, 2).long(), weight=torch.ones(1, 4, 3) * torch.arange(3), loss=None
    )
    assert found.kind.tolist() == [[POSITIVE, IGNORED, POSITIVE, POSITIVE]]
    p = logits.softmax(1)
    own = torch.stack([p[0, 2, 0, 0], p[0, 0, 1, 0], p[0, 1, 1, 1]])
    is_known = found.kind == POSITIVE
    torch.testing.assert_close(found.score[is_known], own)
    torch.testing.assert_close(found.cross_entropy[is_known], -own.log())
    assert found.cross_entropy[~is_known].tolist() == [0]
    assert found.weight.tolist() == [[1.0] * 4]  # the mean over its classes
