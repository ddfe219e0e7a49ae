"""What the classical miners share: two classes, all positives, some negatives, an estimator that is fitted anew."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hardmine.errors import ConfigError

__all__ = ["BinaryMiner", "Places"]

Places = NDArray[np.intp]


class BinaryMiner(ClassifierMixin, BaseEstimator):
    """A classifier of two classes that learns from all positives and a changing part of the negatives.

    The larger label is the positive one. What was learned is in ``estimator_``; ``working_set_`` are the rows of X that
    it was last fitted on, ``history_`` what happened in each round.
    """

    estimator: Any
    initial_negatives: int | None
    estimator_: Any
    classes_: NDArray[Any]
    working_set_: Places
    history_: list[dict[str, int]]

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Signed score of each row, positive for the larger label."""
        check_is_fitted(self)
        return self._score(np.asarray(validate_data(self, X, reset=False)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each row."""
        is_positive = self.decision_function(X) > 0
        return self.classes_[is_positive.astype(int)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _checked(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Features, and which of them are positive.

        Raises: ConfigError: not two classes.
        """
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            raise ConfigError(
                f"Only binary classification is supported. {type(self).__name__} needs rows of two classes, "
                f"got {len(self.classes_)} class{'es' * (len(self.classes_) != 1)}: {self.classes_.tolist()}"
            )
        return X, y == self.classes_[1]

    def _default_estimator(self) -> Any:
        """What is trained where no estimator was given."""
        raise NotImplementedError

    def _num_initial(self, num_positives: int) -> int:
        return num_positives if self.initial_negatives is None else self.initial_negatives

    def _check_initial(self) -> None:
        if self.initial_negatives is not None and self.initial_negatives < 1:
            raise ConfigError(
                f"{type(self).__name__} needs initial_negatives >= 1 or None, got {self.initial_negatives}"
            )

    def _train(self, X: NDArray[Any], positive: NDArray[np.bool_], rows: Places) -> None:
        """Fits the estimator anew on some rows."""
        self.estimator_ = clone(self._default_estimator() if self.estimator is None else self.estimator)
        self.estimator_.fit(X[rows], positive[rows])
        self.working_set_ = rows

    def _score(self, X: NDArray[Any]) -> NDArray[Any]:
        """By the estimator's decision function, or its probability of the positive class above one half."""
        if hasattr(self.estimator_, "decision_function"):
            return self.estimator_.decision_function(X)
        return self.estimator_.predict_proba(X)[:, 1] - 0.5


def some_of(negatives: Places, num: int, random_state: Any) -> Places:
    """``num`` of them at random, or all if there are fewer."""
    return random_state.choice(negatives, size=min(num, len(negatives)), replace=False)
