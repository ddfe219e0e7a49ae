"""GHM-C against mmdetection's, the authors' code.

One difference: it divides by the bins that are not empty, n, where the paper divides by all M: its weights are M / n
times ours, which are the paper's. ``over="non-empty"`` agrees.
"""

import torch

from hardmine import BACKGROUND, GHMC, IGNORE, Assignment, CrossEntropy, Samples

GOLDEN = ("ghmc",)


def samples_of(logits: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> Samples:
    """One row: the reference pools the samples of all images."""
    matched = torch.where(labels == logits.shape[-1], BACKGROUND, labels)
    matched = torch.where(weight > 0, matched, IGNORE)[None]
    return Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits[None])


def test_weights_losses_and_gradients_agree_where_bins_that_are_empty_do_not_count(case):
    logits = case.given["logits"].double().requires_grad_()
    samples = samples_of(logits, case.given["labels"], case.given["weight"])
    weights = GHMC(case.params["bins"], 0, "non-empty")(samples)
    known = case.expected["weights"] > 0  # recovered from losses, so unknown where the loss underflows
    torch.testing.assert_close(weights[0][known], case.expected["weights"][known])
    loss = weights * CrossEntropy("sigmoid")(samples["logits"], samples["labels"])
    assert not (case.expected["none"] > 0)[~known].any()
    torch.testing.assert_close(loss[0].detach(), case.expected["none"])
    total = loss.sum() / (samples.assignment.is_valid.sum() * logits.shape[-1]).clamp_min(1)
    torch.testing.assert_close(total.detach(), case.expected["loss"])
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(gradient, case.expected["grad_logits"])


def test_the_paper_divides_by_all_bins(case):
    logits, bins = case.given["logits"].double(), case.params["bins"]
    samples = samples_of(logits, case.given["labels"], case.given["weight"])
    ours, theirs = GHMC(bins, 0)(samples)[0], case.expected["weights"]
    classes = torch.arange(logits.shape[-1])
    norm = (logits.sigmoid() - (samples["labels"][0, :, None] == classes).double()).abs()
    non_empty = len((norm[case.given["weight"] > 0] * bins).long().clamp_max(bins - 1).unique())
    known = theirs > 0
    torch.testing.assert_close(ours[known] * bins, theirs[known] * non_empty)
