"""Seesaw loss against mmdetection's: no difference in what it says of the classes.

Theirs has C columns for the classes, of which only foreground samples are part, and two more for object or background.
Ours is a softmax over all columns there are, the background's among them; so here it gets the foreground samples and
the C columns, and the last of them stands where we have the background. Their weights multiply the losses, as ours do.
"""

import torch

from hardmine import BACKGROUND, IGNORE, Seesaw

GOLDEN = ("seesaw",)


def test_the_classes_part_its_gradient_and_the_counts_agree(case):
    logits = case.given["logits"].double()[:, :-2].requires_grad_()
    num_columns = logits.shape[-1]
    labels = torch.where(case.given["labels"] == num_columns, IGNORE, case.given["labels"])
    ours = torch.where(labels == num_columns - 1, BACKGROUND, labels)
    loss = Seesaw(num_columns - 1, 0.8, 2.0, 0.01, background_is_class=True)
    loss.counts.copy_(case.given["cum0"][:-1])
    total = (loss(logits[None], ours[None])[0] * case.given["weight"].double()).sum() / max(len(labels), 1)
    (gradient,) = torch.autograd.grad(total, logits)
    torch.testing.assert_close(total.detach(), case.expected["classes"])
    torch.testing.assert_close(gradient, case.expected["grad_logits"][:, :-2])
    assert torch.equal(loss.counts, case.expected["cum1"][:-1].long())
