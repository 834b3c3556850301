"""What is wrong in data, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

THE_TABLE: Final = "the table"


class Severity(StrEnum):
    """What a failure means for a gate."""

    CRITICAL = "critical"
    """The gate refuses the data."""
    WARNING = "warning"
    """It is told, and the gate stays open."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that a data set holds and its schema, or a rule of quality, forbids."""

    column: str
    """Several are joined by commas; empty where it is a matter of the whole table."""
    check: str
    """What is wrong: ``above 500``, ``the column is missing``."""
    count: int = 0
    """In how many rows; 0 where it is no matter of rows."""
    rows: tuple[int, ...] = ()
    """The first of them, counted from 1, without the header."""
    kind: str = ""
    """The check's name in one word: ``max``, ``allowed``, ``duplicates``."""
    severity: Severity = Severity.CRITICAL
    share: float = 0.0
    """Of all rows, in 0..1."""
    values: tuple[str, ...] = ()
    """What stands in those first rows, as it is written there."""
    columns: tuple[str, ...] = ()
    """Those that it is about, one by one."""
    remedy: str = ""
    """What may be meant, where that is plain."""

    def __str__(self) -> str:
        """As a report shows it.

        >>> print(Failure("tenure", "below 0", 7, (3, 8, 20, 21, 22)))
        tenure: below 0 in 7 rows (3, 8, 20, 21, 22, ...)
        """
        subject = self.column or THE_TABLE
        if not self.count:
            return f"{subject}: {self.check}"
        more = ", ..." if self.count > len(self.rows) else ""
        rows = ", ".join(map(str, self.rows))
        return f"{subject}: {self.check} in {self.count:,} row{'s' * (self.count > 1)} ({rows}{more})"


@dataclass(frozen=True, slots=True)
class Validation:
    """What came of holding data against a schema and rules of quality."""

    file: str
    rows: int
    columns: tuple[str, ...]
    """Of the file, in its order."""
    failures: tuple[Failure, ...]
    """Those of the schema first, in its order of columns; then those of quality, in the order of the rules."""
    checks: int = 0
    """How many were made: columns, table and rules."""
    schema: str = ""
    """Its file; empty where it has none."""
    quality: str = ""
    """The file of further rules; empty where there is none."""
    against: str = ""
    """The training file that it was compared with; empty where there is none."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Missing values by column; only columns that have some."""
    costs: tuple[str, ...] = ()
    """What checks keep of every row, and where."""
    notes: tuple[str, ...] = ()

    @property
    def critical(self) -> tuple[Failure, ...]:
        """What the gate refuses the data for."""
        return tuple(failure for failure in self.failures if failure.severity is Severity.CRITICAL)

    @property
    def warnings(self) -> tuple[Failure, ...]:
        """What is told and refuses nothing."""
        return tuple(failure for failure in self.failures if failure.severity is Severity.WARNING)

    @property
    def valid(self) -> bool:
        """Whether the gate lets the data pass."""
        return not self.critical
