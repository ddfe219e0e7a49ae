"""Chains: what each link sees, and what the whole declares."""

import torch
from torch import Tensor

from hardmine import OHEM, All, Assignment, Chain, HardNegative, RandomBalanced, Samples, Sampling


class Third(Sampling):
    """A soft weight for each of two classes, through which gradient flows."""

    needs = frozenset({"logits"})
    through_grad = True

    def weigh(self, samples: Samples) -> Tensor:
        return samples["logits"].sigmoid() / 3


def test_a_chain_declares_what_its_links_declare():
    chain = Chain(HardNegative(), OHEM(4), RandomBalanced(9))
    assert chain.needs == HardNegative().needs | OHEM(4).needs | {"noise"}
    assert chain.budget == 4
    assert not chain.through_grad
    assert Chain(All(), Third()).through_grad
    assert Chain(All(), Third()).budget is None


def test_an_empty_chain_is_no_sampling():
    samples = Samples(Assignment(torch.tensor([[0, -1, -2]]), torch.zeros(1, 3)))
    assert Chain()(samples).tolist() == [[1, 1, 0]]


def test_the_second_sees_only_what_the_first_kept():
    """Of all negatives the hardest is not for the second to take, once the first has left it out."""
    loss = torch.tensor([[3.0, 2.0, 1.0]])
    samples = Samples(Assignment(torch.tensor([[-1, -1, -1]]), loss), classification_loss=loss, noise=loss.flip(1))
    first, second = RandomBalanced(2, 0), HardNegative(0, min_negatives=1)
    assert first(samples).tolist() == [[0, 1, 1]]
    assert Chain(first, second)(samples).tolist() == [[0, 1, 0]]


def test_weights_multiply_and_keep_their_classes_and_gradient():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    samples = Samples(Assignment(torch.tensor([[0, -1]]), torch.zeros(1, 2)), logits=logits)
    weights = Chain(All(), Third(), Third())(samples)
    torch.testing.assert_close(weights, torch.full((1, 2, 2), 1 / 36))
    assert weights.requires_grad
