"""Metrics of rows that count more than once, or not at all: a bootstrap's resample is a weight for each row.

Every metric but auc is a function of a few sums over rows, and so one matrix product gives it for a thousand resamples.
Figures are scikit-learn's; a metric that the rows do not define is NaN.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Task
from harness.errors import InputError
from harness.training.answered import Answered, FloatArray

LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "rmse", "mae"})
PROPORTIONS: Final = frozenset({"accuracy", "precision", "recall"})
OF_SCORES: Final = frozenset({"auc", "log_loss", "brier"})


class Weighed(Protocol):
    """A metric of rows with weights."""

    def of(self, weights: NDArray[Any]) -> FloatArray:
        """The metric of each resample: shape (resamples, rows) of counts to shape (resamples,)."""
        ...

    def left_out(self) -> FloatArray:
        """The metric without each row in turn, shape (rows,): the jackknife."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Summed:
    """A metric that is a function of sums over rows."""

    terms: FloatArray
    """Shape (rows, terms)."""
    figure: Callable[[FloatArray], FloatArray]
    """Sums, shape (resamples, terms), to the metric."""

    def of(self, weights: NDArray[Any]) -> FloatArray:
        """The metric of each resample."""
        return self.figure(np.asarray(weights, np.float64) @ self.terms)

    def left_out(self) -> FloatArray:
        """The metric without each row in turn."""
        return self.figure(self.terms.sum(axis=0) - self.terms)


class Area:
    """The area under the ROC curve: how often a positive row outranks a negative one, ties as a half."""

    def __init__(self, target: NDArray[Any], score: FloatArray) -> None:
        order = np.argsort(score, kind="stable")
        ranked = score[order]
        self._order = order
        self._positive = target[order] == 1
        self._first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, np.int64)

    def of(self, weights: NDArray[Any]) -> FloatArray:
        """The metric of each resample."""
        ranked = np.asarray(weights, np.float64)[:, self._order]
        positive = np.add.reduceat(ranked * self._positive, self._first, axis=1)
        negative = np.add.reduceat(ranked * ~self._positive, self._first, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        return _share((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))

    def left_out(self) -> FloatArray:
        """The metric without each row in turn, by what each row adds to the count of pairs (DeLong et al., 1988)."""
        counts = np.diff(np.r_[self._first, len(self._order)])
        positive = np.add.reduceat(self._positive.astype(np.float64), self._first)
        negative = counts - positive
        below = np.cumsum(negative) - negative / 2
        above = positive.sum() - np.cumsum(positive) + positive / 2
        group = np.repeat(np.arange(len(self._first)), counts)
        pairs = (positive * below).sum() - np.where(self._positive, below[group], above[group])
        of = np.where(self._positive, (positive.sum() - 1) * negative.sum(), positive.sum() * (negative.sum() - 1))
        found = np.empty(len(self._order))
        found[self._order] = _share(pairs, of)
        return found


def weighed(metric: str, answers: Answered) -> Weighed:
    """A metric by name over what was answered.

    Raises:
        InputError: it is none of this task, or needs scores or probabilities that the model does not give.
    """
    if metric not in names(answers.task):
        raise InputError(f"{metric} is no metric of {answers.task}; known: {', '.join(names(answers.task))}")
    if metric not in defined(answers):
        raise InputError(f"{metric} needs {'scores' if metric == 'auc' else 'probabilities'}, and the model has none")
    if metric == "auc" and answers.score is not None:
        return Area(answers.target, answers.score)
    known = _REGRESSION if answers.task is Task.REGRESSION else _CLASSIFICATION
    terms, figure = known[metric]
    return Summed(np.column_stack([np.asarray(term, np.float64) for term in terms(answers)]), figure)


def names(task: Task) -> tuple[str, ...]:
    """The metrics of a task."""
    return tuple(_REGRESSION) if task is Task.REGRESSION else ("accuracy", "precision", "recall", "f1", "auc", *_LAST)


def defined(answers: Answered) -> tuple[str, ...]:
    """The metrics that what was answered can have."""
    if answers.task is Task.REGRESSION:
        return names(answers.task)
    lacking = OF_SCORES - {"auc"} if answers.score is not None else OF_SCORES
    if answers.probable:
        lacking = frozenset()
    return tuple(name for name in names(answers.task) if name not in lacking)


def value(metric: str, answers: Answered) -> float:
    """The metric of the rows as they are; NaN where they do not define it.

    Raises:
        InputError: as `weighed`.
    """
    if not len(answers):
        return float("nan")
    return float(weighed(metric, answers).of(np.ones((1, len(answers))))[0])


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    found: FloatArray = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)
    return found


def _first_of_second(sums: FloatArray) -> FloatArray:
    return _share(sums[..., 0], sums[..., 1])


def _f1(sums: FloatArray) -> FloatArray:
    return _share(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1])


def _r2(sums: FloatArray) -> FloatArray:
    errors, squares, values, rows = (sums[..., place] for place in range(4))
    # Rounding leaves a little of a spread that is none.
    spread = squares - _share(values**2, rows)
    spread = np.where(spread > 1e-12 * squares, spread, 0)
    found: FloatArray = 1 - _share(errors, spread)
    return found


def _log_losses(answers: Answered) -> FloatArray:
    """Of each row, clipped as scikit-learn clips: by the resolution of the scores' type."""
    score = _scores(answers)
    tiny = float(np.finfo(score.dtype).eps)
    chance = np.clip(np.where(answers.target == 1, score, 1 - score), tiny, 1 - tiny)
    return np.asarray(-np.log(chance), np.float64)


def _scores(answers: Answered) -> FloatArray:
    return answers.target * np.nan if answers.score is None else answers.score


def _ones(answers: Answered) -> FloatArray:
    return np.ones(len(answers))


def _hits(answers: Answered) -> NDArray[np.bool_]:
    return np.asarray((answers.predicted == 1) & (answers.target == 1))


def _error(answers: Answered) -> FloatArray:
    return np.asarray(answers.predicted - answers.target, np.float64)


def _centred(answers: Answered) -> FloatArray:
    return np.asarray(answers.target - answers.target.mean(), np.float64)


Terms = Callable[[Answered], tuple[Any, ...]]
Figure = Callable[[FloatArray], FloatArray]

_CLASSIFICATION: Final[Mapping[str, tuple[Terms, Figure]]] = {
    "accuracy": (lambda a: (a.right, _ones(a)), _first_of_second),
    "precision": (lambda a: (_hits(a), a.predicted == 1), _first_of_second),
    "recall": (lambda a: (_hits(a), a.target == 1), _first_of_second),
    "f1": (lambda a: (_hits(a), ~a.right), _f1),
    "log_loss": (lambda a: (_log_losses(a), _ones(a)), _first_of_second),
    "brier": (lambda a: ((_scores(a) - a.target) ** 2, _ones(a)), _first_of_second),
}
_LAST: Final = ("log_loss", "brier")
_REGRESSION: Final[Mapping[str, tuple[Terms, Figure]]] = {
    "rmse": (lambda a: (_error(a) ** 2, _ones(a)), lambda sums: np.sqrt(_first_of_second(sums))),
    "mae": (lambda a: (np.abs(_error(a)), _ones(a)), _first_of_second),
    "r2": (lambda a: (_error(a) ** 2, _centred(a) ** 2, _centred(a), _ones(a)), _r2),
}
