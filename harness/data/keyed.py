"""Tables of the user's own beside the data set, whose rows are found by a key that both hold."""

import difflib
from typing import Any

import pandas as pd

from harness.data.schema import Column, ColumnType, Schema
from harness.data.table import infer, label_text, read_table, typed
from harness.errors import DataError


def keyed(path: str, key: str, frame: pd.DataFrame, columns: tuple[str, ...], each: str) -> pd.DataFrame:
    """These columns of a file, each row under the text of its key; rows without a key are left out.

    Args:
        path: a CSV (also gzipped) or Parquet file.
        key: the column by which its rows are found.
        frame: the data set, typed, with the same column; where the key is text there, it is text here too.
        columns: what is wanted of the file.
        each: what a key has one of, for errors.

    Raises:
        DataError: the file cannot be read, a column is lacking, or a key stands in several rows.
    """
    raw = read_table(path)
    lacks("the data set", frame, key)
    for column in (key, *columns):
        lacks(path, raw, column)
    schema = infer(raw)
    if not pd.api.types.is_numeric_dtype(frame[key]):
        # "0012" is a name in the data set: it must not become the number 12 because this file has digits alone.
        schema = Schema({**schema.columns, key: Column(key, ColumnType.CATEGORY)})
    table, _ = typed(raw, schema)
    there = table[key].notna().to_numpy()
    texts = names(table[key][there])
    twice = texts[texts.duplicated()]
    if len(twice):
        raise DataError(f"{path}: {key} {twice.iloc[0]!r} stands in several rows; each key has one {each}")
    return table[list(columns)][there].set_axis(pd.Index(texts, dtype=object), axis=0)


def names(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Keys as texts, by which rows are found; missing where there is none."""
    found: pd.Series[Any] = column.astype(object).map(label_text, na_action="ignore")
    return found


def lacks(where: str, table: pd.DataFrame, column: str) -> None:
    """Raise where a table has no such column.

    Raises:
        DataError: it has none; the nearest is told, or all.
    """
    if column not in table.columns:
        near = difflib.get_close_matches(column, [str(name) for name in table.columns], n=1)
        hint = f"did you mean {near[0]}?" if near else f"its columns: {', '.join(map(str, table.columns))}"
        raise DataError(f"{where} has no column {column!r}; {hint}")
