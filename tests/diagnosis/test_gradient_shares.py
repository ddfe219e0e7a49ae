import pytest
import torch

from hardmine.core.samples import Assignment, Samples
from hardmine.diagnosis.gradient_shares import look_at_steps
from hardmine.training.evidence import Step

ONE_OBJECT = {"iscrowd": torch.tensor([False])}


def step(sizes, scores, matched, targets=None):
    """A batch of one image whose samples have one class, pull so hard, score so high and belong to these objects."""
    assignment = Assignment(torch.tensor([matched]), torch.zeros(1, len(matched)))
    logits = torch.tensor(scores).logit()[None, :, None]
    slopes = torch.tensor(sizes, dtype=torch.float32)[None, :, None]
    return Step([targets or ONE_OBJECT], Samples(assignment, logits=logits), slopes)


def test_shares_are_of_the_whole_gradient_by_absolute_value():
    shares, _ = look_at_steps([step([4, -2, 1, 3], [0.9, 0.05, 0.3, 0.7], [0, -1, -1, -1])], "sigmoid")
    assert (shares.num_images, shares.num_samples) == (1, 4)
    assert (shares.positives, shares.negatives) == pytest.approx((0.4, 0.6))
    assert (shares.easy_negatives, shares.hard_negatives) == pytest.approx((0.2, 0.3))
    assert shares.hardest_negatives == pytest.approx(0.3)  # the one that scores highest


def test_the_hardest_are_one_in_a_hundred_of_each_batch():
    scores = torch.linspace(0.01, 0.99, 200).tolist()
    batch = step([1.0] * 200, scores, [-1] * 200)
    assert look_at_steps([batch, batch], "sigmoid")[0].hardest_negatives == pytest.approx(0.01)


def test_what_is_ignored_takes_no_part():
    with_ignored = step([4, 7, 1], [0.9, 0.5, 0.3], [0, -2, -1])
    without = step([4, 1], [0.9, 0.3], [0, -1])
    assert look_at_steps([with_ignored], "sigmoid") == look_at_steps([without], "sigmoid")


@pytest.mark.parametrize(("sizes", "effective"), [([2.0] * 8, 1.0), ([5.0] + [0.0] * 7, 1 / 8)])
def test_effective_samples_are_all_or_one(sizes, effective):
    shares, _ = look_at_steps([step(sizes, [0.5] * 8, [-1] * 8)], "sigmoid")
    assert shares.effective_samples == pytest.approx(effective)


def test_a_softmax_head_has_its_background_last_and_no_score_for_it():
    logits = torch.tensor([[[0.0, 0.0, 9.0]]])  # certain to be background
    batch = Step([ONE_OBJECT], Samples(Assignment(torch.tensor([[-1]]), torch.zeros(1, 1)), logits=logits), logits)
    shares, _ = look_at_steps([batch], "softmax")
    assert (shares.easy_negatives, shares.hard_negatives) == (1, 0)


def test_positives_are_counted_for_each_object_and_not_for_crowds_and_weightless_ones():
    target = {"iscrowd": torch.tensor([False, True, False, False]), "weights": torch.tensor([1.0, 1.0, 0.0, 0.5])}
    batches = [
        step([1] * 5, [0.5] * 5, [0, 0, 0, 2, -1], target),
        step([1] * 2, [0.5] * 2, [-1, -1], {"iscrowd": torch.tensor([False, False])}),
    ]
    _, objects = look_at_steps(batches, "sigmoid")
    assert (objects.num_objects, objects.mean, objects.without) == (4, 1.0, 0.5)
    assert objects.of_richest_quarter == 0.75


def test_equal_objects_have_a_quarter_of_the_positives_a_quarter_of_them():
    target = {"iscrowd": torch.zeros(4, dtype=torch.bool)}
    _, objects = look_at_steps([step([1] * 8, [0.5] * 8, [0, 1, 2, 3] * 2, target)], "sigmoid")
    assert objects.of_richest_quarter == 0.25


def test_of_nothing_all_shares_are_nothing():
    nothing = {"iscrowd": torch.zeros(0, dtype=torch.bool)}
    for steps in ([], [step([0, 0], [0.5, 0.5], [-1, -1], nothing)], [step([1], [0.5], [-2], nothing)]):
        shares, objects = look_at_steps(steps, "sigmoid")
        assert shares.positives + shares.negatives == shares.effective_samples == 0
        assert (objects.num_objects, objects.mean, objects.without, objects.of_richest_quarter) == (0, 0, 0, 0)
