"""Samplings: how much does sample i count?"""

from hardmine.sampling.alrp import ALRPWeight
from hardmine.sampling.base import All, Chain, QuotaSampling, Sampling
from hardmine.sampling.carl import CARL
from hardmine.sampling.class_balanced import ClassBalanced
from hardmine.sampling.combined import Combined
from hardmine.sampling.efl import EFL
from hardmine.sampling.eqlv2 import EQLv2
from hardmine.sampling.focal_factor import FocalFactor
from hardmine.sampling.from_function import from_function
from hardmine.sampling.ghm import GHMC, GHMR
from hardmine.sampling.hard_negative import HardNegative
from hardmine.sampling.hard_pool import HardPool
from hardmine.sampling.instance_balanced import InstanceBalanced
from hardmine.sampling.iou_balanced import IoUBalanced
from hardmine.sampling.isr import ISR
from hardmine.sampling.ohem import OHEM
from hardmine.sampling.pixel_ohem import PixelOHEM
from hardmine.sampling.quality_weight import QualityWeight
from hardmine.sampling.random_balanced import Random, RandomBalanced
from hardmine.sampling.s_ohem import SOHEM
from hardmine.sampling.scheduled import Scheduled, SelfPaced
from hardmine.sampling.score_hlr import ScoreHLR

__all__ = [
    "CARL",
    "EFL",
    "GHMC",
    "GHMR",
    "ISR",
    "OHEM",
    "SOHEM",
    "ALRPWeight",
    "All",
    "Chain",
    "ClassBalanced",
    "Combined",
    "EQLv2",
    "FocalFactor",
    "HardNegative",
    "HardPool",
    "InstanceBalanced",
    "IoUBalanced",
    "PixelOHEM",
    "QualityWeight",
    "QuotaSampling",
    "Random",
    "RandomBalanced",
    "Sampling",
    "Scheduled",
    "ScoreHLR",
    "SelfPaced",
    "from_function",
]
