"""Instance-balanced positives against mmdetection's: the same mean of each object, where it has no fault.

Theirs gives each object round(n / G) + 1 and takes a surplus away at random: equal objects get equally many on average.
Ours gives each the paper's n / G, so they get equally many always (all_pos, and one of the ordinary cases). What tops
up theirs may be in already, so fewer than n are kept (the other ordinary cases, skewed); ours always keeps n.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, Combined, InstanceBalanced, Random, Samples

GOLDEN = ("instance_balanced_pos",)
DRAWS = 300


def test_as_many_of_each_object(case):
    gt_inds = case.given["gt_inds"].long()
    matched = torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE)).expand(DRAWS, -1)
    assignment = Assignment(matched, case.given["max_overlaps"].expand(DRAWS, -1))
    num, fraction = case.params["num"], case.params["pos_fraction"]
    kept = Combined(InstanceBalanced(), Random(), num, fraction)(Samples(assignment, noise=torch.rand(matched.shape)))
    positives, negatives = (kept > 0) & assignment.is_positive, (kept > 0) & assignment.is_negative

    wanted = int(num * fraction)
    sizes, theirs = positives.sum(dim=1), case.expected["n_pos"].long()
    assert (sizes == min(wanted, int((matched[0] >= 0).sum()))).all()
    assert torch.equal(negatives.sum(dim=1), (num - sizes).clamp_max(int((matched[0] == BACKGROUND).sum())))
    available = torch.stack([(matched[0] == g).sum() for g in range(int(gt_inds.max().clamp_min(1)))])
    share = wanted // int((available > 0).sum().clamp_min(1))
    drawn = torch.stack([(positives & (matched == g)).sum(dim=1) for g in range(len(available))], dim=1)  # (DRAWS, G)
    assert (drawn >= available.clamp_max(share)).all()

    incl = case.expected["pos_incl"].double()
    mean = torch.stack([incl[matched[0] == g].sum() / DRAWS for g in range(len(available))])
    if (available[available > 0] > share).all() or sizes[0] < wanted:  # nothing to top up
        assert torch.equal(theirs, sizes)
        torch.testing.assert_close(drawn.double().mean(dim=0), mean, atol=0.3, rtol=0)
    else:
        assert (theirs <= sizes).all()
        assert (theirs < sizes).any()
        short = available <= share
        assert (drawn[:, short] == available[short]).all()
        assert torch.equal(mean[short], available[short].double())
