"""IoU-balanced negatives against mmdetection's: in the first call of a sampler the same chances for every sample.

From its second call on, mmdetection takes nothing with IoU 0 as long as there is anything else: its ``floor_thr`` of -1
has become 0. Ours remembers nothing, so each of our draws agrees with its first. The paper has no such floor.

Its bins reach to the image's largest IoU, that of ignored samples included (ignore): who knows nothing of a sample
should not let it decide. And they are half open, so without positives the negatives of largest IoU are in no bin, and
come in only where a place is left (no_pos); ours are in the last, so that the hardest negatives are not the rarest.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Assignment, Combined, IoUBalanced, Random, Samples

GOLDEN = ("iou_balanced_neg",)
DRAWS = 300


def test_every_negative_has_the_chance_that_it_has_in_the_first_call(case):
    counts, expected, negatives, iou = drawn(case)
    assert (counts[~negatives] == 0).all()
    if case.kind == "no_pos":
        largest = negatives & (iou == iou.max())
        assert expected[largest].sum() < counts[largest].sum() / 1.5
        return
    assert alike(counts, expected)
    for low in (negatives & (iou == 0), negatives & (iou > 0)):  # sharper than sample by sample
        assert alike(counts[low], expected[low], together=True)


def test_by_default_of_mmdetection_the_largest_iou_ends_the_last_bin(case):
    ours, theirs = weights(case, upper=None), weights(case, upper=float(case.expected["bin_edges"][-1]))
    largest = case.given["max_overlaps"].argmax()
    assert torch.equal(ours, theirs) == (case.given["gt_inds"][largest] >= 0)


def test_in_the_second_call_mmdetection_has_forgotten_the_background(case):
    counts, expected, negatives, iou = drawn(case)
    second, far = case.expected["second_neg_incl"].double(), negatives & (iou == 0)
    changes = case.params["floor_thr"] < 0 and far.any() and (expected[far] > 0).any()
    if changes:
        assert second[far].sum() < expected[far].sum() / 1.5
        assert second[far].sum() < counts[far].sum() / 1.5


def alike(counts, expected, *, together: bool = False) -> bool:
    """Whether two counts of draws differ by no more than chance, five standard deviations."""
    chance = (counts + expected) / (2 * DRAWS)
    variance, difference = 2 * DRAWS * chance * (1 - chance), counts - expected
    if together:
        variance, difference = variance.sum(), difference.sum()
    return bool((difference.abs() <= 5 * variance.sqrt() + 1e-9).all())


def drawn(case):
    """How often we and mmdetection drew each sample; which are negatives; their IoU."""
    kept = weights(case, upper=float(case.expected["bin_edges"][-1])) > 0
    matched = matched_of(case).expand(DRAWS, -1)
    for kind, mask in (("pos", matched >= 0), ("neg", matched == BACKGROUND)):
        assert torch.equal((kept & mask).sum(dim=1), case.expected[f"n_{kind}"].long())
    negatives = matched[0] == BACKGROUND
    counts = (kept & negatives).sum(dim=0).double()
    return counts, case.expected["neg_incl"].double(), negatives, case.given["max_overlaps"]


def matched_of(case) -> torch.Tensor:
    gt_inds = case.given["gt_inds"].long()
    return torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE))


def weights(case, upper: float | None) -> torch.Tensor:
    """300 draws, always from the same noise."""
    matched, params = matched_of(case).expand(DRAWS, -1), case.params
    floor = None if params["floor_thr"] < 0 else params["floor_thr"]
    negatives = IoUBalanced(1, params["num_bins"], upper, floor, params["floor_fraction"])
    sampling = Combined(Random(), negatives, params["num"], params["pos_fraction"])
    noise = torch.rand(matched.shape, generator=torch.Generator().manual_seed(0))
    return sampling(Samples(Assignment(matched, case.given["max_overlaps"].expand(DRAWS, -1)), noise=noise))
