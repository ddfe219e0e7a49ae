"""Samplings: how much does sample i count?"""

from hardmine.sampling.base import All, Chain, QuotaSampling, Sampling
from hardmine.sampling.hard_negative import HardNegative
from hardmine.sampling.ohem import OHEM
from hardmine.sampling.random_balanced import RandomBalanced

__all__ = ["OHEM", "All", "Chain", "HardNegative", "QuotaSampling", "RandomBalanced", "Sampling"]
