"""What becomes known of answers, where it is not the target: a proxy column, or the outcomes in a user's own file."""

import difflib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.table import infer, label_text, read_table, typed
from harness.domain.model import KnownPlan
from harness.errors import DataError


def known_of(frame: pd.DataFrame, plan: KnownPlan) -> NDArray[np.float64]:
    """What becomes known of the answer to each row.

    Args:
        frame: the data set, typed.
        plan: which column it is, and where.

    Returns:
        One value for each row: 0 or 1 (1: positive) with ``plan.positive``, else the number; NaN where it is missing.

    Raises:
        DataError: the column or the file cannot be used.
    """
    if plan.file is None:
        _lacks("the data set", frame, plan.column)
        return _values(frame[plan.column], plan, "the data set")
    raw, key = read_table(plan.file), str(plan.key)
    known, _ = typed(raw, infer(raw))
    _lacks("the data set", frame, key)
    _lacks(plan.file, known, key)
    _lacks(plan.file, known, plan.column)
    there = known[key].notna().to_numpy()
    names = known[key][there].map(label_text)
    twice = names[names.duplicated()]
    if len(twice):
        raise DataError(f"{plan.file}: {key} {twice.iloc[0]!r} stands in several rows; each key has one outcome")
    values = pd.Series(_values(known[plan.column][there], plan, plan.file), index=names)
    found = frame[key].map(label_text).map(values)
    if found.isna().all():
        raise DataError(f"{plan.file}: no {key} of the data set stands there with a value in {plan.column}")
    return np.asarray(found, dtype=np.float64)


def _lacks(where: str, table: pd.DataFrame, column: str) -> None:
    if column not in table.columns:
        near = difflib.get_close_matches(column, [str(name) for name in table.columns], n=1)
        hint = f"did you mean {near[0]}?" if near else f"its columns: {', '.join(map(str, table.columns))}"
        raise DataError(f"{where} has no column {column!r}; {hint}")


def _values(column: "pd.Series[Any]", plan: KnownPlan, where: str) -> NDArray[np.float64]:
    there = column.notna().to_numpy()
    if plan.positive is None:
        if not pd.api.types.is_numeric_dtype(column):
            raise DataError(f"{where}: {plan.column} holds text; what becomes known of a number is a number")
        return np.asarray(column, dtype=np.float64)
    labels = column.map(label_text)
    words = sorted(labels[there].unique())
    if plan.positive not in words or len(words) > 2:
        shown = ", ".join(repr(word) for word in words[:10]) + (", ..." if len(words) > 10 else "")
        raise DataError(
            f"{where}: {plan.column} must hold {plan.positive!r} and one other label; it holds {shown or 'nothing'}; "
            "labels.positive says which counts as positive"
        )
    return np.asarray(np.where(there, labels == plan.positive, np.nan), dtype=np.float64)
