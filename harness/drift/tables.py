"""Two tables made alike before they are compared: numbers as float64, anything else as text, NaN where missing."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FEW_VALUES: Final = 20
"""Whole numbers with at most so many values are answers of a class, not of a scale."""


def prepared(reference: "pd.DataFrame", current: "pd.DataFrame") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Both tables, each column of the kind that it is in the reference.

    A date becomes seconds since 1970; an infinite number is missing. Where the reference has numbers, what cannot be
    read as one in the current table is missing there, and so counts as a value that is lost.

    Raises:
        DataError: there are no rows, a column's name is there twice, or one holds lists and the like.
    """
    import pandas as pd

    for name, frame in (("reference", reference), ("current", current)):
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"the {name} data are a {type(frame).__name__}; give a DataFrame, whose columns have names")
        if not len(frame):
            raise DataError(f"the {name} data have no rows")
        twice = [str(each) for each in frame.columns[frame.columns.duplicated()]]
        if twice:
            raise DataError(f"the {name} data have a column twice: {', '.join(twice)}")
    kinds = {name: is_number(reference[name]) for name in reference.columns}
    made = []
    for frame in (reference, current):
        columns: dict[str, Any] = {
            str(name): column(frame[name], number=kinds.get(name, is_number(frame[name]))) for name in frame.columns
        }
        made.append(pd.DataFrame({name: pd.Series(each, dtype=_kind(each)) for name, each in columns.items()}))
    return made[0], made[1]


def _kind(values: Any) -> Any:
    """Text stays as objects: pandas' own type for it is no faster here, and NaN stays NaN."""
    return np.float64 if values.dtype.kind == "f" else object


def column(values: "pd.Series[Any]", *, number: bool) -> Any:
    """A column as figures take it: float64, or text as objects; NaN where a value is missing."""
    return _numbers(values) if number else _texts(values)


def is_number(values: "pd.Series[Any]") -> bool:
    """Whether a column holds numbers, dates or spans of time."""
    import pandas as pd

    kinds = pd.api.types
    return not kinds.is_bool_dtype(values) and (
        kinds.is_numeric_dtype(values) or kinds.is_datetime64_any_dtype(values) or kinds.is_timedelta64_dtype(values)
    )


def _numbers(values: "pd.Series[Any]") -> Any:
    import pandas as pd

    kinds = pd.api.types
    if kinds.is_datetime64_any_dtype(values) or kinds.is_timedelta64_dtype(values):
        if kinds.is_datetime64_any_dtype(values):
            values = pd.to_datetime(values, utc=True).dt.tz_localize(None)  # without a zone: in UTC already
        whole = values.astype("datetime64[ns]" if values.dtype.kind == "M" else "timedelta64[ns]")
        numbers = np.where(values.isna(), np.nan, whole.to_numpy().astype(np.int64) / 1e9)
    else:
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _texts(values: "pd.Series[Any]") -> Any:
    """Each distinct value is written once."""
    import pandas as pd

    try:
        codes, found = pd.factorize(np.asarray(values, dtype=object))
    except TypeError as error:
        raise DataError(f"{values.name} holds what is neither a number nor a text: {error}") from error
    words = [_text(value) for value in found.tolist()]
    return np.array([*words, np.nan], dtype=object)[codes]


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def as_answers(reference: "pd.Series[Any]", current: "pd.Series[Any]") -> tuple["pd.Series[Any]", "pd.Series[Any]"]:
    """Answers of a model: few whole numbers (classes) as text, others as they are."""
    import pandas as pd

    if reference.dtype.kind not in "iuf":
        return reference, current
    known = pd.concat([reference, current]).dropna().unique()
    if len(known) > FEW_VALUES or (np.mod(known, 1) != 0).any():
        return reference, current
    first, second = (pd.Series(_texts(values), index=values.index, dtype=object) for values in (reference, current))
    return first, second


def check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise where a column is named that is not there.

    Raises:
        DataError: with the nearest right name.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"its columns: {', '.join(known[:20])}"
            raise DataError(f"{what} names {name!r}, and the reference has no such column; {hint}")
