"""How good a model is, under the names of the usual MLOps handbooks: any object that can predict, by scikit-learn."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from harness.domain.model import Task
from harness.errors import InputError
from harness.seeds import stream
from harness.training.answered import Answered
from harness.training.bootstrap import LEVEL, Interval, intervals
from harness.training.weighed import LOWER_IS_BETTER

CLASSIFICATION: Final = ("accuracy", "precision", "recall", "f1", "auc", "log_loss")
REGRESSION: Final = ("rmse", "mae", "r2")
OF_SCORES: Final = ("auc", "log_loss")
OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
RULE: Final = re.compile(r"\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")

Metrics = Sequence[str] | Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What a model showed."""

    metrics: dict[str, float]
    rows: int
    task: Task
    requirements: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """By metric: an operator and a bound; empty where only names were given."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Where they were asked for; of binary classification and regression."""

    def meets_requirements(self) -> bool:
        """Every metric that has a bound keeps it; without bounds there is nothing to miss."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """The requirements that are not met, in words."""
        return tuple(
            f"{name} is {self.metrics[name]:.4g}, and must be {sign} {bound:g}"
            for name, (sign, bound) in self.requirements.items()
            if not OPERATORS[sign](self.metrics[name], bound)
        )


class ModelEvaluator:
    """Measures models on rows they have not seen.

    Labels may be numbers or texts. Precision, recall and f1 of two classes are those of the positive one; of more
    classes they are macro averages (each class counts alike), and auc is that of each class against the others,
    averaged so. Where nothing is predicted positive precision is 0, as scikit-learn has it.

    Args:
        positive: the positive label; None: the last of the two in order.
        resamples: of the bootstrap, for an interval of each metric; 0: none.
        level: how sure the intervals are.
        seed: what resamples are drawn from.
    """

    def __init__(self, *, positive: Any = None, resamples: int = 0, level: float = LEVEL, seed: int = 0) -> None:
        self.positive = positive
        self.resamples, self.level, self.seed = resamples, level, seed

    def evaluate_model(self, model: Any, X_test: Any, y_test: Any, metrics: Metrics | None = None) -> EvaluationResult:  # noqa: N803 - the usual names
        """Measure a model.

        Args:
            model: anything with ``predict``; auc and log_loss ask ``predict_proba`` (auc: or ``decision_function``).
            X_test: rows, as the model takes them.
            y_test: their true answers.
            metrics: names; or requirements by name, such as ``{"accuracy": 0.8, "log_loss": "<= 0.5"}``: a number is
                the least value, or the greatest of rmse, mae and log_loss. None: all of the task.

        Raises:
            InputError: a metric is none of the task, the model has no scores for it, or a requirement is none; there
                are no rows, a true answer is missing, or is a label that the model does not know.
        """
        from harness.training.algorithms import calm

        truth = _told_answers(y_test)
        with calm():
            predicted = np.asarray(model.predict(X_test)).ravel()
            if len(predicted) != len(truth):
                raise InputError(f"the model gave {len(predicted)} answers for {len(truth)} rows")
            task = _task(model, truth)
            _check_numbers(task, truth, predicted)
            wanted = self._wanted(metrics, task, model)
            seen = _Seen(model, X_test, truth, predicted, self.positive)
            found = {name: seen.figure(name, task) for name in wanted}
            spread = self._intervals(seen, task, wanted)
        return EvaluationResult(found, len(truth), task, _requirements(metrics), spread)

    def evaluate(
        self, model: Any, test_data: Any, metrics: Metrics | None = None, target: str = "target"
    ) -> EvaluationResult:
        """The same of rows and answers in one: ``(X, y)``, a mapping with X and y, or a table with a target column.

        Raises:
            InputError: as `evaluate_model`; or the test data are none of these.
        """
        rows, truth = rows_and_target(test_data, target)
        return self.evaluate_model(model, rows, truth, metrics)

    def _wanted(self, metrics: Metrics | None, task: Task, model: Any) -> tuple[str, ...]:
        known = REGRESSION if task is Task.REGRESSION else CLASSIFICATION
        if metrics is None:
            return tuple(name for name in known if name not in OF_SCORES or hasattr(model, "predict_proba"))
        for name in metrics:
            if name not in known:
                raise InputError(f"{name} is no metric of {task}; known: {', '.join(known)}")
        return tuple(metrics)

    def _intervals(self, seen: "_Seen", task: Task, wanted: tuple[str, ...]) -> dict[str, Interval]:
        answers = seen.answered(task) if self.resamples else None
        if answers is None:
            return {}
        draws = stream(self.seed, "evaluation/bootstrap")
        return intervals(answers, wanted, resamples=self.resamples, level=self.level, draws=draws)


def rows_and_target(test_data: Any, target: str) -> tuple[Any, Any]:
    """Rows, and what is true of them.

    Raises:
        InputError: the data are no pair, no mapping with X and y, and no table with the target.
    """
    if isinstance(test_data, tuple) and len(test_data) == 2:
        return test_data
    if isinstance(test_data, Mapping):
        for rows, truth in (("X", "y"), ("X_test", "y_test"), ("features", "target")):
            if rows in test_data and truth in test_data:
                return test_data[rows], test_data[truth]
    if hasattr(test_data, "columns") and target in test_data.columns:
        return test_data.drop(columns=[target]), test_data[target]
    raise InputError(f"test data are (X, y), a mapping with X and y, or a table with the column {target!r}")


def _told_answers(given: Any) -> Any:
    """True answers as an array, every one of them there."""
    import pandas as pd

    truth = np.asarray(given).ravel()
    if not len(truth):
        raise InputError("there are no rows to measure the model on: give test rows and their true answers")
    missing = int(pd.isna(truth).sum())
    if missing:
        raise InputError(
            f"{missing} of {len(truth)} true answers are missing (NaN or None): leave these rows out of the test data"
        )
    return truth


def _check_numbers(task: Task, truth: Any, predicted: Any) -> None:
    """Of a regression: numbers on both sides, and finite ones."""
    if task is not Task.REGRESSION:
        return
    for what, values in (("true answers", truth), ("the model's answers", predicted)):
        try:
            wrong = int((~np.isfinite(values.astype(np.float64))).sum())
        except (TypeError, ValueError) as error:
            raise InputError(f"a regression is measured by numbers, and {what} hold others: {error}") from None
        if wrong:
            raise InputError(f"{wrong} of {len(values)} {what} are no finite numbers: leave these rows out")


def _requirements(metrics: Metrics | None) -> dict[str, tuple[str, float]]:
    if not isinstance(metrics, Mapping):
        return {}
    return {name: _requirement(name, bound) for name, bound in metrics.items()}


def _requirement(name: str, bound: float | str) -> tuple[str, float]:
    if isinstance(bound, str):
        read = RULE.fullmatch(bound)
        if read is None:
            raise InputError(
                f"the requirement of {name} is {bound!r}: write a number, or an operator and a number: >= 0.8"
            )
        try:
            return read[1], float(read[2])
        except ValueError:
            raise InputError(f"the requirement of {name} is {bound!r}, and {read[2]} is no number") from None
    given: Any = bound
    if not isinstance(given, int | float | np.number) or not np.isfinite(given):
        raise InputError(f"the requirement of {name} is {bound!r}: write a number, or an operator and a number: >= 0.8")
    return ("<=" if name in LOWER_IS_BETTER else ">="), float(bound)


def _task(model: Any, truth: Any) -> Task:
    """A regressor says so; of other objects, answers with fractions are numbers, and all others labels."""
    from sklearn.base import is_classifier, is_regressor
    from sklearn.utils.multiclass import type_of_target

    if hasattr(model, "__sklearn_tags__") and (is_classifier(model) or is_regressor(model)):
        return Task.REGRESSION if is_regressor(model) else Task.CLASSIFICATION
    return Task.REGRESSION if type_of_target(truth) == "continuous" else Task.CLASSIFICATION


def _listed(labels: Any) -> str:
    """Five labels at most, in order."""
    words = sorted(repr(each) for each in getattr(labels, "tolist", lambda: labels)())
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")


class _Seen:
    """What a model said, and what was true."""

    def __init__(self, model: Any, rows: Any, truth: Any, predicted: Any, positive: Any) -> None:
        self.model, self.rows, self.truth, self.predicted = model, rows, truth, predicted
        known = getattr(model, "classes_", None)
        self.classes = np.unique(np.concatenate([truth, predicted])) if known is None else np.asarray(known)
        if positive is not None and positive not in self.classes.tolist():
            raise InputError(f"positive is {positive!r}, and the labels are {_listed(self.classes)}: name one of them")
        self.positive = self.classes[-1] if positive is None else positive

    @property
    def binary(self) -> bool:
        return len(self.classes) <= 2

    def figure(self, name: str, task: Task) -> float:
        from sklearn import metrics

        if task is Task.REGRESSION:
            plain = {
                "rmse": metrics.root_mean_squared_error,
                "mae": metrics.mean_absolute_error,
                "r2": metrics.r2_score,
            }
            return float(plain[name](self.truth, self.predicted))
        self._check_labels(name)
        if name == "accuracy":
            return float(metrics.accuracy_score(self.truth, self.predicted))
        if name == "auc":
            return self._auc()
        if name == "log_loss":
            return float(metrics.log_loss(self.truth, self._chances(), labels=self.classes))
        score = getattr(metrics, f"{name}_score")
        how = {"average": "binary", "pos_label": self.positive} if self.binary else {"average": "macro"}
        return float(score(self.truth, self.predicted, zero_division=0, **how))

    def _check_labels(self, name: str) -> None:
        """A label that the model cannot give is a wrong answer to accuracy and macro averages; others have no place."""
        labels = set(self.truth.tolist())
        unseen = labels - set(self.classes.tolist())
        counted = name == "accuracy" or not (self.binary or name in OF_SCORES)
        if unseen and not (counted and unseen != labels):
            raise InputError(
                f"the true answers have {_listed(unseen)}, which the model does not know: it answers "
                f"{_listed(self.classes)}; leave these rows out, write labels as in training, or train it with them"
            )

    def _auc(self) -> float:
        from sklearn import metrics

        if self.binary:
            return float(metrics.roc_auc_score(self.truth == self.positive, self._score()))
        return float(
            metrics.roc_auc_score(self.truth, self._chances(), labels=self.classes, multi_class="ovr", average="macro")
        )

    def _chances(self) -> Any:
        if not hasattr(self.model, "predict_proba"):
            raise InputError(
                f"{type(self.model).__name__} gives no probabilities (predict_proba): ask for other metrics"
            )
        return np.asarray(self.model.predict_proba(self.rows))

    def _score(self) -> Any:
        place = list(self.classes).index(self.positive)
        if not hasattr(self.model, "predict_proba") and hasattr(self.model, "decision_function"):
            score = np.asarray(self.model.decision_function(self.rows))
            return score if place else -score
        return self._chances()[:, place]

    def answered(self, task: Task) -> Answered | None:
        """As 0/1, or as numbers; None of more than two classes."""
        if task is Task.REGRESSION:
            return Answered(task, self.truth.astype(np.float64), self.predicted.astype(np.float64))
        if not self.binary:
            return None
        truth, predicted = ((each == self.positive).astype(np.int64) for each in (self.truth, self.predicted))
        probable = hasattr(self.model, "predict_proba")
        scored = probable or hasattr(self.model, "decision_function")
        return Answered(task, truth, predicted, self._score() if scored else None, probable)
