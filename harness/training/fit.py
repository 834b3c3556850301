"""Fitting a model to training rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.split import Rows
from harness.domain.features import FeatureSet
from harness.domain.model import Task
from harness.errors import InputError
from harness.features.building import settle
from harness.training.algorithms import algorithm, calm, effective, estimator, told
from harness.training.digest import model_digest
from harness.training.features import pipeline


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted pipeline."""

    estimator: Any
    digest: str
    notes: tuple[str, ...] = ()
    """What scikit-learn warned of while fitting."""


def unfitted(word: str, params: Mapping[str, Any], rows: Rows, features: FeatureSet | None = None) -> Any:
    """The pipeline of an algorithm for these rows, ready to be fitted.

    Args:
        word: of the algorithm.
        params: all that it is made with (`harness.training.algorithms.effective`).
        rows: what it is to learn from.
        features: what it sees of them; None: what is usual.

    Raises:
        InputError: the algorithm is of another task, its parameters cannot stand together, or the features do not fit
            the rows.
    """
    task = Task.CLASSIFICATION if rows.classes else Task.REGRESSION
    known = algorithm(word)
    if known.task is not task:
        what = "labels (model.data.positive is set)" if rows.classes else "numbers (model.data.positive is not set)"
        raise InputError(f"{word} is an algorithm for {known.task}, but the target is {what}")
    seed = params.get("random_state")
    return pipeline(
        rows.rows,
        estimator(word, params),
        features,
        classifies=bool(rows.classes),
        random_state=seed if isinstance(seed, int) else 0,
    )


def fit(word: str, model: Any, rows: Rows) -> Fitted:
    """Fit a pipeline to rows; a classifier learns the labels as the data set writes them.

    Raises:
        InputError: scikit-learn refuses its parameters or the rows.
    """
    labels = label_values(rows.classes)[rows.target] if rows.classes else rows.target
    try:
        with calm() as gathered:
            model.fit(rows.rows, labels)
    except (ValueError, TypeError) as error:
        raise InputError(f"{word} could not be trained: {error}") from error
    settle(model)
    return Fitted(model, model_digest(model), tuple(f"{word}: {note}" for note in told(gathered)))


def try_out(
    word: str, params: Mapping[str, Any], rows: Rows, features: FeatureSet | None = None, *, enough: int = 400
) -> None:
    """Raise where an algorithm would refuse its parameters or the rows.

    It is fitted to some of the rows, because that is quick; to all of them where these are refused, because a parameter
    may ask for more rows than some are.

    Args:
        word: of the algorithm.
        params: as the scenario gives them.
        rows: what it is to learn from.
        features: what it sees of them.
        enough: how many rows to begin with.

    Raises:
        InputError: with what a run would say.
    """
    given = effective(word, params, random_state=0)
    some = rows.take(_spread(rows, enough))
    try:
        fit(word, unfitted(word, given, some, features), some)
    except InputError:
        fit(word, unfitted(word, given, rows, features), rows)


def _spread(rows: Rows, enough: int) -> Any:
    """Some rows from all over the table, of every class at least two."""
    chosen = np.linspace(0, len(rows.rows) - 1, min(enough, len(rows.rows))).astype(np.int64)
    few = [np.flatnonzero(rows.target == label)[:2] for label in (0, 1)] if rows.classes else []
    return np.unique(np.concatenate([chosen, *few]))


def label_values(classes: tuple[str, ...]) -> Any:
    """The labels as a model should answer them: whole numbers where they are written as such, else text.

    >>> label_values(("0", "1")).tolist(), label_values(("No", "Yes")).tolist(), label_values(("01", "1")).tolist()
    ([0, 1], ['No', 'Yes'], ['01', '1'])
    """
    if all(label.lstrip("-").isdecimal() and str(int(label)) == label for label in classes):
        return np.array([int(label) for label in classes])
    return np.array(classes)
