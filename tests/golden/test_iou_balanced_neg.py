"""IoU-balanced negatives against mmdetection's: in the first call of a sampler the same chances for every sample.

From its second call on, mmdetection takes nothing with IoU 0 as long as there is anything else: its ``floor_thr`` of -1
has become 0. Ours remembers nothing, so each of our draws agrees with its first. The paper has no such floor.

Its bins reach to the image's largest IoU, that of ignored samples included: who knows nothing of a sample should not
let it decide. And they are half open, so where a negative has the largest IoU it is in no bin, and comes in only where
a place is left; ours is in the last bin, so that the hardest negatives are not the rarest.
"""

import torch
from torch import Tensor

from hardmine import BACKGROUND, IGNORE, Assignment, Combined, IoUBalanced, Random, Samples

GOLDEN = ("iou_balanced_neg",)
DRAWS = 300


def test_every_negative_has_the_chance_that_it_has_in_the_first_call(case):
    counts, expected, negatives, iou = drawn(case)
    assert (counts[~negatives] == 0).all()
    in_no_bin = negatives & (iou == iou.max())
    if in_no_bin.any():
        difference, by_chance = compared(expected[in_no_bin].sum(), counts[in_no_bin].sum(), int(in_no_bin.sum()))
        assert difference <= by_chance
        return
    assert alike(counts, expected)
    for low in (negatives & (iou == 0), negatives & (iou > 0)):  # sharper than sample by sample
        assert alike(counts[low].sum(), expected[low].sum(), int(low.sum()))


def test_by_default_of_mmdetection_the_largest_iou_ends_the_last_bin(case):
    """Of those that are not ignored."""
    known = case.given["max_overlaps"][case.given["gt_inds"] >= 0]
    if known.max() > 0:
        assert torch.equal(weights(case, upper=None), weights(case, upper=float(known.double().max())))
    torch.testing.assert_close(case.expected["bin_edges"][-1], case.given["max_overlaps"].max(), check_dtype=False)


def test_in_the_second_call_mmdetection_has_forgotten_the_background(case):
    """It fills up with IoU 0 what the others leave open, and no more."""
    gt_inds, iou = case.given["gt_inds"], case.given["max_overlaps"]
    if case.params["floor_thr"] >= 0:
        return
    far, near = (gt_inds == 0) & (iou == 0), int(((gt_inds == 0) & (iou > 0)).sum())
    open_places = (case.expected["n_neg"].long() - near).clamp(0, int(far.sum()))
    assert case.expected["second_neg_incl"][far].sum() == open_places.sum()


def alike(counts: Tensor, expected: Tensor, num_samples: int = 1) -> bool:
    """Whether two counts of draws, of so many samples each, differ by no more than chance."""
    difference, by_chance = compared(counts, expected, num_samples)
    return bool((difference.abs() <= by_chance).all())


def compared(counts: Tensor, expected: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
    """Their difference, and five standard deviations of it, or more: samples of one draw vie for its places."""
    draws = max(num_samples, 1) * DRAWS
    chance = (counts + expected) / (2 * draws)
    return counts - expected, 5 * (2 * draws * chance * (1 - chance)).sqrt() + 1e-9


def drawn(case):
    """How often we and mmdetection drew each sample; which are negatives; their IoU."""
    kept = weights(case, upper=float(case.expected["bin_edges"][-1])) > 0
    matched = matched_of(case).expand(DRAWS, -1)
    for kind, mask in (("pos", matched >= 0), ("neg", matched == BACKGROUND)):
        assert torch.equal((kept & mask).sum(dim=1), case.expected[f"n_{kind}"].long())
    negatives = matched[0] == BACKGROUND
    counts = (kept & negatives).sum(dim=0).double()
    return counts, case.expected["neg_incl"].double(), negatives, case.given["max_overlaps"]


def matched_of(case) -> Tensor:
    gt_inds = case.given["gt_inds"].long()
    return torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE))


def weights(case, upper: float | None) -> Tensor:
    """300 draws, always from the same noise."""
    matched, params = matched_of(case).expand(DRAWS, -1), case.params
    floor = None if params["floor_thr"] < 0 else params["floor_thr"]
    negatives = IoUBalanced(1, params["num_bins"], upper, floor, params["floor_fraction"])
    sampling = Combined(Random(), negatives, params["num"], params["pos_fraction"])
    noise = torch.rand(matched.shape, generator=torch.Generator().manual_seed(0))
    return sampling(Samples(Assignment(matched, case.given["max_overlaps"].expand(DRAWS, -1)), noise=noise))
