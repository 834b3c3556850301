"""Cross-validation: rows cut into folds, and a model's metrics on each, features fitted inside of it.

Conventions. Folds are scikit-learn's (``StratifiedKFold``, ``KFold``, ``GroupKFold``, ``TimeSeriesSplit``), shuffled by
a named stream of the seed; those in order of time are never shuffled. The standard error of a mean over folds is
corrected for the rows that folds have in common: s² (1/k + n_test/n_train) in place of s²/k, with Student's t of k - 1
degrees of freedom (Nadeau & Bengio, Inference for the generalization error, Machine Learning 52, 2003). For folds in
order of time, whose training sets grow, n_test/n_train is the mean over folds, and the interval a rough one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.split import Rows
from harness.domain.features import FeatureSet
from harness.domain.model import Role, Source, Task, TrainedModel
from harness.domain.training import LEVEL, Estimate, FoldsPlan, Split
from harness.errors import ArtifactError, InputError
from harness.seeds import Stream
from harness.training.algorithms import calm, effective
from harness.training.evaluate import evaluate
from harness.training.fit import label_values, unfitted

IntArray = NDArray[np.int64]

MIN_FOLDS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Places in the rows: to learn from, and to be judged on."""

    train: IntArray
    test: IntArray


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """A model's metrics on each fold."""

    split: Split
    train_rows: tuple[int, ...]
    test_rows: tuple[int, ...]
    folds: Mapping[str, tuple[float | None, ...]]
    """By metric, by fold; None where the rows of a fold do not define it."""
    estimates: Mapping[str, Estimate]
    """Of the metrics that every fold defines."""


def split_of(plan: FoldsPlan, *, classification: bool) -> Split:
    """How a plan cuts, where it leaves that to the task."""
    return plan.split or (Split.STRATIFIED if classification else Split.RANDOM)


def folds_of(rows: Rows, plan: FoldsPlan, draws: Stream) -> tuple[Fold, ...]:
    """Cut rows into folds.

    Args:
        rows: in order of time where the plan's split is.
        plan: how.
        draws: what chance there is; of folds in order of time, none.

    Raises:
        InputError: the rows cannot be cut so.
    """
    how = split_of(plan, classification=bool(rows.classes))
    count = len(rows.rows)
    groups = _groups(rows, plan) if how is Split.GROUP else None
    if plan.folds < MIN_FOLDS:
        raise InputError(f"{plan.folds} folds: cross-validation takes at least {MIN_FOLDS}")
    if how is Split.STRATIFIED and not rows.classes:
        raise InputError("stratified folds are of classes, and this target holds numbers; take random, group or time")
    cutter = _cutter(how, plan, draws.integer())
    try:
        with calm():
            cut = [Fold(train, test) for train, test in cutter.split(np.zeros(count), rows.target, groups)]
    except ValueError as error:
        raise InputError(f"{count} rows cannot be cut into {plan.folds} {how} folds: {error}") from error
    for number, fold in enumerate(cut, start=1):
        if rows.classes and len(np.unique(rows.target[fold.train])) < 2:
            raise InputError(f"fold {number} ({how}) would learn from rows of one class; take fewer folds")
    return tuple(cut)


def cross_validate(
    word: str,
    params: Mapping[str, Any],
    rows: Rows,
    folds: Sequence[Fold],
    random_state: int,
    *,
    split: Split,
    features: FeatureSet | None = None,
) -> CrossValidation:
    """Fit features and estimator to each fold's training rows alone, and measure both on the rest of it.

    Args:
        word: of the algorithm.
        params: as a scenario gives them.
        rows: all that may be learned from.
        folds: of these rows (`folds_of`).
        random_state: what chance there is in training; the same for each fold.
        split: how the folds were cut.
        features: what the model sees of each column; None: what is usual.

    Raises:
        InputError: the algorithm, its parameters or the rows cannot be used.
    """
    given = effective(word, params, random_state)
    found = [fold_metrics(word, given, rows, fold, features) for fold in folds]
    names = list(dict.fromkeys(name for each in found for name in each))
    by_metric = {name: tuple(each.get(name) for each in found) for name in names}
    return CrossValidation(
        split,
        tuple(len(fold.train) for fold in folds),
        tuple(len(fold.test) for fold in folds),
        by_metric,
        {
            name: estimate([value for value in values if value is not None], ratio_of(folds))
            for name, values in by_metric.items()
            if None not in values
        },
    )


def fold_metrics(
    word: str, params: Mapping[str, Any], rows: Rows, fold: Fold, features: FeatureSet | None = None
) -> dict[str, float]:
    """The metrics of one fold (`harness.training.evaluate.evaluate`).

    Args:
        word: of the algorithm.
        params: all that it is made with (`harness.training.algorithms.effective`).
        rows: all that may be learned from.
        fold: of these rows.
        features: what the model sees of each column; None: what is usual.

    Raises:
        InputError: scikit-learn refuses the parameters or the rows.
    """
    learnt, judged = rows.take(fold.train), rows.take(fold.test)
    pipeline = unfitted(word, params, learnt, features)
    try:
        with calm():
            pipeline.fit(learnt.rows, label_values(rows.classes)[learnt.target] if rows.classes else learnt.target)
    except (ValueError, TypeError) as error:
        raise InputError(f"{word} could not be trained: {error}") from error
    model = TrainedModel(
        name=word, role=Role.CANDIDATE, source=Source.TRAINED, algorithm=word, params=params, estimator=pipeline,
        task=Task.CLASSIFICATION if rows.classes else Task.REGRESSION,
        features=tuple(str(column) for column in rows.rows.columns), classes=rows.classes, artifact_digest="",
    )  # fmt: skip
    try:
        return evaluate(model, judged)
    except ArtifactError as error:
        raise InputError(f"{word} could not be judged: {error}") from error


def estimate(values: Sequence[float], ratio: float) -> Estimate:
    """The mean of a figure over folds, with a corrected standard error and a 95 % interval.

    Args:
        values: by fold.
        ratio: rows judged on by rows learned from, n_test/n_train; 1/(k - 1) for k equal folds.

    >>> found = estimate([0.8, 0.82, 0.84, 0.78, 0.81], 0.25)
    >>> round(found.mean, 4), round(found.sd, 4), round(found.standard_error, 4), round(found.low, 4)
    (0.81, 0.0224, 0.015, 0.7684)
    """
    from scipy import stats

    count = len(values)
    mean = float(np.mean(values))
    sd = float(np.std(values, ddof=1))
    error = sd * math.sqrt(1 / count + ratio)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    return Estimate(mean, sd, error, mean - half, mean + half)


def ratio_of(folds: Sequence[Fold]) -> float:
    """Rows judged on by rows learned from, on average over folds."""
    return float(np.mean([len(fold.test) / len(fold.train) for fold in folds]))


def _cutter(how: Split, plan: FoldsPlan, random_state: int) -> Any:
    from sklearn import model_selection as cut

    match how:
        case Split.STRATIFIED:
            return cut.StratifiedKFold(plan.folds, shuffle=True, random_state=random_state)
        case Split.RANDOM:
            return cut.KFold(plan.folds, shuffle=True, random_state=random_state)
        case Split.GROUP:
            return cut.GroupKFold(plan.folds, shuffle=True, random_state=random_state)
        case Split.TIME:
            return cut.TimeSeriesSplit(plan.folds, gap=plan.gap)


def _groups(rows: Rows, plan: FoldsPlan) -> NDArray[Any]:
    """The group of each row, by number; a missing name is a group of its own."""
    table = next((each for each in (rows.names, rows.rows) if each is not None and plan.group in each.columns), None)
    if table is None:
        raise InputError(f"folds by group need a column that names the groups, and the data have no {plan.group!r}")
    codes, _ = pd.factorize(table[plan.group].loc[rows.rows.index], use_na_sentinel=False)
    return np.asarray(codes)
