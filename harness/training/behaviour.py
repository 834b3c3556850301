"""How a model must behave where the right answer need not be known (Ribeiro et al., 2020, "CheckList").

Invariance: what must not matter is changed, and the answer must stay. Direction: a number is raised, and the prediction
must not move the wrong way. Minimum functionality: rows whose answers anybody knows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.split import target_of
from harness.data.table import label_text, read_table
from harness.domain.evaluation import Behaviour, Cases, Directional, Invariant
from harness.domain.model import Task, TrainedModel
from harness.errors import DataError, InputError
from harness.protocols import Population
from harness.training.answered import Answered, answered_rows
from harness.training.features import conform
from harness.training.importance import asked

VALUES: Final = 20
"""A column of numbers with more values is changed to its quartiles, least and greatest."""
FIRST: Final = 5
SLACK: Final = 1e-9
"""Rounding is no direction."""


@dataclass(frozen=True, slots=True)
class Behaved:
    """What came of one check."""

    kind: str
    text: str
    rows: int
    failed: int
    at_most: float
    first: tuple[int, ...]
    detail: str
    does: str
    """What the rows do that failed."""

    @property
    def share(self) -> float:
        """Of the rows, those that failed."""
        return self.failed / self.rows if self.rows else 0.0

    @property
    def reason(self) -> str:
        """What was seen, in a sentence."""
        if not self.rows:
            return f"{self.does} in no row: none can show it"
        allowed = f", and at most {self.at_most * 100:.4g}% may" if self.at_most or self.failed else ""
        return f"{self.does} in {self.failed:,} of {self.rows:,} rows ({self.share:.1%}){allowed}"

    @property
    def passed(self) -> bool:
        """No more rows failed than may; a check that met no row shows nothing, and so does not pass."""
        return self.rows > 0 and self.share <= self.at_most


def check(model: TrainedModel, population: Population, wanted: Behaviour, target: str = "target") -> Behaved:
    """Try one behaviour of a model on rows.

    Args:
        model: what is asked.
        population: the rows, and what their columns are.
        wanted: the behaviour.
        target: the column of a file of cases that holds what is expected.

    Raises:
        InputError: there is no such column, or it cannot be changed so; the model is known by recorded answers alone.
        DataError: the file of cases cannot be used.
        ArtifactError: the model cannot answer the rows.
    """
    asked(model, "a check of behaviour")
    match wanted:
        case Invariant():
            return _invariant(model, population, wanted)
        case Directional():
            return _directional(model, population, wanted)
        case Cases():
            return _cases(model, population, wanted, target)


def text_of(wanted: Behaviour) -> str:
    """The behaviour in a line.

    >>> text_of(Directional("MonthlyCharges", 10, "lower", 0.05))
    'MonthlyCharges + 10 must not lower the prediction in more than 5% of rows'
    """
    most = f"in more than {wanted.at_most * 100:.4g}% of rows" if wanted.at_most else "in any row"
    match wanted:
        case Invariant():
            return f"another {wanted.column} must not change the answer {most}"
        case Directional():
            sign = "+" if wanted.by >= 0 else "-"
            return f"{wanted.column} {sign} {abs(wanted.by):g} must not {wanted.must_not} the prediction {most}"
        case Cases():
            return f"{Path(wanted.path).name} must not be answered wrong {most}"


def _does(wanted: Behaviour) -> str:
    match wanted:
        case Invariant():
            return f"another {wanted.column} changes the answer"
        case Directional():
            sign = "+" if wanted.by >= 0 else "-"
            return f"{wanted.column} {sign} {abs(wanted.by):g} {wanted.must_not}s the prediction"
        case Cases():
            return f"{Path(wanted.path).name} is answered wrong"


def _invariant(model: TrainedModel, population: Population, wanted: Invariant) -> Behaved:
    rows = population.rows
    own = _column(model, rows, wanted.column)
    before = _answers(model, rows)
    broken, to = np.zeros(len(rows), bool), np.full(len(rows), "", object)
    for other in _others(own):
        after = _answers(model, rows.assign(**{wanted.column: _filled(own, other)}))
        now = _moved(before, after, wanted.tolerance) & ~broken
        broken |= now
        to[now] = label_text(other)
    numbers = np.flatnonzero(broken)
    detail = ""
    if len(numbers):
        row = numbers[0]
        was = "missing" if pd.isna(own.iloc[row]) else label_text(own.iloc[row])
        detail = f"row {rows.index[row]}: {wanted.column} {was} to {to[row]} changes the answer"
    return _behaved("invariant", wanted, len(rows), rows.index[numbers], detail)


def _others(own: pd.Series) -> list[Any]:
    known = own.dropna()
    if pd.api.types.is_numeric_dtype(own) and known.nunique() > VALUES:
        return sorted(set(np.quantile(known, [0, 0.25, 0.5, 0.75, 1], method="nearest").tolist()))
    return sorted(known.unique(), key=str)


def _filled(own: pd.Series, value: Any) -> pd.Series:
    return pd.Series(value, index=own.index, dtype=own.dtype)


def _directional(model: TrainedModel, population: Population, wanted: Directional) -> Behaved:
    rows = population.rows
    own = _column(model, rows, wanted.column)
    if not pd.api.types.is_numeric_dtype(own):
        raise InputError(f"{wanted.column} holds text, and only numbers can be raised; check it as an invariant")
    rows = rows[own.notna()]
    if rows.empty:
        return _behaved("directional", wanted, 0, rows.index, "")
    before = _prediction(_answers(model, rows), model)
    moved = rows[wanted.column].astype(np.float64) + wanted.by
    after = _prediction(_answers(model, rows.assign(**{wanted.column: moved})), model)
    wrong = after < before - SLACK if wanted.must_not == "lower" else after > before + SLACK
    numbers = np.flatnonzero(wrong)
    detail = ""
    if len(numbers):
        row = numbers[0]
        detail = f"row {rows.index[row]}: {before[row]:.4g} becomes {after[row]:.4g}"
    return _behaved("directional", wanted, len(rows), rows.index[numbers], detail)


def _cases(model: TrainedModel, population: Population, wanted: Cases, target: str) -> Behaved:
    name = Path(wanted.path).name
    table = read_table(wanted.path)
    table = table.mask(table == "")  # a CSV's blank is a missing value
    lacking = [column for column in (*model.features, target) if column not in table.columns]
    if lacking:
        raise DataError(f"{name} lacks columns: {', '.join(lacking)}; cases have the features and what is expected")
    expected = _expected(table, target, model, population, name)
    answers = answered_rows(model, conform(table, population.rows), expected)
    if model.task is Task.REGRESSION:
        wrong = np.abs(answers.predicted - answers.target) > wanted.tolerance
    else:
        wrong = ~answers.right
    numbers = np.flatnonzero(wrong)
    detail = ""
    if len(numbers):
        row = numbers[0]
        told = (_said(model, population, each[row]) for each in (answers.target, answers.predicted))
        detail = "row {}: {} expected, {} answered".format(row, *told)
    return _behaved("cases", wanted, len(table), pd.Index(numbers), detail)


def _expected(table: pd.DataFrame, target: str, model: TrainedModel, population: Population, name: str) -> Any:
    if model.task is Task.REGRESSION:
        return target_of(table.assign(**{target: pd.to_numeric(table[target], errors="coerce")}), target, None)[0]
    classes = getattr(population, "classes", ()) or model.classes
    labels = table[target].map(label_text, na_action="ignore")
    unknown = sorted(set(labels.dropna()) - set(classes))
    if unknown or labels.isna().any():
        raise DataError(
            f"{name}: {target} is {' or '.join(classes)}, and not {', '.join(map(repr, unknown)) or 'missing'}"
        )
    return (labels == classes[-1]).to_numpy().astype(np.int64)


def _said(model: TrainedModel, population: Population, value: Any) -> str:
    classes = getattr(population, "classes", ()) or model.classes
    return f"{value:g}" if model.task is Task.REGRESSION else classes[int(value)]


def _column(model: TrainedModel, rows: pd.DataFrame, column: str) -> pd.Series:
    if column not in rows.columns:
        known = ", ".join(map(str, rows.columns))
        raise InputError(f"behaviour of {column}: the data's features have no such column; they are {known}")
    if column not in model.features:
        raise InputError(f"behaviour of {column}: the {model.role} model does not see this column")
    return rows[column]


def _answers(model: TrainedModel, rows: pd.DataFrame) -> Answered:
    return answered_rows(model, rows, np.zeros(len(rows)))


def _prediction(answers: Answered, model: TrainedModel) -> NDArray[np.float64]:
    if model.task is Task.REGRESSION:
        return np.asarray(answers.predicted, np.float64)
    if answers.score is None:
        raise InputError(f"the {model.role} model gives labels alone, and a label has no direction")
    return answers.score


def _moved(before: Answered, after: Answered, tolerance: float) -> NDArray[np.bool_]:
    if before.task is Task.REGRESSION:
        return np.asarray(np.abs(after.predicted - before.predicted) > tolerance + SLACK)
    return np.asarray(after.predicted != before.predicted)


def _behaved(kind: str, wanted: Behaviour, rows: int, failed: pd.Index, detail: str) -> Behaved:
    first = tuple(int(number) for number in failed[:FIRST])
    return Behaved(kind, text_of(wanted), rows, len(failed), wanted.at_most, first, detail, _does(wanted))
