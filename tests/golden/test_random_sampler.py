"""Random sampling against mmdetection's: the same numbers of samples, and every sample with the same chance."""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, RandomBalanced, Samples

GOLDEN = ("random_sampler",)
DRAWS = 300


def test_as_many_of_each_kind_and_each_equally_often(case):
    gt_inds = case.given["gt_inds"].long()
    matched = torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE)).expand(DRAWS, -1)
    assignment = Assignment(matched, case.given["max_overlaps"].expand(DRAWS, -1))
    sampling = RandomBalanced(case.params["num"], case.params["pos_fraction"])
    kept = sampling(Samples(assignment, noise=torch.rand(matched.shape))) > 0
    for kind, mask in (("pos", assignment.is_positive), ("neg", assignment.is_negative)):
        assert torch.equal((kept & mask).sum(dim=1), case.expected[f"n_{kind}"].long())
        candidates = mask[0]
        chance = case.expected[f"n_{kind}"].double().mean() / candidates.sum().clamp_min(1)
        spread = (DRAWS * chance * (1 - chance)).sqrt()
        for counts in ((kept & mask).sum(dim=0), case.expected[f"{kind}_incl"]):
            assert (counts[~candidates] == 0).all()
            assert ((counts[candidates] - DRAWS * chance).abs() <= 5 * spread + 1e-9).all()
