"""OHEM in mmdetection's form against mmdetection's: no difference, but for which of equal losses is taken."""

import torch
import torch.nn.functional as F

from hardmine import BACKGROUND, IGNORE, OHEM, Assignment, CrossEntropy, Samples, Sampling

GOLDEN = ("ohem_sampler",)


def test_the_hardest_positives_and_negatives_of_each_image_are_kept(case):
    logits = case.given["logits"].double()
    gt_inds, labels, image = case.given["gt_inds"].long(), case.given["labels"].long(), case.given["img"]
    num_gt = len(logits) - len(gt_inds)  # objects added as proposals come first
    gt_inds = torch.cat([torch.arange(1, num_gt + 1), gt_inds])
    labels = torch.cat([case.given["gt_labels"][:num_gt], labels])
    image = F.pad(image, (num_gt, 0))
    matched = torch.where(gt_inds > 0, gt_inds - 1, torch.where(gt_inds == 0, BACKGROUND, IGNORE))
    labels = torch.where(matched >= 0, labels, matched)
    loss = CrossEntropy("softmax")(logits[None], labels[None])[0]
    valid = matched != IGNORE
    torch.testing.assert_close(loss[valid], case.expected["loss"][valid])

    images = int(image.max()) + 1
    as_batch = lambda rows: rows.view(images, -1)  # noqa: E731  # the images have equally many rows, in order
    assert (as_batch(image) == torch.arange(images)[:, None]).all()
    samples = Samples(Assignment(as_batch(matched), torch.zeros(images, len(image) // images)),
                      classification_loss=as_batch(loss))  # fmt: skip
    kept = sampling_of(case.params)(samples).flatten() > 0
    theirs = torch.zeros_like(kept)
    theirs[torch.cat([case.expected["pos_inds"], case.expected["neg_inds"]])] = True
    for b in range(images):
        for kind in (matched >= 0, matched == BACKGROUND):
            assert_alike(kept & kind & (image == b), theirs & kind & (image == b), loss)


def assert_alike(ours: torch.Tensor, theirs: torch.Tensor, loss: torch.Tensor) -> None:
    """As many, and the same but for samples that are as hard as the easiest kept."""
    assert ours.sum() == theirs.sum()
    differs = loss[ours ^ theirs]
    torch.testing.assert_close(differs, loss[theirs].amin().expand_as(differs) if len(differs) else differs)


def sampling_of(params: dict) -> Sampling:
    bound = None if params["neg_pos_ub"] < 0 else params["neg_pos_ub"]
    options = {"nms_iou": None, "rank_by": "classification", "positive_fraction": params["pos_fraction"]}
    return OHEM(params["num"], **options, negatives_per_positive=bound)
