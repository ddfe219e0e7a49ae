"""The weight is the quality, of positives only."""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, QualityWeight, Samples


def test_only_positives_weigh_and_by_their_quality():
    quality = torch.tensor([[0.25, 0.5, 0.75, 1.0]])
    assignment = Assignment(torch.tensor([[0, BACKGROUND, IGNORE, 3]]), torch.zeros(1, 4), quality)
    assert QualityWeight()(Samples(assignment)).tolist() == [[0.25, 0, 0, 1.0]]
