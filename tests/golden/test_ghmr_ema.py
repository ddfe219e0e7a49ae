"""GHM-R with momentum against mmdetection's, four batches in a row; the two differences of GHM-C.

Its average starts at 0, uncorrected, and bins that are empty keep their count. Started from its average as if nothing
were to be corrected, ours gives its numbers.
"""

import torch

from hardmine import ASL1, BACKGROUND, GHMR, Assignment, Samples

GOLDEN = ("ghmr_ema",)


def step_of(ghm: GHMR, case, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of one batch and its gradient."""
    predicted, target, weight = (case.given[name][step].double() for name in ("pred", "target", "weight"))
    predicted.requires_grad_()
    matched = torch.where(weight[:, 0] > 0, 0, BACKGROUND)[None]
    samples = Samples(Assignment(matched, torch.zeros(matched.shape)), code_error=(predicted - target)[None].detach())
    loss = (ghm(samples)[0] * ASL1(case.params["mu"])(predicted, target)).sum() / weight.sum().clamp_min(1)
    return loss.detach(), torch.autograd.grad(loss, predicted)[0]


def test_without_the_correction_losses_and_gradients_agree(case):
    ghm = GHMR(**case.params, over="non-empty").double()
    ghm.seen.fill_(1)
    for step, theirs in enumerate(case.expected["acc_sum"].double()):
        loss, gradient = step_of(ghm, case, step)
        # their average is float32
        torch.testing.assert_close(loss, case.expected["loss"][step].double(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(gradient, case.expected["grad_pred"][step].double(), rtol=1e-5, atol=1e-7)
        assert (ghm.histogram <= theirs + 1e-4).all(), "ours decays in empty bins too"
        ghm.histogram.copy_(theirs)


def test_the_first_batch_is_weighed_by_itself(case):
    loss, _ = step_of(GHMR(**case.params, over="non-empty"), case, 0)
    theirs = case.expected["loss"][0].double() * (1 - case.params["momentum"])
    torch.testing.assert_close(loss, theirs, rtol=1e-5, atol=0)
