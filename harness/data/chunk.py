"""A piece of a table, and what is found wrong in the pieces."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.dates import DAY_S
from harness.data.schema import Column, ColumnType, Schema
from harness.data.table import FARTHEST, Unread, dates, label_text, truths, typed
from harness.domain.quality import Failure, Severity

ROWS_TOLD: Final = 5
LONGEST_TOLD: Final = 60
"""Letters of a value that a report shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some rows of a table, one after the other."""

    frame: pd.DataFrame
    """With the schema's types (`harness.data.table.typed`)."""
    raw: pd.DataFrame
    """As it was read, for the values to tell."""
    unread: Unread
    """What could not be read as its type, and is missing in ``frame``."""
    numbers: NDArray[np.int64]
    """Of its rows in the whole table, counted from 1; of training data, counted from -1 downwards."""

    @staticmethod
    def of(raw: pd.DataFrame, schema: Schema, before: int = 0, *, training: bool = False) -> "Chunk":
        """Rows as they were read; so many came before."""
        raw = raw.reset_index(drop=True)
        frame, unread = typed(raw, schema)
        numbers = np.arange(before + 1, before + len(raw) + 1, dtype=np.int64)
        return Chunk(frame, raw, unread, -numbers if training else numbers)

    def bad(self, name: str) -> NDArray[np.bool_]:
        """Which values of a column could not be read."""
        return self.unread.get(name, np.zeros(len(self.frame), dtype=bool))

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Which values of a column are missing, and were not merely unreadable."""
        return np.asarray(self.frame[name].isna().to_numpy() & ~self.bad(name), dtype=bool)

    def exact(self, names: Sequence[str]) -> pd.DataFrame:
        """Columns as they are told apart: whole numbers beyond 2^53, where floats fall together, by their texts."""
        frame = self.frame[list(names)]
        for name in names:
            if frame[name].dtype == np.float64 and (far := frame[name].abs() > FARTHEST).any():
                frame = frame.assign(**{name: frame[name].astype(object).mask(far, self.raw[name].astype(str))})
        return frame

    def related(self, column: Column) -> Any:
        """A column as relations see it: numbers, days since 1970, truth values, or texts."""
        values = self.frame[column.name]
        if column.type is ColumnType.DATE:
            return dates(values, column) / DAY_S
        if column.type is ColumnType.BOOLEAN:
            return truths(values)
        return values.to_numpy() if column.type.numeric else values.to_numpy(dtype=object, na_value=np.nan)

    def written(self, columns: tuple[str, ...], places: NDArray[np.intp]) -> tuple[str, ...]:
        """What stands in some rows: the value, or of several columns each with its name."""
        told = [[_cell(value) for value in self.raw[name].iloc[places].tolist()] for name in columns]
        if len(columns) == 1:
            return tuple(told[0])
        return tuple(
            ", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=True)) for row in zip(*told, strict=True)
        )


def _cell(value: Any) -> str:
    text = "" if value is None or value != value else label_text(value)  # noqa: PLR0124 - only NaN differs from itself
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}…"


@dataclass(frozen=True, slots=True)
class What:
    """What may be wrong with a column, or several."""

    columns: tuple[str, ...]
    kind: str
    text: str
    quotes: bool = False
    """Whether the first value is told with it."""
    severity: Severity = Severity.CRITICAL


@dataclass(slots=True)
class _Found:
    count: int = 0
    rows: tuple[int, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """Gathers what is wrong, chunk by chunk: how often, and the first rows."""

    found: dict[What, _Found] = field(default_factory=dict)

    def add(self, what: What, chunk: Chunk, wrong: NDArray[np.bool_]) -> None:
        """Count the marked rows of a chunk."""
        self.count(what, chunk, np.flatnonzero(wrong))

    def count(self, what: What, chunk: Chunk, places: NDArray[np.intp]) -> None:
        """Count the rows at some places of a chunk."""
        if not len(places):
            return
        held = self.found.setdefault(what, _Found())
        held.count += len(places)
        first = places[: max(0, ROWS_TOLD - len(held.rows))]
        held.rows += tuple(chunk.numbers[first].tolist())
        held.values += chunk.written(what.columns, first)

    def failures(self, rows: int) -> Iterator[Failure]:
        """What was found, among so many rows."""
        for what, held in self.found.items():
            yield failure(what, rows, held.count, held.rows, held.values)

    def share(self, what: What, rows: int) -> float:
        """In what share of the rows something is so."""
        return self.found[what].count / rows if what in self.found else 0.0


def failure(
    what: What, rows: int, count: int = 0, first: tuple[int, ...] = (), values: tuple[str, ...] = (), remedy: str = ""
) -> Failure:
    """A failure, told as reports tell it."""
    quoted = f" ({values[0]!r})" if what.quotes and values else ""
    return Failure(
        ", ".join(what.columns), f"{what.text}{quoted}", count, first, what.kind, what.severity,
        count / rows if rows else 0.0, values, what.columns, remedy,
    )  # fmt: skip


QUOTED: Final = ("key", "unique")
"""What is found once all rows are known, and told with the first value all the same."""


def unseen(failures: Iterable[Failure]) -> frozenset[int]:
    """The rows whose values are still to be told: what concerns the whole is known only when its rows are gone."""
    return frozenset(row for each in failures if not each.values for row in each.rows)


def told(failures: Iterable[Failure], rows: Mapping[int, Mapping[str, str]]) -> list[Failure]:
    """The failures with what stands in their first rows, by row number and column."""
    return [_with_values(each, rows) if each.rows and not each.values else each for each in failures]


def _with_values(failure: Failure, rows: Mapping[int, Mapping[str, str]]) -> Failure:
    columns = failure.columns
    there = [rows[row] for row in failure.rows if row in rows]
    if len(columns) == 1:
        values = tuple(row[columns[0]] for row in there)
    else:
        values = tuple(", ".join(f"{name}={row[name]}" for name in columns or row) for row in there)
    quoted = f" ({values[0]!r})" if values and failure.kind in QUOTED else ""
    return replace(failure, values=values, check=f"{failure.check}{quoted}")


def rows_of(chunk: Chunk, wanted: Iterable[int]) -> dict[int, dict[str, str]]:
    """Some rows of a chunk, by number: what stands in each column."""
    places = np.flatnonzero(np.isin(chunk.numbers, list(wanted)))
    columns = [str(name) for name in chunk.raw.columns]
    cells = [[_cell(value) for value in chunk.raw[name].iloc[places].tolist()] for name in columns]
    return {
        int(number): dict(zip(columns, row, strict=True))
        for number, row in zip(chunk.numbers[places], zip(*cells, strict=True), strict=True)
    }
