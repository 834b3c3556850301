"""Training runs side by side: parameters and metrics as a table, and what of them can be drawn."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from harness.analysis.vocabulary import METRICS, Better
from harness.domain.training import TrackedRun
from harness.report import text as words
from harness.report.chapter import NONE
from harness.report.listing import plain_table
from harness.report.terminal import screen

SHORT: Final = 8
"""Characters of a run's id that are shown; the beginning of an id names it."""
LISTED: Final = 4
"""Metrics that a listing has room for."""
MOST_AXES: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter or metric over all runs."""

    name: str
    kind: str
    """parameter or metric."""
    values: tuple[str | float | None, ...]
    """By run; None where it has none."""
    best: int | None = None
    """Which run's is best, where that can be said."""

    @property
    def differs(self) -> bool:
        """Whether the runs differ in it."""
        return len(set(self.values)) > 1

    @property
    def cells(self) -> tuple[str, ...]:
        """As text."""
        return tuple(_cell(self.name, value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Axis:
    """A figure that every run has, as an axis of a plot."""

    name: str
    values: tuple[float, ...]

    @property
    def low(self) -> float:
        """The least of them."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The greatest of them."""
        return max(self.values)

    def place(self, value: float) -> float:
        """Where a value stands, from 0 (least) to 1; in the middle where all are equal."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


@dataclass(frozen=True, slots=True)
class TrackedComparison:
    """Training runs side by side."""

    runs: tuple[TrackedRun, ...]
    rows: tuple[Row, ...]
    """Metrics first, then the parameters in which the runs differ, then the others."""
    axes: tuple[Axis, ...]
    """Numeric parameters in which they differ, then metrics; only what every run has."""


def compare_tracked(runs: Sequence[TrackedRun]) -> TrackedComparison:
    """Training runs side by side, in the order given."""
    metrics = [_metric(name, runs) for name in _names(run.metrics for run in runs)]
    names = _names(run.params for run in runs)
    params = [Row(name, "parameter", tuple(run.params.get(name) for run in runs)) for name in names]
    rows = (*metrics, *(row for row in params if row.differs), *(row for row in params if not row.differs))
    drawn = [axis for row in (*(each for each in params if each.differs), *metrics) if (axis := _axis(row))]
    return TrackedComparison(tuple(runs), rows, tuple(drawn[:MOST_AXES]))


def _names(found: Iterable[Any]) -> list[str]:
    return sorted({name for each in found for name in each})


def _metric(name: str, runs: Sequence[TrackedRun]) -> Row:
    values = tuple(run.metrics.get(name) for run in runs)
    known, there = METRICS.get(name), [value for value in values if value is not None]
    best = None
    if known and known.better is not Better.NEITHER and len(set(there)) > 1:
        best = values.index(max(there) if known.better is Better.HIGHER else min(there))
    return Row(name, "metric", values, best)


def _axis(row: Row) -> Axis | None:
    """The row as an axis, if every run has a finite number there."""
    try:
        numbers = tuple(float(value) for value in row.values if value is not None)
    except ValueError:
        return None
    whole = len(numbers) == len(row.values) and all(map(math.isfinite, numbers))
    return Axis(row.name, numbers) if whole else None


def _cell(name: str, value: str | float | None) -> str:
    if value is None:
        return NONE
    if isinstance(value, str):
        return value
    return words.figure(name, value) if name in METRICS else f"{value:.4g}"


# --- a terminal -------------------------------------------------------------------------------------------------------


def show_tracked(runs: Sequence[TrackedRun], *, color: bool = True) -> None:
    """Print a line for each training run, with the metrics that most of them have."""
    console = screen(color=color)
    counts = {name: sum(name in run.metrics for run in runs) for name in _names(run.metrics for run in runs)}
    shown = sorted(counts, key=lambda name: (-counts[name], name))[:LISTED]
    table = plain_table("run", "name", "experiment", "status", "began (UTC)")
    table.columns[0].no_wrap = True
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        began = run.started[:16].replace("T", " ")
        figures = [_cell(name, run.metrics.get(name)) for name in shown]
        table.add_row(run.run_id[:SHORT], Text(run.name), Text(run.experiment), run.status.lower(), began, *figures)
    if runs:
        console.print(table)
    console.print(Text(words.plural(len(runs), "training run"), style="bold"))


def show_tracked_run(run: TrackedRun, *, color: bool = True) -> None:
    """Print one training run: metrics first, then parameters."""
    console = screen(color=color)
    console.print(Text(f"{run.run_id}  {run.name}".rstrip(), style="bold"))
    took = "" if run.duration_s is None else f", {run.duration_s:.4g} s"
    began = run.started[:16].replace("T", " ") or NONE
    console.print(Text(f"experiment {run.experiment}, {run.status.lower()}, began {began} UTC{took}"))
    rows = compare_tracked([run]).rows
    if rows:
        table = plain_table("", "", "value")
        for row in rows:
            table.add_row(Text(row.kind, style="dim"), Text(row.name), Text(row.cells[0]))
        console.print(table)


def show_tracked_comparison(compared: TrackedComparison, *, color: bool = True) -> None:
    """Print training runs side by side; what differs is bold, the best of a known metric has a star."""
    console = screen(color=color)
    table = plain_table("", *(f"{run.run_id[:SHORT]} {run.name}".rstrip() for run in compared.runs))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in compared.rows:
        style = "bold" if row.differs else "dim"
        cells = [f"{cell} ★" if place == row.best else cell for place, cell in enumerate(row.cells)]
        table.add_row(Text(row.name, style=style), *(Text(cell, style=style) for cell in cells))
    console.print(table)
    same = sum(not row.differs for row in compared.rows)
    told = words.plural(len(compared.runs), "training run")
    console.print(Text(f"{told}; {same} of {len(compared.rows)} rows equal"))


# --- JSON -------------------------------------------------------------------------------------------------------------


def run_as_json(run: TrackedRun) -> dict[str, Any]:
    """A training run as a program reads it."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "started": run.started or None,
        "duration_s": run.duration_s,
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
    }


def comparison_as_json(compared: TrackedComparison) -> dict[str, Any]:
    """Training runs, and what they differ in."""
    return {
        "version": 1,
        "training_runs": [run_as_json(run) for run in compared.runs],
        "differs": [row.name for row in compared.rows if row.differs],
        "best": {row.name: compared.runs[row.best].run_id for row in compared.rows if row.best is not None},
    }
