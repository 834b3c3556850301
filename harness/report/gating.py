"""What the gates before deployment rest on: reasons, intervals and tables, folded from the log and told as chapters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.domain.event import GateDetails
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.numbers import figure


@dataclass(frozen=True, slots=True)
class GateDetail:
    """What one gate rests on."""

    name: str
    text: str
    passed: bool
    reason: str
    interval: tuple[float, float] | None
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str
    measured: Mapping[str, float]
    """By the wall clock of the machine that ran it, in seconds."""


def detail_of(event: GateDetails) -> GateDetail:
    """The detail that an event tells, its figures as the log keeps them."""
    rows = tuple(tuple(figure(cell) if isinstance(cell, float) else cell for cell in row) for row in event.rows)
    interval = event.interval and (figure(event.interval[0]) or 0.0, figure(event.interval[1]) or 0.0)
    measured = {name: figure(value) or 0.0 for name, value in (event.measured or {}).items()}
    return GateDetail(
        event.name, event.text, event.passed, event.reason, interval, tuple(event.columns), rows, event.note, measured
    )


def gate_chapters(details: Sequence[GateDetail]) -> Iterator[Chapter]:
    """Why each gate said what it said, then the tables that they rest on; each table once.

    Tables of gates that passed are for those who want to see all.
    """
    if details:
        lines = [Line((each.text, "✓" if each.passed else "✗", _because(each)), each.passed) for each in details]
        yield Chapter("Why the gates passed or failed", ("gate", "", "because"), lines)
    told: list[tuple[Any, ...]] = []
    for each in details:
        if each.rows and (each.columns, each.rows) not in told:
            told.append((each.columns, each.rows))
            same = [other for other in details if (other.columns, other.rows) == told[-1]]
            yield _table(each, passed=all(other.passed for other in same))


def _because(each: GateDetail) -> str:
    measured = ", ".join(f"{name} {words.latency(value)}" for name, value in each.measured.items())
    return f"{each.reason} (here: {measured})" if measured else each.reason


def _table(each: GateDetail, *, passed: bool) -> Chapter:
    figures = {
        place
        for place in range(len(each.columns))
        if all(row[place] is None or isinstance(row[place], int | float) for row in each.rows)
    }
    lines = [Line(tuple(map(_cell, row))) for row in each.rows]
    title = each.text.partition(":")[0].replace("_", " ")
    return Chapter(f"{title[:1].upper()}{title[1:]}", each.columns, lines, frozenset(figures), each.note, detail=passed)


def _cell(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def as_json(details: Sequence[GateDetail]) -> list[dict[str, Any]]:
    """The same as a program reads it; a table is a list of mappings by column."""
    return [
        {
            "name": each.name,
            "text": each.text,
            "passed": each.passed,
            "reason": each.reason,
            "interval": list(each.interval) if each.interval else None,
            "table": [dict(zip(each.columns, row, strict=True)) for row in each.rows],
            "note": each.note,
            "measured_s": dict(each.measured),
        }
        for each in details
    ]
