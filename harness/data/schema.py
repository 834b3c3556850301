"""What a data set may hold, column by column, and the file that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.data.relate import Relation
from harness.data.relation import Kind
from harness.data.rule import Rule

SCHEMA_VERSION: Final = 1


class ColumnType(StrEnum):
    """What the values of a column are."""

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    DATE = "date"
    TEXT = "text"
    """Free words, of which each row may have its own."""

    @property
    def numeric(self) -> bool:
        """Whether values are kept as float64; all others are kept as the texts they are."""
        return self in (ColumnType.NUMBER, ColumnType.INTEGER)

    @property
    def learned(self) -> bool:
        """Whether models learn from such a column as it is."""
        return self not in (ColumnType.DATE, ColumnType.TEXT)

    @property
    def kind(self) -> Kind:
        """What it is in a relation."""
        kinds = {ColumnType.BOOLEAN: Kind.TRUTH, ColumnType.DATE: Kind.DATE}
        return Kind.NUMBER if self.numeric else kinds.get(self, Kind.TEXT)


class ColumnRole(StrEnum):
    """What a column is for."""

    FEATURE = "feature"
    TARGET = "target"
    KEY = "key"
    """Names the row; no feature."""
    IGNORED = "ignored"


class Others(StrEnum):
    """What becomes of columns that the schema does not list."""

    REFUSE = "refuse"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Column:
    """What one column may hold."""

    name: str
    type: ColumnType
    role: ColumnRole = ColumnRole.FEATURE
    allowed: tuple[str, ...] | tuple[float, ...] = ()
    """Empty: any value."""
    least: float | None = None
    """Of a date, in seconds since 1970."""
    most: float | None = None
    nullable: bool = False
    max_missing: float = 1.0
    """The greatest share of rows without a value; means something only where ``nullable``."""
    unique: bool = False
    """No two rows may have the same value; one that is missing counts as none."""
    pattern: str = ""
    """A regular expression that each whole value must match; empty: any value."""
    min_length: int | None = None
    """Of a text, in letters."""
    max_length: int | None = None
    format: str = ""
    """Of a date, as `strptime` takes it; empty: ISO 8601."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a data set may hold."""

    columns: Mapping[str, Column]
    others: Others = Others.REFUSE
    missing: tuple[str, ...] = ()
    """Words that stand for a missing value in any column (blank always does)."""
    file: str = ""
    """Its file; empty where it was inferred from the data."""
    least_rows: int | None = None
    most_rows: int | None = None
    unique: tuple[tuple[str, ...], ...] = ()
    """Columns whose values together name a row."""
    relations: tuple[Relation, ...] = ()
    quality: tuple[Rule, ...] = ()

    def of(self, role: ColumnRole) -> tuple[str, ...]:
        """The columns with that role, in order."""
        return tuple(name for name, column in self.columns.items() if column.role is role)


def read_schema(path: str) -> Schema:
    """The schema of a YAML file.

    Raises:
        DataError: with every problem of the file, each with line, column and what is allowed.
    """
    from harness.data.schemafile import read  # reads these values, and so stands above them

    return read(path)
