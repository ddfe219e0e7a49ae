"""Both sides mined: what is taken for an object joins the negatives, and what missed objects have come closest to, the
positives."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from hardmine.errors import ConfigError
from hardmine.mining.binary import BinaryMiner, Places
from hardmine.mining.false_positive_bootstrap import FalsePositiveBootstrap

__all__ = ["SymmetricMiner"]

NOBODY = -1


class SymmetricMiner(BinaryMiner):
    """Mines hard negatives by a miner, and hard positives between its trainings.

        1. mine and train on positives and negatives; rows that lie near an object are neither
        2. stop if every object has a positive that scores above 0
        3. of each object that has none, the closest of its near rows becomes positive; go to 1, so many rounds

    Mining negatives alone shifts the balance with every round, and objects are missed that were found before; this puts
    weight back on their side. Rows near an object are those that R-CNN leaves out (IoU from .3 to .5): half wrong, and
    the best that there is where an object is missed.

    Args: miner: `FalsePositiveBootstrap` or `WorkingSetMiner`, to be cloned and fitted; None for the first.
        rounds: of hard positives, at most.
    Raises: ConfigError: rounds below 0.
    """

    def __init__(self, miner: BinaryMiner | None = None, *, rounds: int = 3):
        self.miner = miner
        self.rounds = rounds

    def fit(self, X: Any, y: Any, *, objects: Any, closeness: Any) -> "SymmetricMiner":
        """Mines and trains on features (n, d) with labels (n,).

        Args: objects: (n,) the object that each row came closest to, -1 for none. A row of the smaller label that has
                one is near it, and no negative.
            closeness: (n,) how close it came, such as by IoU.
        Raises: ConfigError: not two classes, arrays of other lengths, or a positive of no object.
        """
        if self.rounds < 0:
            raise ConfigError(f"SymmetricMiner needs rounds >= 0, got {self.rounds}")
        X, positive = self._checked(X, y)
        objects, closeness = self._of_rows(positive, objects, closeness)
        self.history_ = []
        for number in range(self.rounds + 1):
            used = np.flatnonzero(positive | (objects == NOBODY))
            self._mine(X, positive, used)
            missed = self._missed(X, positive, objects)
            taken = _closest(missed, objects, np.where(positive, -np.inf, closeness))
            self.history_.append({"positives": int(positive.sum()), "missed": len(missed), "reassigned": len(taken)})
            if number == self.rounds or not len(taken):
                break
            positive[taken] = True
        return self

    def _of_rows(
        self, positive: NDArray[np.bool_], objects: Any, closeness: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        objects, closeness = np.asarray(objects), np.asarray(closeness, dtype=float)
        if not objects.shape == closeness.shape == positive.shape or not np.issubdtype(objects.dtype, np.integer):
            raise ConfigError(
                f"SymmetricMiner needs whole numbers of objects and a closeness for each of {len(positive)} rows, got "
                f"{objects.dtype} of shape {objects.shape}, and {closeness.shape}"
            )
        if (strays := np.flatnonzero(positive & (objects < 0))).size:
            raise ConfigError(f"row {strays[0]} is positive and of no object; number the object of each positive")
        return np.maximum(objects, NOBODY).astype(np.int64), closeness

    def _mine(self, X: NDArray[Any], positive: NDArray[np.bool_], used: Places) -> None:
        miner: Any = clone(FalsePositiveBootstrap(random_state=0) if self.miner is None else self.miner)
        self.estimator_ = miner.fit(X[used], positive[used].astype(int))
        self.working_set_ = used[miner.working_set_]

    def _missed(self, X: NDArray[Any], positive: NDArray[np.bool_], objects: NDArray[np.int64]) -> Places:
        """The objects none of whose positives scores above 0."""
        rows = np.flatnonzero(positive)
        return np.setdiff1d(objects[rows], objects[rows][self._score(X[rows]) > 0])


def _closest(missed: Places, objects: NDArray[np.int64], closeness: NDArray[np.float64]) -> Places:
    """Of each missed object the row of largest finite closeness, where it has one; of equals the first."""
    rows = np.flatnonzero(np.isin(objects, missed) & np.isfinite(closeness))
    order = rows[np.lexsort((rows, -closeness[rows], objects[rows]))]
    return order[np.unique(objects[order], return_index=True)[1]]
