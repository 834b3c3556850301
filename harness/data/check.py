"""Holding a table against its schema, chunk by chunk; value by value by pandera."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaErrors

from harness.data import dates as days
from harness.data import pattern
from harness.data.chunk import ROWS_TOLD, Chunk, Tally, What, failure, rows_of, told, unseen
from harness.data.relate import broken
from harness.data.relation import columns_of
from harness.data.schema import Column, ColumnRole, ColumnType, Others, Schema
from harness.data.spill import Digests, digests
from harness.data.table import Unread, dates
from harness.domain.quality import Failure

WORDS_TOLD: Final = 10
GARBLED: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffd]"
"""What reading makes of bytes that are no UTF-8, and control characters that no text has."""
KINDS: Final = (
    "present", "type", "missing", "min", "max", "whole", "allowed", "pattern", "encoding", "length", "key", "unique",
    "unlisted",
)  # fmt: skip
"""The order in which what is wrong with a column is told."""
DIGESTS: Final = "24 bytes a row, beyond 32 MB in a temporary file"


def check(frame: pd.DataFrame, schema: Schema, raw: pd.DataFrame, unread: Unread) -> list[Failure]:
    """Everything in the table that the schema forbids, in the schema's order of columns.

    Args:
        frame: with the schema's types (`harness.data.table.typed`).
        schema: what the table may hold.
        raw: the table as it was read, for the values to tell.
        unread: what could not be read as its type, and is missing in ``frame``.
    """
    held = SchemaCheck(schema)
    numbers = np.arange(1, len(frame) + 1, dtype=np.int64)
    chunk = Chunk(frame.reset_index(drop=True), raw.reset_index(drop=True), unread, numbers)
    held.see(chunk)
    failures = held.failures()
    return told(failures, rows_of(chunk, unseen(failures)))


class SchemaCheck:
    """What the schema forbids, gathered over chunks; what it keeps of each row is `costs`."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.names: tuple[str, ...] = ()
        self._rules = pa.DataFrameSchema(
            {
                name: pa.Column(None, list(_checks(c)), nullable=True, required=False)
                for name, c in schema.columns.items()
            }
        )
        self._tally = Tally()
        self._missing = Tally()
        single = [
            What((name,), "key", "the key of a row before")
            if column.role is ColumnRole.KEY
            else What((name,), "unique", "the value of a row before")
            for name, column in schema.columns.items()
            if column.role is ColumnRole.KEY or column.unique
        ]
        several = [What(names, "unique", "together those of a row before") for names in schema.unique]
        self._unique = {what: Repeats(what.columns) for what in (*single, *several)}

    @property
    def costs(self) -> tuple[str, ...]:
        """What is kept of every row."""
        return tuple(f"{what.kind} {', '.join(what.columns)}: {DIGESTS}" for what in self._unique)

    @property
    def checks(self) -> int:
        """How many there are: one for each column and whatever concerns the table."""
        rows = self.schema.least_rows is not None or self.schema.most_rows is not None
        return len(self.schema.columns) + len(self.schema.unique) + len(self.schema.relations) + rows

    def see(self, chunk: Chunk) -> None:
        """Take in more rows."""
        self.rows += len(chunk.frame)
        self.names = self.names or tuple(map(str, chunk.raw.columns))
        for name, bad in chunk.unread.items():
            column = self.schema.columns[name]
            text = f"no {NOUNS[column.type]}{f' ({column.format})' if column.format else ''}"
            self._tally.add(What((name,), "type", text, quotes=True), chunk, bad)
        for name, column in self.schema.columns.items():
            if name in chunk.frame and (not column.nullable or column.max_missing < 1):
                self._missing.add(What((name,), "missing", _missing_text(column)), chunk, chunk.missing(name))
            if name in chunk.frame and _free(column):
                garbled = chunk.frame[name].str.contains(GARBLED, na=False).to_numpy(dtype=bool)
                self._tally.add(
                    What((name,), "encoding", "no UTF-8, or control characters", quotes=True), chunk, garbled
                )
        self._values(chunk)
        for what, repeats in self._unique.items():
            if set(what.columns) <= set(chunk.frame.columns):
                repeats.see(chunk)
        self._relations(chunk)

    def _values(self, chunk: Chunk) -> None:
        """Each value by itself, by pandera, on all columns at once; it names the places."""
        try:
            self._rules.validate(_judged(chunk, self.schema), lazy=True)
        except SchemaErrors as errors:
            for error in errors.schema_errors:
                wrong = np.zeros(len(chunk.frame), dtype=bool)
                wrong[error.failure_cases["index"].to_numpy(dtype=np.int64)] = True
                kind, _, text = str(error.check.error).partition(" ")
                self._tally.add(What((str(error.schema.name),), kind, text, quotes=True), chunk, wrong)

    def _relations(self, chunk: Chunk) -> None:
        for relation in self.schema.relations:
            names = columns_of(relation.tree)
            if set(names) <= set(chunk.frame.columns):
                columns = {name: chunk.related(self.schema.columns[name]) for name in names}
                what = What(names, "relation", f"breaks `{relation.text}`", severity=relation.severity)
                self._tally.add(what, chunk, broken(relation, columns, len(chunk.frame)))

    def failures(self) -> list[Failure]:
        """All that was found, in the schema's order of columns; what concerns several of them, and the table, last."""
        found = [*self._table(), *self._tally.failures(self.rows)]
        found += [each for each in self._missing.failures(self.rows) if each.share > self._may_miss(each.column)]
        for what, repeats in self._unique.items():
            found += repeats.failures(what, self.rows)
        allowed = {f"breaks `{relation.text}`": relation.max_share for relation in self.schema.relations}
        found = [each for each in found if each.kind != "relation" or each.share > allowed[each.check]]
        found = [self._remedied(each) if each.kind == "allowed" else each for each in found]
        order = {name: place for place, name in enumerate(dict.fromkeys([*self.schema.columns, *self.names]))}
        whole = len(order)
        kinds = {kind: place for place, kind in enumerate(KINDS)}
        texts = {text: place for place, text in enumerate(allowed)}
        return sorted(
            found,
            key=lambda each: (
                order.get(each.column, whole), kinds.get(each.kind, len(kinds)), texts.get(each.check, 0)
            ),
        )  # fmt: skip

    def _remedied(self, failure: Failure) -> Failure:
        """What a category may mean that is another one but for blanks and capitals."""
        allowed = {_folded(word): word for word in self.schema.columns[failure.column].allowed if isinstance(word, str)}
        meant = {allowed[_folded(value)] for value in failure.values if _folded(value) in allowed}
        return replace(failure, remedy=f"write {', '.join(sorted(meant))}") if meant else failure

    def _may_miss(self, name: str) -> float:
        column = self.schema.columns[name]
        return column.max_missing if column.nullable else 0.0

    def _table(self) -> Iterator[Failure]:
        for name in self.schema.columns:
            if name not in self.names:
                yield failure(What((name,), "present", "the column is missing"), self.rows)
        if self.schema.others is Others.REFUSE:
            for name in self.names:
                if name not in self.schema.columns:
                    yield failure(What((name,), "unlisted", "the schema does not list this column"), self.rows)
        least, most = self.schema.least_rows, self.schema.most_rows
        if least is not None and self.rows < least:
            yield failure(What((), "rows", f"{self.rows:,} rows, fewer than {least:,}"), self.rows)
        if most is not None and self.rows > most:
            yield failure(What((), "rows", f"{self.rows:,} rows, more than {most:,}"), self.rows)


NOUNS: Final = {
    ColumnType.NUMBER: "number",
    ColumnType.INTEGER: "number",
    ColumnType.BOOLEAN: "truth value",
    ColumnType.DATE: "date",
}


class Repeats:
    """Rows whose values in some columns stood in a row before; one without a value among them counts as none."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self._kept = Digests()

    def see(self, chunk: Chunk) -> None:
        """Take in more rows."""
        whole = np.logical_and.reduce([chunk.frame[name].notna().to_numpy() for name in self.columns])
        found = digests(chunk.exact(self.columns)[whole], list(self.columns))
        self._kept.add(found, chunk.numbers[whole])

    def failures(self, what: What, rows: int) -> Iterator[Failure]:
        """What was found, among so many rows."""
        count, first = self._kept.again(ROWS_TOLD)
        if count:
            yield failure(what, rows, count, tuple(first.tolist()))


def _free(column: Column) -> bool:
    """Whether any words may stand there: else its list or pattern tells of broken letters."""
    words = column.type in (ColumnType.CATEGORY, ColumnType.TEXT)
    return words and not column.allowed and not column.pattern and column.role is not ColumnRole.IGNORED


def _folded(word: str) -> str:
    return " ".join(word.split()).casefold()


def _missing_text(column: Column) -> str:
    return f"missing (at most {100 * column.max_missing:g}% of the rows may be)" if column.nullable else "missing"


def _judged(chunk: Chunk, schema: Schema) -> pd.DataFrame:
    """What pandera sees: dates as seconds, of all else the typed values."""
    found = {
        name: dates(chunk.frame[name], column)
        for name, column in schema.columns.items()
        if column.type is ColumnType.DATE and name in chunk.frame
    }
    return chunk.frame.assign(**found) if found else chunk.frame


def _checks(column: Column) -> Iterator[pa.Check]:
    """The first word of each error is the check's kind."""
    if column.least is not None:
        yield pa.Check.ge(column.least, error=f"min {_bound(column, 'below', 'before', column.least)}")
    if column.most is not None:
        yield pa.Check.le(column.most, error=f"max {_bound(column, 'above', 'after', column.most)}")
    if column.type is ColumnType.INTEGER:
        yield pa.Check(lambda values: values % 1 == 0, error="whole no whole number")
    if column.allowed:
        words = ", ".join(f"{word:g}" if isinstance(word, float) else word for word in column.allowed[:WORDS_TOLD])
        more = ", ..." * (len(column.allowed) > WORDS_TOLD)
        yield pa.Check.isin(list(column.allowed), error=f"allowed none of {words}{more}")
    if column.pattern:
        yield pa.Check(lambda values: _matches(column.pattern, values), error=f"pattern not like {column.pattern}")
    if column.min_length is not None or column.max_length is not None:
        yield pa.Check.str_length(column.min_length, column.max_length, error=f"length {_length(column)}")


def _bound(column: Column, number: str, day: str, value: float) -> str:
    return f"{day} {days.date_text(value)}" if column.type is ColumnType.DATE else f"{number} {value:g}"


def _length(column: Column) -> str:
    if column.max_length is None:
        return f"shorter than {column.min_length} letters"
    if column.min_length is None:
        return f"longer than {column.max_length} letters"
    return f"not {column.min_length} to {column.max_length} letters long"


def _matches(wanted: str, values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Each distinct value is tried once."""
    codes, words = pd.factorize(values)
    found: NDArray[np.bool_] = np.array([pattern.matches(wanted, str(word)) for word in words.tolist()], dtype=bool)
    return pd.Series(found[codes], index=values.index)


# pandera imports its engines at the first validation (a third of a second). Here it is part of the import, and of no
# run's time.
_WARM: Final = pa.DataFrameSchema({}).validate(pd.DataFrame({"a": [0]}), lazy=True)
