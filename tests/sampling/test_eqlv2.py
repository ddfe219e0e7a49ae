"""Arguments, and what the ratio of gradients does to the weights."""

import pytest
import torch

from hardmine import BACKGROUND, Assignment, EQLv2, Samples
from hardmine.errors import ConfigError


@pytest.mark.parametrize(
    "options", [{"gamma": -1.0}, {"alpha": -1.0}, {"gamma": float("nan")}, {"mu": float("nan")}], ids=str
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="EQLv2 needs gamma >= 0, a finite mu and alpha >= 0, got"):
        EQLv2(3, **options)


def test_a_rare_class_has_heavy_positives_and_light_negatives():
    sampling = EQLv2(2, alpha=4.0)
    sampling.positive.copy_(torch.tensor([1.0, 100.0]))
    sampling.negative.copy_(torch.tensor([100.0, 10.0]))
    labels = torch.tensor([[0, 1, BACKGROUND]])
    weights = sampling(Samples(Assignment(labels, torch.zeros(1, 3)), labels=labels, logits=torch.zeros(1, 3, 2)))
    expected = torch.tensor([[[5.0, 1], [0, 1], [0, 1]]])  # (sample, class)
    torch.testing.assert_close(weights, expected, atol=1e-3, rtol=0)
    assert (weights > 0).all()
