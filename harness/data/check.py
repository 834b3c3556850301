"""Holding a table against its schema."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from harness.data.schema import Column, ColumnRole, ColumnType, Others, Schema
from harness.data.table import Failure, Unread, failure

WORDS_TOLD: Final = 10


def check(frame: pd.DataFrame, schema: Schema, raw: pd.DataFrame, unread: Unread) -> list[Failure]:
    """Everything in the table that the schema forbids, in the schema's order of columns.

    Args:
        frame: with the schema's types (`harness.data.table.typed`).
        schema: what the table may hold.
        raw: the table as it was read, for the values to tell.
        unread: what could not be read as a number, and is missing in ``frame``.
    """
    none = np.zeros(len(frame), dtype=bool)
    failures = [failure(name, f"no number ({str(raw[name][bad].iloc[0])!r})", bad) for name, bad in unread.items()]
    rules = pa.DataFrameSchema(
        {
            # Missing values are a check of our own: one that was unreadable is told as that, and not as missing too.
            name: pa.Column(None, list(_checks(column, unread.get(name, none))), nullable=True)
            for name, column in schema.columns.items()
        },
        strict=schema.others is Others.REFUSE,
    )
    try:
        rules.validate(frame, lazy=True)
    except SchemaErrors as errors:
        failures += [_failure(error, frame, raw, unread) for error in errors.schema_errors]
    order = {name: place for place, name in enumerate(dict.fromkeys([*schema.columns, *frame.columns]))}
    return sorted(failures, key=lambda failure: order[failure.column])


def _checks(column: Column, unread: NDArray[np.bool_]) -> Iterator[pa.Check]:
    if not column.nullable:
        yield pa.Check(lambda values: values.notna() | unread, error="missing", ignore_na=False)
    elif column.max_missing < 1:
        yield pa.Check(
            lambda values: bool((values.isna() & ~unread).mean() <= column.max_missing),
            error=f"missing (at most {100 * column.max_missing:g}% of the rows may be)",
            ignore_na=False,
        )
    if column.least is not None:
        yield pa.Check.ge(column.least, error=f"below {column.least:g}")
    if column.most is not None:
        yield pa.Check.le(column.most, error=f"above {column.most:g}")
    if column.type is ColumnType.INTEGER:
        yield pa.Check(lambda values: values % 1 == 0, error="no whole number")
    if column.allowed:
        words = ", ".join(f"{word:g}" if isinstance(word, float) else word for word in column.allowed[:WORDS_TOLD])
        yield pa.Check.isin(
            list(column.allowed), error=f"none of {words}{', ...' * (len(column.allowed) > WORDS_TOLD)}"
        )
    if column.role is ColumnRole.KEY:
        yield pa.Check(lambda values: ~values.duplicated(), error="the key of a row before")


def _failure(error: SchemaError, frame: pd.DataFrame, raw: pd.DataFrame, unread: Unread) -> Failure:
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
        return Failure(_name(error), "the column is missing")
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_SCHEMA:
        return Failure(_name(error), "the schema does not list this column")
    column, what = str(error.schema.name), str(error.check.error)
    cases = error.failure_cases
    wrong = np.zeros(len(frame), dtype=bool)
    if isinstance(cases, pd.DataFrame) and not cases["index"].isna().any():
        wrong[cases["index"].to_numpy(dtype=np.int64)] = True
    else:  # the check was of the whole column: too much is missing
        wrong |= frame[column].isna().to_numpy() & ~unread.get(column, wrong)
    if what.startswith("missing"):
        return failure(column, what, wrong)
    return failure(column, f"{what} ({str(raw[column][wrong].iloc[0])!r})", wrong)


def _name(error: SchemaError) -> str:
    cases: Any = error.failure_cases
    return str(cases["failure_case"].iloc[0] if isinstance(cases, pd.DataFrame) else cases)


# pandera imports its engines at the first validation (a third of a second). Here it is part of the import, and of no
# run's time.
_WARM: Final = pa.DataFrameSchema({}).validate(pd.DataFrame({"a": [0]}), lazy=True)
