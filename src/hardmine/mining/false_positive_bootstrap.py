"""Bootstrapping: train, look for false positives, add them to the negatives, train again."""

from typing import Any

import numpy as np
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state

from hardmine.errors import ConfigError
from hardmine.mining.binary import BinaryMiner, some_of

__all__ = ["FalsePositiveBootstrap"]


class FalsePositiveBootstrap(BinaryMiner):
    """Trains any classifier on all positives and those negatives that it has taken for positives so far.

        1. train on all positives and a few random negatives
        2. score the other negatives; stop if none is taken for a positive
        3. add those that are, the surest first; train again, so many rounds

    Sung, Poggio, Example-based learning for view-based human face detection, PAMI 1998; Rowley, Baluja, Kanade, Neural
    network-based face detection, PAMI 1998; the hard negative mining of R-CNN, arXiv:1311.2524.

    Convention: a false positive scores above 0, or has a probability above one half. Nothing is ever dropped, and
    unlike with `WorkingSetMiner` nothing is promised: it ends when no false positive is left, or after ``rounds``.

    Args: estimator: any classifier, cloned and fitted anew in each round; None: LinearSVC.
        initial_negatives: random negatives to begin with; None for as many as there are positives.
        rounds: searches for false positives, at most.  max_added: most that one of them adds; None for all.
        random_state: of the first negatives.
    Raises: ConfigError: an argument out of range.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        initial_negatives: int | None = None,
        rounds: int = 3,
        max_added: int | None = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.initial_negatives = initial_negatives
        self.rounds = rounds
        self.max_added = max_added
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "FalsePositiveBootstrap":
        """Trains on features (n, d) with labels (n,)."""
        X, positive = self._checked(X, y)
        self._check_arguments()
        num = self._num_initial(int(positive.sum()))
        chosen = positive.copy()
        chosen[some_of(np.flatnonzero(~positive), num, check_random_state(self.random_state))] = True
        self.history_ = []
        for number in range(self.rounds + 1):
            self._train(X, positive, np.flatnonzero(chosen))
            score = np.where(chosen, -np.inf, self._score(X))
            false = np.flatnonzero(score > 0)
            self.history_.append({"negatives": int((chosen & ~positive).sum()), "false_positives_outside": len(false)})
            if number < self.rounds:
                chosen[false[np.argsort(-score[false], kind="stable")][: self.max_added]] = True
            if not len(false):
                break
        return self

    def _default_estimator(self) -> LinearSVC:
        return LinearSVC(random_state=0)

    def _check_arguments(self) -> None:
        self._check_initial()
        if self.rounds < 0:
            raise ConfigError(f"FalsePositiveBootstrap needs rounds >= 0, got {self.rounds}")
        if self.max_added is not None and self.max_added < 1:
            raise ConfigError(f"FalsePositiveBootstrap needs max_added >= 1 or None, got {self.max_added}")
