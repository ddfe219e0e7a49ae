"""The contract of samplings, assigners and losses, for tests of a method of one's own.

    def test_near_misses():
        hardmine.testing.check_sampling(NearMisses())

Each property of a contract is a function of the method with a name, and is looked at in all the `situations` that
methods have broken in: nothing to assign, nothing left, equal losses, padded rows that hold NaN, half precision.
"""

from hardmine.testing.assigners import check_assigner
from hardmine.testing.contract import ContractError
from hardmine.testing.losses import check_loss
from hardmine.testing.samplings import check_sampling

__all__ = ["ContractError", "check_assigner", "check_loss", "check_sampling"]
