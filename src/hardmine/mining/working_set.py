"""Mining of hard negatives for a support vector machine, with the guarantee that nothing is lost by it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state, gen_batches

from hardmine.errors import ConfigError, HardmineError
from hardmine.mining.binary import BinaryMiner, Places, some_of

__all__ = ["WorkingSetMiner"]


class WorkingSetMiner(BinaryMiner):
    """Trains a linear SVM on a small part of the negatives that gives the same result as training on all of them.

        1. train on the cache to the optimum
        2. score everything; stop if every negative that violates the margin is in the cache
        3. drop from the cache the negatives beyond the margin
        4. add violators, worst first, as many as fit; go to 1

    Felzenszwalb, Girshick, McAllester, Ramanan, Object Detection with Discriminatively Trained Part Based Models, PAMI
    2010, section 4.4. Theorem 1: where no violator is outside, the optimum of the cache is that of all data, because
    what lies beyond the margin has no loss. Theorem 2: the objective grows in every round, so that it ends.

    Convention: labels as they come, the larger one is the positive. Positives are never dropped.
    Differs from the authors' code: ends when nothing violates the margin and not when the objective has nearly settled.

    Args: estimator: to be cloned and fitted; its loss must be 0 beyond the margin, and it must train to the optimum.
            None: LinearSVC with the squared hinge loss, which its solver trains to the optimum without fail.
        cache_size: most rows in the cache; None for no limit. It must hold all positives and every support vector.
        initial_negatives: random negatives to begin with; None for as many as there are positives.
        margin: scores of negatives above -margin violate it.  slack: what rounding of the optimum may add to a score.
        max_rounds: after so many it gives up, saying so.
        chunk_size: rows scored at a time.  random_state: of the first negatives.
    Raises: ConfigError: an argument out of range, or a cache that cannot hold the positives.
        HardmineError: the support vectors do not fit into the cache, or it has not ended after max_rounds.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        cache_size: int | None = None,
        initial_negatives: int | None = None,
        margin: float = 1.0,
        slack: float = 1e-4,
        max_rounds: int = 100,
        chunk_size: int = 65_536,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.cache_size = cache_size
        self.initial_negatives = initial_negatives
        self.margin = margin
        self.slack = slack
        self.max_rounds = max_rounds
        self.chunk_size = chunk_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "WorkingSetMiner":
        """Mines and trains on features (n, d) with labels (n,)."""
        X, positive = self._checked(X, y)
        limit = self._limit(positive)
        negatives, positives = np.flatnonzero(~positive), np.flatnonzero(positive)
        room = limit - len(positives)
        cached = some_of(negatives, min(self._num_initial(len(positives)), room), check_random_state(self.random_state))
        self.history_, new = [], negatives
        for _ in range(self.max_rounds):
            self._train(X, positive, np.sort(np.concatenate([positives, cached])))
            hard = negatives[self._by_chunks(X, negatives) > -self.margin + self.slack]
            new = np.setdiff1d(hard, cached)
            self.history_.append({"negatives": len(cached), "violators_outside": len(new)})
            if not len(new):
                return self
            cached = self._renewed(X, cached, new, room)
        raise HardmineError(
            f"WorkingSetMiner has not ended after {self.max_rounds} rounds; {len(new)} negatives still violate the "
            f"margin outside the cache. Give it more rounds, a larger cache, or an estimator with a smaller tolerance"
        )

    def _limit(self, positive: NDArray[np.bool_]) -> int:
        if self.margin <= 0 or self.slack < 0 or self.max_rounds < 1 or self.chunk_size < 1:
            raise ConfigError(
                f"WorkingSetMiner needs margin > 0, slack >= 0, max_rounds >= 1 and chunk_size >= 1, got "
                f"{self.margin}, {self.slack}, {self.max_rounds}, {self.chunk_size}"
            )
        self._check_initial()
        limit = len(positive) if self.cache_size is None else self.cache_size
        if limit <= positive.sum():
            raise ConfigError(
                f"cache_size must be above the number of positives, which all stay in it: got {limit} for "
                f"{positive.sum()} positives"
            )
        return limit

    def _default_estimator(self) -> LinearSVC:
        return LinearSVC(loss="squared_hinge", dual=False, tol=1e-8, max_iter=10_000)  # pyright: ignore[reportArgumentType]

    def _by_chunks(self, X: NDArray[Any], rows: Places) -> NDArray[Any]:
        parts = gen_batches(len(rows), self.chunk_size)
        return np.concatenate([self._score(X[rows[part]]) for part in parts] or [np.empty(0)])

    def _renewed(self, X: NDArray[Any], cached: Places, new: Places, room: int) -> Places:
        """The cached negatives within the margin, and as many new ones, worst first, as there is room for."""
        kept = cached[self._by_chunks(X, cached) >= -self.margin - self.slack]
        if len(kept) >= room:
            raise HardmineError(
                f"the support vectors do not fit into the cache: {len(kept)} negatives lie within the margin, and "
                f"there is room for {room} beside the positives; raise cache_size, or choose a larger C"
            )
        worst_first = new[np.argsort(-self._by_chunks(X, new), kind="stable")]
        return np.concatenate([kept, worst_first[: room - len(kept)]])
