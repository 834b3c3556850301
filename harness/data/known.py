"""What becomes known of answers, where it is not the target: a proxy column, or the outcomes in a user's own file."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.keyed import keyed, lacks, names
from harness.data.table import label_text
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
        lacks("the data set", frame, plan.column)
        return _values(frame[plan.column], plan, "the data set")
    key = str(plan.key)
    known = keyed(plan.file, key, frame, (plan.column,), "outcome")
    values = pd.Series(_values(known[plan.column], plan, plan.file), index=known.index)
    found = names(frame[key]).map(values)
    if found.isna().all():
        raise DataError(f"{plan.file}: no {key} of the data set stands there with a value in {plan.column}")
    return np.asarray(found, dtype=np.float64)


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
