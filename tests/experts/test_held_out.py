"""Held-out samples: what is hard, which half an image is in, and what cannot be samples."""

import pytest
import torch

from hardmine.errors import DataError, ShapeError
from hardmine.experts import HeldOutSamples


def samples(**changed: torch.Tensor) -> HeldOutSamples:
    usual = {
        "features": torch.rand(4, 5),
        "logits": torch.zeros(4, 2),
        "labels": torch.tensor([0, 1, 1, 0]),
        "image": torch.tensor([7, 7, 9, 12]),
    }
    return HeldOutSamples(**usual | changed)


def test_hardness_is_what_the_true_class_lacks():
    logits = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.25, 0.75], [1e-30, 1.0]]).log()
    torch.testing.assert_close(samples(logits=logits).hardness, torch.tensor([0.1, 0.8, 0.25, 1.0]))


def test_hardness_is_in_0_1_where_logits_saturate():
    hardness = samples(logits=torch.tensor([[90.0, -90], [90, -90], [-90, 90], [90, -90]])).hardness
    torch.testing.assert_close(hardness, torch.tensor([0.0, 1, 0, 0]))


def test_an_image_is_in_one_half_and_halves_are_equal_but_for_one_image():
    assert samples().half.tolist() == [0, 0, 1, 0]


def test_some_of_them_and_all_of_several_are_what_they_were():
    all_of_them = samples()
    one, other = all_of_them.only(torch.tensor([0, 1])), all_of_them.only(torch.tensor([False, False, True, True]))
    joined = HeldOutSamples.joined([one, other])
    for name in ("features", "logits", "labels", "image"):
        assert torch.equal(getattr(joined, name), getattr(all_of_them, name))
    assert len(joined) == 4
    assert (joined.num_features, joined.num_classes) == (5, 2)


@pytest.mark.parametrize("parts", [[], [samples().only(torch.zeros(4, dtype=torch.bool))]])
def test_none_at_all_are_refused(parts):
    with pytest.raises(DataError, match="no sample was held out"):
        HeldOutSamples.joined(parts)


@pytest.mark.parametrize(
    "changed",
    [
        {"features": torch.rand(3, 5)},
        {"features": torch.rand(4, 5, 1)},
        {"logits": torch.rand(4)},
        {"labels": torch.zeros(5, dtype=torch.int64)},
        {"image": torch.zeros(4, 1, dtype=torch.int64)},
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(changed):
    with pytest.raises(ShapeError, match=r"expected \(n, d\), \(n, C\), \(n,\) and \(n,\)"):
        samples(**changed)


@pytest.mark.parametrize("label", [-2, -1, 2])
def test_a_label_without_a_column_is_refused(label):
    with pytest.raises(DataError, match="leave ignored samples out"):
        samples(labels=torch.tensor([0, 1, 1, label]))


@pytest.mark.parametrize("name", ["features", "logits"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused(name, value):
    wrong = getattr(samples(), name).clone()
    wrong[2, 1] = value
    with pytest.raises(DataError, match="not finite"):
        samples(**{name: wrong})
