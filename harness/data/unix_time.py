"""Dates as numbers: seconds since 1970-01-01T00:00Z, which is what models that take dates are given.

Nothing that scikit-learn has reads a date, and a model file holds scikit-learn's own parts only. So dates become
numbers when the data are read, and are numbers from there on: for training, in a rehearsal, and in what a client sends.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import DataError

TOLD = 5


def unix_seconds(values: Any, form: str | None = None) -> "pd.Series[float]":
    """Dates as Unix time in seconds (float64, missing as NaN); numbers are taken to be that already.

    Args:
        values: texts, times or numbers; a text without a zone is in UTC.
        form: as ``strftime`` has it; None: ISO 8601.

    Raises:
        DataError: some are no dates; the message names the first. Or the form is none.

    >>> unix_seconds(["1970-01-02", "2024-02-29T12:00:00+01:00", None]).tolist()
    [86400.0, 1709204400.0, nan]
    """
    series = values if isinstance(values, pd.Series) else pd.Series(list(values), dtype=object)
    if pd.api.types.is_numeric_dtype(series):
        return series.astype("float64")
    missing = series.isna() | (series.astype(str).str.strip() == "")
    try:
        times: Any = pd.to_datetime(series.where(~missing, None), utc=True, format=form or "ISO8601", errors="coerce")
    except ValueError as error:  # of the form alone: values that do not fit it are coerced
        raise DataError(f"{form} is no form of dates: {error}") from error
    wrong = np.flatnonzero(times.isna() & ~missing)
    if len(wrong):
        shown = ", ".join(f"row {row + 1} {series.iloc[row]!r}" for row in wrong[:TOLD])
        what = f"of the form {form}" if form else "of ISO 8601 (2024-02-29, 2024-02-29T12:00:00Z)"
        raise DataError(f"{len(wrong)} values are no dates {what}: {shown}{', ...' if len(wrong) > TOLD else ''}")
    nanoseconds = times.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    seconds = nanoseconds // 10**9 + (nanoseconds % 10**9) / 1e9
    return pd.Series(np.where(missing, np.nan, seconds), index=series.index, name=series.name)


def in_seconds(rows: pd.DataFrame, dates: Sequence[tuple[str, str | None]]) -> pd.DataFrame:
    """The rows, those columns as Unix time; the caller's frame is left as it is.

    Raises:
        DataError: a column is missing, or holds what is no date.
    """
    found = {}
    for name, form in dates:
        if name not in rows.columns:
            raise DataError(f"the feature set takes {name} for a date, and there is no such feature")
        try:
            found[name] = unix_seconds(rows[name], form)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
    return rows.assign(**found) if found else rows
