"""The bank: empty, half full, full; who votes; who is asked."""

import pytest
import torch

from hardmine.errors import ConfigError, ShapeError
from hardmine.experts import Bank


def bank(size: int = 4, neighbours: int = 2, **options) -> Bank:
    return Bank(3, 2, size=size, neighbours=neighbours, **options)


def test_an_empty_bank_leaves_the_base_bit_for_bit():
    features, base = torch.randn(5, 3), torch.randn(5, 2)
    assert torch.equal(bank()(features, base), base)
    assert torch.equal(bank().share(features, base), torch.zeros(5))


def test_places_that_are_empty_do_not_vote():
    one = bank(neighbours=4, temperature=5.0)
    one.add(torch.tensor([[1.0, 0, 0]]), torch.tensor([1]))
    features, base = torch.randn(5, 3), torch.randn(5, 2)
    torch.testing.assert_close(one.says(features, base).softmax(-1), torch.tensor([[0.0, 1]]).expand(5, 2))
    assert (one.share(features, base) > 0).all()


def test_the_oldest_make_room():
    full = bank(size=3)
    for label, place in enumerate(torch.eye(3)[[0, 1, 2, 0]]):
        full.add(place[None] * (label + 1), torch.tensor([label % 2]))
    assert full.labels.tolist() == [1, 1, 0]  # the fourth stands where the first was
    full.add(torch.randn(7, 3), torch.tensor([0, 0, 0, 0, 1, 1, 1]))
    assert full.labels.tolist() == [1, 1, 1]
    assert int(full.added) == 11


def test_many_at_once_are_as_one_after_the_other():
    features, labels = torch.randn(10, 3), torch.randint(2, (10,))
    at_once, one_by_one = bank(), bank()
    at_once.add(features, labels)
    for place in range(10):
        one_by_one.add(features[place : place + 1], labels[place : place + 1])
    assert torch.equal(at_once.labels, one_by_one.labels)
    torch.testing.assert_close(at_once.keys, one_by_one.keys)


def test_the_nearest_vote_by_their_similarity():
    of_two = bank(temperature=0.5)
    of_two.add(torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]]), torch.tensor([0, 1, 0]))
    found = of_two.says(torch.tensor([[3.0, 0, 0]]), torch.zeros(1, 2)).softmax(-1)
    weight = torch.tensor([1.0, 0.0]).div(0.5).softmax(0)  # cosines of the two that are nearest
    torch.testing.assert_close(found, weight[None])


def test_asked_once_or_in_parts_it_says_the_same():
    full = bank()
    full.add(torch.randn(4, 3), torch.tensor([0, 1, 1, 0]))
    features, base = torch.randn(6, 3), torch.randn(6, 2)
    parts = torch.cat([full(of, scores) for of, scores in zip(features.split(2), base.split(2), strict=True)])
    torch.testing.assert_close(full(features, base), parts)
    torch.testing.assert_close(full(features, base).softmax(-1).sum(-1), torch.ones(6))


def test_what_it_holds_is_no_parameter_and_is_in_its_state():
    full = bank()
    full.add(torch.randn(2, 3), torch.tensor([0, 1]))
    assert {name for name, _ in full.named_parameters()} == {"opening.weight", "opening.bias"}
    other = bank()
    other.load_state_dict(full.state_dict())
    features, base = torch.randn(6, 3), torch.randn(6, 2)
    assert torch.equal(other(features, base), full(features, base))


@pytest.mark.parametrize(("features", "labels"), [((2, 4), (2,)), ((2, 3), (3,)), ((3,), (3,)), ((2, 3, 1), (2,))])
def test_what_does_not_fit_is_refused(features, labels):
    with pytest.raises(ShapeError, match=r"expected \(n, 3\) and \(n,\)"):
        bank().add(torch.zeros(features), torch.zeros(labels, dtype=torch.int64))


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"neighbours": 0}, {"temperature": 0.0}, {"temperature": float("nan")}]
)
def test_a_bank_without_a_place_a_neighbour_or_a_temperature_is_refused(options):
    with pytest.raises(ConfigError, match="at least one place, one neighbour and a temperature above 0"):
        Bank(3, 2, **options)
