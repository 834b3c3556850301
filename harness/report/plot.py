"""What a plot is made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.report import text as words

TABLE_ROWS: Final = 240
"""A plot's table shows every n-th look where there are more."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    name: str
    kind: str
    """An arm, bound, planned, effect, interval or nought: the script knows how each is drawn."""
    values: Values


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot over the run's time."""

    id: str
    metric: str
    title: str
    about: str
    unit: str
    """How the script writes its figures: latency, share, figure or count."""
    minutes: Sequence[float]
    lines: Sequence[Line]
    stepped: bool
    zero: bool
    """Whether the axis begins at nought; quality moves too little for that."""
    failed: Sequence[float]
    """Minutes of the looks at which a rule on this metric failed."""
    summary: str
    """What it shows, in words."""
    span: tuple[float, float] | None = None
    """What of the axis is shown; None: as much as the figures ask for."""

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """The plot as a table: time and a cell for each line."""
        every = -(-len(self.minutes) // TABLE_ROWS) or 1
        for index in range(0, len(self.minutes), every):
            cells = [words.figure(self.metric, line.values[index]) for line in self.lines]
            yield words.clock_time(self.minutes[index] * 60), cells


def short(values: Values, length: int) -> Values:
    """Six digits are more than any plot shows."""
    if not values:
        return [None] * length
    return [None if value is None else float(f"{value:.6g}") for value in values]


def minutes(seconds: float) -> float:
    """As the axis of every plot has them."""
    return round(seconds / 60, 4)
