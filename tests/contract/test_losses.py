"""Every loss keeps to the contract of its kind."""

import pytest

from hardmine.testing.contract import check
from hardmine.testing.losses import CLASSIFICATION_CONTRACT, LISTWISE_CONTRACT, REGRESSION_CONTRACT


@pytest.mark.parametrize("name", CLASSIFICATION_CONTRACT)
def test_a_classification_loss(classification_loss, name):
    check(classification_loss, {name: CLASSIFICATION_CONTRACT[name]})


@pytest.mark.parametrize("name", LISTWISE_CONTRACT)
def test_a_listwise_loss(listwise_loss, name):
    assert listwise_loss.listwise
    LISTWISE_CONTRACT[name](listwise_loss)  # compiled they do not wait for the device


@pytest.mark.parametrize("name", REGRESSION_CONTRACT)
def test_a_regression_loss(regression_loss, name):
    check(regression_loss, {name: REGRESSION_CONTRACT[name]})
