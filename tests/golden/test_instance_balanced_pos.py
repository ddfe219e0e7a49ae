"""Instance-balanced positives, and mmdetection's, each against its own procedure in closed form.

Theirs gives each object round(n / G) + 1 and takes a surplus away at random: equal objects get equally many on average.
Ours gives each the paper's n / G, so they get equally many always. Where theirs leaves places open, what tops it up may
be in already, so that fewer than n are kept; ours always keeps n.
"""

import torch
from torch import Tensor

from hardmine import BACKGROUND, IGNORE, Assignment, Combined, InstanceBalanced, Random, Samples

GOLDEN = ("instance_balanced_pos",)
DRAWS = 300


def test_each_object_gets_what_is_expected(case):
    gt_inds = case.given["gt_inds"].long()
    matched = torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE)).expand(DRAWS, -1)
    assignment = Assignment(matched, case.given["max_overlaps"].expand(DRAWS, -1))
    num, wanted = case.params["num"], int(case.params["num"] * case.params["pos_fraction"])
    sampling = Combined(InstanceBalanced(), Random(), num, case.params["pos_fraction"])
    kept = sampling(Samples(assignment, noise=torch.rand(matched.shape))) > 0
    positives, negatives = (kept & mask for mask in (assignment.is_positive, assignment.is_negative))

    sizes = positives.sum(dim=1)
    assert (sizes == min(wanted, int((matched[0] >= 0).sum()))).all()
    assert torch.equal(negatives.sum(dim=1), (num - sizes).clamp_max(int((matched[0] == BACKGROUND).sum())))
    available = torch.bincount(matched[0][matched[0] >= 0])
    available = available[available > 0].double()
    if not len(available):
        return
    drawn = torch.stack([(positives & (matched == g)).sum(dim=1) for g in matched[0].unique() if g >= 0], dim=1)
    first = available.clamp_max(max(1, wanted // len(available)))
    mean, variance = topped_up(available, first, min(wanted, float(available.sum())))
    assert ((drawn.double().mean(dim=0) - mean).abs() <= 5 * (variance / DRAWS).sqrt() + 1e-9).all()
    assert (drawn >= torch.where(first.sum() <= wanted, first, 0)).all()


def test_theirs_is_as_the_procedure_says(case):
    """Each object's round(n / G) + 1; too many are trimmed, too few made up by draws that may repeat what is in."""
    gt_inds, wanted = case.given["gt_inds"].long(), int(case.params["num"] * case.params["pos_fraction"])
    sizes, available = case.expected["n_pos"].double(), torch.bincount(gt_inds[gt_inds > 0])
    available = available[available > 0].double()
    counts = torch.stack([case.expected["pos_incl"][gt_inds == g].sum() for g in gt_inds.unique() if g > 0] or [
        torch.tensor(0)]).double()  # fmt: skip
    if available.sum() <= wanted:
        assert (sizes == available.sum()).all()
        return
    first = available.clamp_max(round(wanted / len(available)) + 1)
    if first.sum() >= wanted:
        assert (sizes == wanted).all()
        mean, variance = topped_up(first, 0 * first, wanted)
        assert ((counts / DRAWS - mean).abs() <= 5 * (variance / DRAWS).sqrt() + 1e-9).all()
        return
    repeated, variance = topped_up(torch.stack([first.sum(), (available - first).sum()]), torch.zeros(2),
                                   wanted - float(first.sum()))  # fmt: skip
    assert abs(float(wanted - sizes.mean() - repeated[0])) <= 5 * float(variance[0] / DRAWS) ** 0.5


def topped_up(available: Tensor, first: Tensor, places: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of how many of each group are in: the first for sure, or all places drawn from them if they are
    too many; the other places drawn from what is left, without putting back."""
    urn, certain = (available - first, first) if first.sum() <= places else (first, 0 * first)
    left, total = places - certain.sum(), urn.sum().clamp_min(1)
    chance = urn / total
    return certain + left * chance, left * chance * (1 - chance) * (total - left) / (total - 1).clamp_min(1)
