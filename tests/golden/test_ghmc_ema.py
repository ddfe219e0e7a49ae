"""GHM-C with momentum against mmdetection's, four batches in a row.

Two differences:
- Its average starts at 0 and is not corrected: S = (1 - m) R after the first batch, so that the first weights are
  1 / (1 - m) times too large. Ours are corrected; the first batch is weighed by itself.
- It leaves the count of a bin alone in a batch where the bin is empty. The paper's average decays all bins, as ours.

So our class, started from its average as if nothing were to be corrected, gives its numbers in every batch: the bins
that decayed only here are empty and weigh nothing.
"""

import torch
from torch import Tensor

from hardmine import BACKGROUND, GHMC, IGNORE, Assignment, CrossEntropy, Samples

GOLDEN = ("ghmc_ema",)


def samples_of(case, step: int) -> Samples:
    logits, labels, weight = (case.given[name][step] for name in ("logits", "labels", "weight"))
    matched = torch.where(labels == logits.shape[-1], BACKGROUND, labels)
    matched = torch.where(weight > 0, matched, IGNORE)[None]
    logits = logits[None].double().requires_grad_()
    return Samples(Assignment(matched, torch.zeros(matched.shape)), labels=matched, logits=logits)


def loss_of(weights: Tensor, samples: Samples) -> Tensor:
    loss = weights * CrossEntropy("sigmoid")(samples["logits"], samples["labels"])
    return loss.sum() / (samples.assignment.is_valid.sum() * weights.shape[-1]).clamp_min(1)


def test_without_the_correction_losses_and_gradients_agree(case):
    ghm = GHMC(case.params["bins"], case.params["momentum"], "non-empty").double()
    ghm.seen.fill_(1)
    for step, theirs in enumerate(case.expected["acc_sum"].double()):
        samples = samples_of(case, step)
        loss = loss_of(ghm(samples), samples)
        (gradient,) = torch.autograd.grad(loss, samples["logits"])
        # their average is float32
        torch.testing.assert_close(loss.detach(), case.expected["loss"][step].double(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(gradient[0], case.expected["grad_logits"][step].double(), rtol=1e-5, atol=1e-7)
        assert (ghm.histogram <= theirs + 1e-4).all(), "ours decays in empty bins too"
        ghm.histogram.copy_(theirs)


def test_the_first_batch_is_weighed_by_itself(case):
    momentum = case.params["momentum"]
    ghm, samples = GHMC(case.params["bins"], momentum, "non-empty"), samples_of(case, 0)
    loss = loss_of(ghm(samples), samples).detach()
    torch.testing.assert_close(loss, loss_of(GHMC(case.params["bins"], 0, "non-empty")(samples), samples).detach())
    torch.testing.assert_close(loss, case.expected["loss"][0].double() * (1 - momentum), rtol=1e-5, atol=0)
    torch.testing.assert_close(ghm.histogram, case.expected["acc_sum"][0].float())


def test_empty_bins_decay_as_the_others(case):
    ghm, momentum = GHMC(case.params["bins"], case.params["momentum"]), case.params["momentum"]
    never_empty = torch.ones(case.params["bins"], dtype=torch.bool)
    acc_sum = case.expected["acc_sum"].float()
    for step, (theirs, theirs_before) in enumerate(zip(acc_sum, [0 * acc_sum[0], *acc_sum], strict=False)):
        before = ghm.histogram.clone()
        ghm(samples_of(case, step))
        empty = ghm.histogram < before * momentum + (1 - momentum) / 2  # one sample adds 1 - momentum
        never_empty &= ~empty
        torch.testing.assert_close(ghm.histogram[never_empty], theirs[never_empty])
        assert torch.equal(theirs[empty], theirs_before[empty])
        torch.testing.assert_close(ghm.histogram[empty], before[empty] * momentum)
