"""Training and tuning from Python, on frames as they are: thin, over scikit-learn and `harness.training`."""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.clock import wall_ns
from harness.domain.model import Task
from harness.domain.training import FoldsPlan, Sampler, Split, Trial, TunePlan
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.seeds import stream

if TYPE_CHECKING:
    from harness.data.split import Rows
    from harness.training.vocabulary import Algorithm

DEFAULT: Final = "random_forest"
TARGET: Final = "target"
PAIRS: Final = (("X", "y"), ("X_train", "y_train"), ("features", "target"))
"""Under what names a mapping holds features and answers."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """What came of training a model."""

    model: Any
    """Fitted; None where training failed."""
    training_successful: bool
    duration: float
    """Real seconds."""
    algorithm: str
    hyperparameters: Mapping[str, Any]
    """All that the estimator was made with beside its own defaults."""
    experiment_id: str | None = None
    error: str = ""
    """Why training failed."""
    notes: tuple[str, ...] = ()
    """What scikit-learn warned of."""


class ModelTrainer:
    """Trains estimators of scikit-learn by the words of `harness.training.vocabulary`.

    Args:
        random_state: of estimators that take one and are given none.
        target: the column to predict, where data come as one frame.
    """

    def __init__(self, random_state: int = 0, target: str = TARGET) -> None:
        self.random_state = random_state
        self.target = target

    def train(
        self,
        data: Any,
        hyperparameters: Mapping[str, Any] | None = None,
        experiment_id: str | None = None,
        algorithm: str = DEFAULT,
    ) -> TrainingResult:
        """Train a pipeline: numbers imputed and scaled, categories one-hot, then the algorithm.

        Args:
            data: a frame with its target, ``(X, y)``, or ``{"X": …, "y": …}``.
            hyperparameters: of the algorithm.
            experiment_id: whose training this is; kept with the result.
            algorithm: its word.

        Raises:
            InputError: there is no such algorithm, or no target; a parameter that it has not.
        """
        from harness.training.features import pipeline

        rows, target = split_target(data, self.target)
        params = self._params(algorithm, hyperparameters)
        made = self._made(algorithm, params)
        return self._fit(pipeline(rows, made), rows, target, algorithm, params, experiment_id)

    def train_model(
        self,
        X_train: Any,  # noqa: N803 - the usual names
        y_train: Any,
        algorithm: str,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> TrainingResult:
        """Train an estimator on features and answers exactly as they are handed over.

        Args:
            X_train: as the estimator takes it.
            y_train: likewise.
            algorithm: its word.
            hyperparameters: of the algorithm.

        Raises:
            InputError: there is no such algorithm; a parameter that it has not.
        """
        params = self._params(algorithm, hyperparameters)
        return self._fit(self._made(algorithm, params), X_train, y_train, algorithm, params, None)

    def cross_validate(
        self,
        X: Any,  # noqa: N803
        y: Any,
        algorithm: str = DEFAULT,
        cv_folds: int = 5,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> dict[str, list[float]]:
        """Metrics of each fold, features fitted inside of it.

        accuracy, precision, recall and f1, or rmse, mae and r2. Folds are shuffled, and of classes stratified. With two
        labels the last of them, sorted, is the positive one; with more, figures are the plain mean over classes. What a
        fold does not define (precision where nothing is predicted positive) is 0, as in scikit-learn.

        Args:
            X: a frame of features.
            y: the answers.
            algorithm: its word.
            cv_folds: how many.
            hyperparameters: of the algorithm.

        Raises:
            InputError: the algorithm, its parameters or the rows cannot be used.
        """
        from sklearn import model_selection

        from harness.training.algorithms import calm
        from harness.training.features import pipeline

        params = self._params(algorithm, hyperparameters)
        classifies = _known(algorithm).task is Task.CLASSIFICATION
        kind = model_selection.StratifiedKFold if classifies else model_selection.KFold
        made = pipeline(X, self._made(algorithm, params)) if hasattr(X, "columns") else self._made(algorithm, params)
        try:
            folds = kind(cv_folds, shuffle=True, random_state=self.random_state)
            with calm():
                found = model_selection.cross_validate(
                    made, X, y, cv=folds, scoring=_scorers(y, classifies=classifies), error_score="raise"
                )
        except (ValueError, TypeError) as error:
            raise InputError(f"{algorithm} could not be cross-validated: {error}") from error
        return {
            name.removeprefix("test_"): [float(value) for value in values]
            for name, values in found.items()
            if name.startswith("test_")
        }

    def _params(self, word: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
        known = _known(word)
        named = getattr(importlib.import_module(known.module), known.estimator)
        seeded = {"random_state": self.random_state} if _takes(named, "random_state") else {}
        return {**known.defaults, **seeded, **(given or {})}

    @staticmethod
    def _made(word: str, params: Mapping[str, Any]) -> Any:
        """The estimator, looked up in scikit-learn's module now: whoever has put another there means it."""
        known = _known(word)
        try:
            return getattr(importlib.import_module(known.module), known.estimator)(**params)
        except (TypeError, ValueError) as error:
            raise InputError(f"{word} cannot be made with {dict(params)}: {error}") from error

    @staticmethod
    def _fit(
        model: Any, rows: Any, target: Any, word: str, params: Mapping[str, Any], experiment_id: str | None
    ) -> TrainingResult:
        from harness.training.algorithms import calm, told

        began_ns = wall_ns()
        failure = ""
        with calm() as gathered:
            try:
                model.fit(rows, target)
            except (ValueError, TypeError) as error:
                failure = str(error)
        return TrainingResult(
            model=None if failure else model,
            training_successful=not failure,
            duration=(wall_ns() - began_ns) / SECOND,
            algorithm=word,
            hyperparameters=params,
            experiment_id=experiment_id,
            error=failure,
            notes=tuple(told(gathered)),
        )


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What a search found."""

    best_parameters: Mapping[str, Any]
    """Those of the search and the fixed ones."""
    best_value: float
    """The mean over folds."""
    metric: str
    trials: tuple[Trial, ...]
    durations: tuple[float, ...] = field(default=(), compare=False)
    """By trial: real seconds of training."""


class HyperparameterTuner:
    """Searches for parameters by cross-validation: the same result whatever the number of processes.

    Args:
        trials: at most.
        metric: what is made best; default: f1 of a classification, rmse of a regression.
        cv_folds: how many.
        split: stratified, random, or time.
        sampler: tpe, random, or grid.
        prune: give up after a fold where a trial stands worse than the median.
        workers: processes.
        timeout: real seconds that a trial may train; None: no limit.
        storage: an SQLite file in which trials are kept, so that a search that was cut off goes on.
        seed: of all chance.
        target: the column to predict, where data come as one frame.
    """

    def __init__(
        self,
        trials: int = 20,
        metric: str | None = None,
        cv_folds: int = 5,
        split: str | None = None,
        sampler: str = "tpe",
        *,
        prune: bool = True,
        workers: int = 1,
        timeout: float | None = None,
        storage: str | None = None,
        seed: int = 0,
        target: str = TARGET,
    ) -> None:
        self.trials, self.metric, self.target, self.seed = trials, metric, target, seed
        self._rest = {
            "folds": FoldsPlan(cv_folds, _word(Split, split, "split") if split else None),
            "sampler": _word(Sampler, sampler, "sampler"),
            "prune": prune,
            "workers": workers,
            "limit_ns": None if timeout is None else int(timeout * SECOND),
            "storage": storage,
        }

    def tune(
        self,
        data: Any,
        algorithm: str,
        search_space: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> TuningResult:
        """Search.

        Args:
            data: a frame with its target, ``(X, y)``, or ``{"X": …, "y": …}``; answers of two labels, or numbers.
            algorithm: its word.
            search_space: by parameter: values (``[3, 5, None]``), ``{"log": [0.01, 10]}``, ``{"int": [50, 300]}``,
                ``{"float": [0, 1]}``.
            parameters: fixed ones.

        Raises:
            InputError: the search cannot be carried out, or not one trial could be trained.
        """
        from harness.training.space import space_of
        from harness.training.tuning import tune

        known = _known(algorithm)
        rows = rows_of(data, self.target, known.task)
        metric = self.metric or ("f1" if known.task is Task.CLASSIFICATION else "rmse")
        plan = TunePlan(space_of(search_space), metric, self.trials, **self._rest)
        fixed = dict(parameters or {})
        found = tune(algorithm, fixed, rows, plan, stream(self.seed, "tuning"), stream(self.seed, "training").integer())
        return TuningResult({**fixed, **found.best}, found.value, metric, found.trials, found.took_s)


# --- data as they come ------------------------------------------------------------------------------------------------


def split_target(data: Any, target: str) -> tuple[Any, Any]:
    """Features and answers of data as callers have them.

    Args:
        data: a frame with its target, ``(X, y)``, or ``{"X": …, "y": …}``.
        target: the column, of a frame.

    Raises:
        InputError: they are none of these.
    """
    if isinstance(data, tuple | list) and len(data) == 2:
        return data[0], data[1]
    for rows, truth in PAIRS if isinstance(data, Mapping) else ():
        if rows in data and truth in data:
            return data[rows], data[truth]
    if not hasattr(data, "columns"):
        raise InputError(f"data are a frame with its target, (X, y) or {{'X': …, 'y': …}}, not a {type(data).__name__}")
    if target not in data.columns:
        columns = ", ".join(map(str, data.columns))
        raise InputError(f"the data have no column {target!r} to predict; name it with target= (columns: {columns})")
    return data.drop(columns=[target]), data[target]


def rows_of(data: Any, target: str, task: Task) -> "Rows":
    """The same, typed as those of a scenario; of two labels the last (texts follow numbers) is the positive one.

    Raises:
        InputError: the answers do not fit the task.
    """
    import numpy as np
    import pandas as pd

    from harness.data.split import Rows, target_of
    from harness.data.table import label_text

    features, answers = split_target(data, target)
    table = pd.DataFrame(features).reset_index(drop=True)
    known = pd.Series(np.asarray(answers), name=target).to_frame()
    positive = None
    if task is Task.CLASSIFICATION:
        labels = sorted(known[target].dropna().unique(), key=lambda label: (isinstance(label, str), label))
        positive = label_text(labels[-1]) if labels else ""
    values, classes = target_of(known, target, positive)
    return Rows(table, values, classes)


def _known(word: str) -> "Algorithm":
    from harness.training.algorithms import algorithm

    return algorithm(word)


def _takes(named: Any, parameter: str) -> bool:
    return inspect.isclass(named) and parameter in inspect.signature(named).parameters


def _word(words: Any, given: str, what: str) -> Any:
    try:
        return words(given)
    except ValueError:
        raise InputError(f"{what} is {given!r}; it is one of {', '.join(words)}") from None


def _scorers(answers: Any, *, classifies: bool) -> dict[str, Any]:
    import numpy as np
    from sklearn import metrics

    if not classifies:
        return {
            "rmse": metrics.make_scorer(metrics.root_mean_squared_error),
            "mae": metrics.make_scorer(metrics.mean_absolute_error),
            "r2": metrics.make_scorer(metrics.r2_score),
        }
    labels: Sequence[Any] = np.unique(np.asarray(answers)).tolist()
    how = {"average": "binary", "pos_label": labels[-1]} if len(labels) == 2 else {"average": "macro"}
    told = {
        name: metrics.make_scorer(getattr(metrics, f"{name}_score"), zero_division=0, **how)
        for name in ("precision", "recall", "f1")
    }
    return {"accuracy": metrics.make_scorer(metrics.accuracy_score), **told}
