"""Reading data files, and giving their columns types."""

import csv
import gzip
import importlib.util
import zlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dates import seconds_of_words
from harness.data.schema import Column, ColumnRole, ColumnType, Schema
from harness.errors import DataError

NO_NUMBER: Final = frozenset({"NA", "N/A", "NaN", "nan", "null", "NULL", "?"})
"""Words that stand for a missing value in a column of numbers. In a category they are values like any other."""

FARTHEST: Final = 2.0**53
"""Beyond it floats tell whole numbers apart no longer: what looks like a number there is a name."""

TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "t", "y", "1"), True),
    **dict.fromkeys(("false", "no", "f", "n", "0"), False),
}
"""Words of a column of truth values, in small letters."""

_FIRST: Final = 100

Unread = Mapping[str, NDArray[np.bool_]]
"""Which rows of a column of numbers, dates or truth values hold something else."""


def read_table(path: str) -> pd.DataFrame:
    """The table of a CSV (also ``.gz``) or Parquet file, in its order; a CSV's values are the texts it holds.

    Raises:
        DataError: the file is missing, empty, damaged, not a table, or Parquet without its extra installed.
    """
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    try:
        header(path)
        # The texts as they stand: pandas would otherwise read "NA" and "None" as missing, even where they are values.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: the file is empty; the first line must name the columns") from error
    except pd.errors.ParserWarning as error:
        raise DataError(f"{path}: not a table: a row has more values than the first line has names") from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise DataError(f"{path}: not a table: {error}") from error
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return _some_rows(path, frame)


def header(path: str) -> list[str]:
    """The names in the first record of a CSV.

    Raises:
        DataError: it names a column twice, where pandas would rename it instead of telling; or it is a pipe.
    """
    if Path(path).is_fifo():
        raise DataError(f"{path}: this is a pipe, and a table is read more than once; save it as a file first")
    opener: Any = gzip.open if path.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        names = next(csv.reader(file), [])
    if twice := _twice(names):
        raise DataError(f"{path}: the first line names a column twice: {', '.join(twice)}")
    return names


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def check_parquet(path: str, schema: Any) -> None:
    """Hold the columns of a Parquet file against what a table can be.

    Args:
        path: of the file.
        schema: its schema, as pyarrow has it.

    Raises:
        DataError: a column stands there twice, or holds lists, structures or maps.
    """
    types = import_module("pyarrow.types")
    if twice := _twice([str(name) for name in schema.names]):
        raise DataError(f"{path}: the file has a column twice: {', '.join(twice)}")
    nested = [f"{each.name} ({each.type})" for each in schema if types.is_nested(each.type)]
    if nested:
        raise DataError(f"{path}: a column holds one value a row, and not {', '.join(nested)}; take them apart first")


def needs_parquet(path: str) -> str:
    """What to install for Parquet."""
    return f"{path}: reading Parquet needs an extra; in a clone: .venv/bin/python -m pip install -e '.[parquet]'"


def _read_parquet(path: str) -> pd.DataFrame:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(needs_parquet(path))
    try:
        if Path(path).is_file():  # a folder of parts is read too, and has no schema of its own
            check_parquet(path, import_module("pyarrow.parquet").read_schema(path))
        frame = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise DataError(f"{path}: cannot be read: {error}") from error
    frame.columns = [str(name) for name in frame.columns]
    return _some_rows(path, frame.reset_index(drop=True))


def _some_rows(path: str, frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        raise DataError(f"{path}: there is no row below the header")
    return frame


def label_text(value: Any) -> str:
    """A value as text, the same for a number however it is stored.

    >>> label_text(1.0), label_text(0.5), label_text("Yes"), label_text(True)
    ('1', '0.5', 'Yes', 'True')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def typed(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, Unread]:
    """The table with the schema's types: float64 for numbers, text for all else, missing values as NaN.

    Blank texts are missing values, and so are the schema's own words for them. Columns that the schema lacks become
    categories, so that a check can tell of them.

    Returns:
        The table, and by column the values that could not be read as a number, a date or a truth value, and are missing
        in it; only columns that have some.
    """
    columns: dict[str, Any] = {}
    unread: dict[str, NDArray[np.bool_]] = {}
    for name in frame.columns:
        column = schema.columns.get(name)
        if column and column.type.numeric:
            columns[name], bad = _numbers(frame[name], schema.missing)
        else:
            columns[name] = _texts(frame[name], schema.missing)
            bad = _no_such(columns[name], column)
            if bad.any():
                columns[name] = columns[name].mask(bad)
        if bad.any():
            unread[name] = bad
    return pd.DataFrame(columns, index=frame.index), unread


def _no_such(texts: "pd.Series[Any]", column: Column | None) -> NDArray[np.bool_]:
    """Which texts are no date, or no truth value, where they should be one."""
    if column and column.type is ColumnType.DATE:
        return np.asarray(np.isnan(dates(texts, column)) & texts.notna().to_numpy(), dtype=bool)
    if column and column.type is ColumnType.BOOLEAN:
        return np.asarray(pd.isna(truths(texts)) & texts.notna().to_numpy(), dtype=bool)
    return np.zeros(len(texts), dtype=bool)


def dates(texts: "pd.Series[Any]", column: Column) -> NDArray[np.float64]:
    """The dates of a column as seconds since 1970; NaN where there is none."""
    codes, words = pd.factorize(texts)
    return np.append(seconds_of_words(words.tolist(), column.format), np.nan)[codes]


def truths(texts: "pd.Series[Any]") -> NDArray[Any]:
    """The truth values of a column as True, False and NaN."""
    codes, words = pd.factorize(texts)
    read = [TRUTHS.get(word.strip().lower(), np.nan) for word in words.tolist()]
    return np.array([*read, np.nan], dtype=object)[codes]


def infer(frame: pd.DataFrame) -> Schema:
    """A first schema of a table: types and which columns may be empty.

    A text column whose values all differ names the rows and can predict nothing: it is a key.
    """
    return Schema({name: _inferred(str(name), frame[name]) for name in frame.columns})


def _inferred(name: str, values: "pd.Series[Any]") -> Column:
    numbers, bad = _numbers(values, ())
    if not bad.any() and numbers.notna().any() and not pd.api.types.is_bool_dtype(values):
        whole = bool((numbers.dropna() % 1 == 0).all())
        if whole and numbers.abs().max() > FARTHEST and values.is_unique and len(values) > 1:
            return Column(name, ColumnType.CATEGORY, ColumnRole.KEY, nullable=bool(numbers.isna().any()))
        kind = ColumnType.INTEGER if whole else ColumnType.NUMBER
        return Column(name, kind, nullable=bool(numbers.isna().any()))
    texts = _texts(values, ())
    key = len(texts) > 1 and texts.is_unique and not bool(texts.isna().any())
    role = ColumnRole.KEY if key else ColumnRole.FEATURE
    return Column(name, ColumnType.CATEGORY, role, nullable=bool(texts.isna().any()))


def infinities(frame: pd.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Of a table whose schema was inferred: columns that are text for nothing but their infinite numbers, in words.

    An infinite number has no place in a range, a mean or a model, so it makes a column text as any other word does;
    but whoever wrote it meant a number, and should know.
    """
    found = []
    for name in (name for name, column in schema.columns.items() if column.type is ColumnType.CATEGORY):
        # The first rows tell most columns of texts.
        if name in frame.columns and _infinite(frame[name].head(_FIRST)) is not None:
            infinite = _infinite(frame[name])
            if infinite is not None and 0 < len(infinite) < len(frame):
                found.append(
                    f"{name} is read as text for its infinite numbers ({len(infinite):,}, such as "
                    f"{str(infinite.iloc[0])!r}); leave them empty, or name its type in a schema"
                )
    return tuple(found)


def _infinite(values: "pd.Series[Any]") -> "pd.Series[Any] | None":
    """The infinite values of a column that else holds numbers; None where it holds other words."""
    if pd.api.types.is_bool_dtype(values):
        return None
    _, bad = _numbers(values, ())
    odd = values[bad]
    read = pd.to_numeric(pd.Series([label_text(each) for each in odd.unique()], dtype=object), errors="coerce")
    return None if not np.isinf(read.astype("float64")).all() else odd


def _numbers(values: "pd.Series[Any]", missing: tuple[str, ...]) -> tuple["pd.Series[float]", NDArray[np.bool_]]:
    """float64 with NaN for what is missing, and which of the others are no finite number."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.isinf(numbers)
    else:
        codes, words = _words(values, (*missing, *NO_NUMBER))
        of_words = np.append(pd.to_numeric(pd.Series(words, dtype=object), errors="coerce").astype("float64"), np.nan)
        there = np.array([*(isinstance(word, str) for word in words), False], dtype=bool)  # also where there is none
        bad = (there & ~np.isfinite(of_words))[codes]
        numbers = of_words[codes]
    return pd.Series(np.where(bad, np.nan, numbers), index=values.index), bad


def _texts(values: "pd.Series[Any]", missing: tuple[str, ...]) -> "pd.Series[Any]":
    """Text with NaN for what is missing or blank."""
    codes, words = _words(values, missing)
    texts = np.array([*words, np.nan], dtype=object)[codes]
    found: pd.Series[Any] = pd.Series(texts, index=values.index, dtype=_TEXT)
    return found


def _words(values: "pd.Series[Any]", missing: tuple[str, ...]) -> tuple[NDArray[np.intp], list[Any]]:
    """Each distinct value as text once, NaN where it is blank or stands for a missing one, and each row's place in it.

    Rows without a value have the place -1.
    """
    try:
        codes, found = pd.factorize(values)
    except TypeError as error:  # lists and mappings cannot be told apart quickly
        raise DataError(f"the column {values.name} holds no single values: {error}; take them apart first") from error
    texts = [label_text(value) for value in found.tolist()]
    return codes, [np.nan if not text.strip() or text in missing else text for text in texts]


_TEXT: Final[Any] = "str" if pd.Series(["a"]).dtype != object else object
"""pandas 3 has a type for text of its own; before, text is kept as objects."""


def missing_counts(frame: pd.DataFrame) -> Mapping[str, int]:
    """Missing values by column; only columns that have some."""
    return {str(name): int(count) for name, count in frame.isna().sum().items() if count}
