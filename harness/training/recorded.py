"""Models of any kind by what they answered: a file of predictions, joined to the data set and looked up row by row.

Such a model cannot be asked anew. It answers a row what it answered when the file was written, so drift put into the
inputs changes the rows and not the answers.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dataset import file_name
from harness.data.digest import table_digest
from harness.data.keyed import keyed, lacks, names
from harness.data.split import Rows
from harness.data.table import label_text
from harness.domain.fault import Fault, Missing, Scale, Shift, Swap
from harness.domain.model import PredictionsPlan, Role, Source, Task, TrainedModel
from harness.errors import DataError, InputError
from harness.protocols import Population
from harness.training.brought import ZERO_AND_ONE

KEYS_TOLD: Final = 5
PREDICTED: Final = "predicted"
SCORE: Final = "score"


# --- what stands where a fitted estimator does ------------------------------------------------------------------------


class RecordedRegressor:
    """Answers rows of the data set by look-up.

    Args:
        answers: ``predicted`` and, of a classifier, perhaps ``score``, by the rows' numbers in the data set.
    """

    def __init__(self, answers: pd.DataFrame) -> None:
        self._answers = answers

    def predict(self, rows: pd.DataFrame) -> NDArray[Any]:
        """What was answered to these rows, which are known by their index.

        Raises:
            KeyError: nothing was recorded for one of them.
        """
        return self._recorded(PREDICTED, rows)

    def _recorded(self, column: str, rows: pd.DataFrame) -> NDArray[Any]:
        places = self._answers.index.get_indexer(rows.index)
        if (places < 0).any():
            raise KeyError(f"no answer was recorded for row {rows.index[places < 0][0] + 1} of the data set")
        return self._answers[column].to_numpy()[places]


class RecordedClassifier(RecordedRegressor):
    """Answers rows of the data set by look-up, with one of two labels.

    Args:
        answers: by the rows' numbers in the data set.
        classes: the two labels, the positive one last.
    """

    def __init__(self, answers: pd.DataFrame, classes: tuple[str, ...]) -> None:
        super().__init__(answers)
        self.classes_ = np.array(classes, dtype=object)


class ScoredClassifier(RecordedClassifier):
    """A recorded classifier whose probabilities were recorded too."""

    def predict_proba(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """The probabilities of both labels, the positive one last.

        Raises:
            KeyError: nothing was recorded for one of the rows.
        """
        scores = np.asarray(self._recorded(SCORE, rows), dtype=np.float64)
        return np.column_stack([1.0 - scores, scores])


# --- from a plan ------------------------------------------------------------------------------------------------------


def recorded(plan: PredictionsPlan, name: str, role: Role, population: Population | None) -> TrainedModel:
    """The model of a role whose answers stand in a file.

    Its digest is over the predictions that were joined, whatever else the file holds and in whatever order.

    Args:
        plan: the file and its columns.
        name: the model's.
        role: its role.
        population: the held-out rows, each of which needs an answer.

    Raises:
        DataError: the file cannot be used, or lacks answers.
        InputError: there is no data set.
    """
    if not isinstance(population, Rows) or population.names is None:
        raise InputError(f"model.{role} is to answer by recorded predictions, but the scenario has no model.data")
    lacks("the data set", population.names, plan.key)
    columns = tuple(dict.fromkeys([plan.column, *([plan.score] if plan.score else [])]))
    table = keyed(plan.path, plan.key, population.names, columns, "prediction")
    answers = _answers(table, plan, population.classes)
    keys = names(population.names[plan.key])
    _complete(keys.loc[population.rows.index], answers, plan)
    joined = answers[answers.index.isin(keys) & answers.notna().all(axis="columns").to_numpy()].sort_index()
    return TrainedModel(
        name=name,
        role=role,
        source=Source.RECORDED,
        algorithm="predictions",
        params=_params(plan),
        estimator=_estimator(answers.loc[keys.loc[population.rows.index]].set_axis(population.rows.index), population),
        task=Task.CLASSIFICATION if population.classes else Task.REGRESSION,
        features=tuple(str(column) for column in population.rows.columns),
        classes=population.classes,
        artifact_digest=table_digest(joined.rename_axis("key").reset_index()),
    )


def remarks(plan: PredictionsPlan, role: Role, model: TrainedModel, rows: Any, faults: Iterable[Fault]) -> list[str]:
    """What a reader should know of such a model, for the log and for ``harness check``.

    Args:
        plan: where its answers stand.
        role: its role.
        model: what was made of it.
        rows: the held-out rows.
        faults: of the scenario.
    """
    file = file_name(plan.path)
    told = [
        f"the answers of {role} are looked up in {file} by {plan.key}; whether it was trained on these rows is unknown"
    ]
    told += [
        f"inject `{fault.text}` changes the rows that {role} is asked, and not its answers, which are recorded"
        for fault in faults
        if role in fault.on and isinstance(fault.effect, Shift | Scale | Swap | Missing)
    ]
    if hasattr(model.estimator, "predict_proba"):
        likely = model.estimator.predict_proba(rows)[:, 1] > 0.5
        against = int((likely != (model.estimator.predict(rows) == model.classes[-1])).sum())
        if 2 * against > len(likely):
            told.append(
                f"{plan.score} is on the other side of 50% than {plan.column} in {against} of {len(likely)} rows; "
                f"it must be the probability of {model.classes[-1]!r}"
            )
    return told


def _params(plan: PredictionsPlan) -> dict[str, Any]:
    said = {"file": file_name(plan.path), "key": plan.key, "column": plan.column}
    return {**said, "score": plan.score} if plan.score else said


def _estimator(answers: pd.DataFrame, population: Rows) -> Any:
    if not population.classes:
        return RecordedRegressor(answers)
    kind = ScoredClassifier if SCORE in answers else RecordedClassifier
    return kind(answers, population.classes)


def _answers(table: pd.DataFrame, plan: PredictionsPlan, classes: tuple[str, ...]) -> pd.DataFrame:
    """``predicted`` (labels as the data set writes them, or numbers) and ``score``, by key; missing where missing."""
    predicted = table[plan.column]
    if classes:
        found = {PREDICTED: _labels(predicted, plan, classes)}
    else:
        found = {PREDICTED: _numbers(predicted, f"{plan.path}: {plan.column} holds text; a value is a number")}
    if plan.score:
        told = f"{plan.path}: {plan.score} holds text; a probability is a number from 0 to 1"
        found[SCORE] = scores = _numbers(table[plan.score], told)
        wrong = scores[(scores < 0) | (scores > 1)]
        if len(wrong):
            raise DataError(
                f"{plan.path}: {plan.score} is {wrong.iloc[0]:g} where {plan.key} is {wrong.index[0]!r}; "
                "a probability is a number from 0 to 1"
            )
    return pd.DataFrame(found, index=table.index)


def _labels(predicted: "pd.Series[Any]", plan: PredictionsPlan, classes: tuple[str, ...]) -> "pd.Series[Any]":
    """1 and 0 stand for positive and negative, as they do in models, unless the target itself holds such words."""
    labels: pd.Series[Any] = predicted.astype(object).map(label_text, na_action="ignore")
    words = sorted(labels.dropna().unique())
    for pair in (classes, *ZERO_AND_ONE):
        if set(words) <= set(pair):
            return labels.map(dict(zip(pair, classes, strict=True)))
    shown = ", ".join(repr(word) for word in words[:10]) + (", ..." if len(words) > 10 else "")
    raise DataError(
        f"{plan.path}: {plan.column} must hold {classes[0]!r} or {classes[1]!r}, as the target does, or 0 and 1; "
        f"it holds {shown}"
    )


def _numbers(values: "pd.Series[Any]", told: str) -> "pd.Series[Any]":
    if values.notna().any() and not pd.api.types.is_numeric_dtype(values):
        raise DataError(told)
    return values.astype("float64")


def _complete(keys: "pd.Series[Any]", answers: pd.DataFrame, plan: PredictionsPlan) -> None:
    for column, which in ((PREDICTED, plan.column), (SCORE, plan.score)):
        if column not in answers:
            continue
        lacking = keys[~keys.isin(answers.index[answers[column].notna().to_numpy()])]
        if len(lacking):
            first = ", ".join("(none)" if pd.isna(key) else repr(key) for key in lacking[:KEYS_TOLD])
            more = ", ..." if len(lacking) > KEYS_TOLD else ""
            raise DataError(
                f"{plan.path}: {len(lacking)} of the {len(keys)} held-out rows have no {which} there; "
                f"{plan.key}: {first}{more}; add them, or take these rows out of the data set"
            )
