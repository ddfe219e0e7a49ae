"""EQL v2 over three calls against mmdetection's.

One difference in form: there the background is one more column, of weight 1, and gets an ordinary binary cross entropy.
Ours has columns for the classes only; here that column's cross entropy is added, and everything agrees.
One difference in kind, not in these cases: a batch without samples is NaN there, and leaves no trace here
(sampling/test_eqlv2.py).
"""

import torch
import torch.nn.functional as F

from hardmine import BACKGROUND, Assignment, CrossEntropy, EQLv2, Samples

GOLDEN = ("eqlv2",)


def test_losses_gradients_and_ratios_agree_call_after_call(case):
    num_classes = case.given["logits"].shape[-1] - 1
    sampling = EQLv2(num_classes, **case.params).double()
    for call, (given, labels) in enumerate(zip(case.given["logits"].double(), case.given["labels"], strict=True)):
        logits, background = given.requires_grad_(), labels == num_classes
        ours = torch.where(background, BACKGROUND, labels)[None]
        samples = Samples(Assignment(ours, given.new_zeros(ours.shape)), labels=ours, logits=logits[None, :, :-1])
        loss = (sampling(samples) * CrossEntropy("sigmoid")(samples["logits"], ours)).sum()
        of_background = F.binary_cross_entropy_with_logits(logits[:, -1], background.double(), reduction="sum")
        total = (loss + of_background) / len(labels)
        torch.testing.assert_close(total.detach(), case.expected["loss"][call])
        (gradient,) = torch.autograd.grad(total, logits)
        torch.testing.assert_close(gradient, case.expected["grad_logits"][call])
        torch.testing.assert_close(sampling.ratio, case.expected["pos_neg"][call])
