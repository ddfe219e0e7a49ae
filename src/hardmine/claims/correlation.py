"""Do two numbers rank samples alike?"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

__all__ = ["rank_correlation"]


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation, equal values at their mean rank; 0 where one of them is constant."""
    ranks = [rankdata(of) for of in (first, second)]
    if any(np.ptp(of) == 0 for of in ranks):
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])
