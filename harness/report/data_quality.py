"""What rules of quality found in a run's data, folded from the log and told as a chapter."""

from collections.abc import Sequence
from typing import Any

from harness.domain.quality import THE_TABLE, Failure, Severity
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line


def quality_chapter(found: Sequence[Failure]) -> Chapter | None:
    """Each finding with its severity, how often it is so and its first rows; None where there is none."""
    if not found:
        return None
    columns = ("column", "what is wrong", "severity", "rows", "share", "first rows")
    return Chapter("Data", columns, [line(each) for each in found], frozenset({3, 4}))


def line(failure: Failure) -> Line:
    """A finding as a row of a table."""
    return Line(
        (
            failure.column or THE_TABLE,
            f"{failure.check}; {failure.remedy}" if failure.remedy else failure.check,
            failure.severity.value,
            f"{failure.count:,}" if failure.count else NONE,
            words.share(failure.share) if failure.count else NONE,
            _rows(failure) or NONE,
        ),
        False if failure.severity is Severity.CRITICAL else None,
    )


def _rows(failure: Failure) -> str:
    more = ["…"] if failure.count > len(failure.rows) else []
    if not any(failure.values) or len(failure.columns) != 1:
        return ", ".join([*map(str, failure.rows), *more])
    return ", ".join([*(f"{row}: {value}" for row, value in zip(failure.rows, failure.values, strict=False)), *more])


def as_json(failure: Failure) -> dict[str, Any]:
    """A finding as a program reads it; shares in 0..1, row numbers from 1."""
    values = failure.values or (None,) * len(failure.rows)
    return {
        "column": failure.column or None,
        "columns": list(failure.columns) or ([failure.column] if failure.column else []),
        "check": failure.kind,
        "message": failure.check,
        "severity": failure.severity.value,
        "count": failure.count,
        "share": failure.share,
        "rows": [{"row": row, "value": value} for row, value in zip(failure.rows, values, strict=True)],
        "remedy": failure.remedy or None,
    }
