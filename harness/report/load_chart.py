"""Charts of load tests as SVG, drawn here and not by a script: lines, bands, bars and points between two axes. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.report import text as words
from harness.report.sketch import straight

WIDTH, HEIGHT = 560.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 22.0, 18.0, 38.0

Value = float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale, and its marks."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str = ""
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the two ends, from 0 to 1; what lies beyond them is put on them."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, 1e-12))
        return min(1.0, max(0.0, (at - low) / (high - low)))


@dataclass(frozen=True, slots=True)
class Line:
    """Values over the x axis; None breaks it."""

    name: str
    style: str
    values: Sequence[Value]
    drawn: bool = True


@dataclass(frozen=True, slots=True)
class Bar:
    """A filled rectangle, in the units of the axes."""

    style: str
    left: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """A mark at a place, with what it says of itself."""

    x: float
    y: float
    style: str
    label: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across at a value, with its name."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """A shaded part of the x axis."""

    left: float
    right: float
    label: str
    style: str = "shade"


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, in the units of its axes; properties answer in those of the drawing."""

    id: str
    title: str
    summary: str
    x: Axis
    y: Axis
    xs: Sequence[float]
    labels: Sequence[str]
    """Of each x, for a reader who points at it."""
    lines: Sequence[Line]
    write: Callable[[float], str]
    """How a value is written."""
    bands: Sequence[tuple[int, int, str]] = ()
    """Between which two lines the space is filled, and the style."""
    bars: Sequence[Bar] = ()
    points: Sequence[Point] = ()
    rules: Sequence[Rule] = ()
    downs: Sequence[Rule] = ()
    """Lines down at a value of x."""
    spans: Sequence[Span] = ()
    keys: Sequence[tuple[str, str]] = ()
    """Style and name of what the legend shows beside the lines."""
    sizes: tuple[float, float, float, float] = field(default=(LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM))

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """Left, right, top and bottom of what lies between the axes."""
        return self.sizes

    def at_x(self, value: float) -> float:
        """Where a value of x lies."""
        return round(LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT), 1)

    def at_y(self, value: float) -> float:
        """Where a value of y lies."""
        return round(HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def across(self) -> list[tuple[float, str]]:
        """Marks of the x axis."""
        return [(self.at_x(value), label) for value, label in self.x.ticks]

    @property
    def up(self) -> list[tuple[float, str]]:
        """Marks of the y axis."""
        return [(self.at_y(value), label) for value, label in self.y.ticks]

    @property
    def paths(self) -> list[tuple[str, str]]:
        """Style and path of each line."""
        return [(line.style, self._path(line)) for line in self.lines if line.drawn and self._path(line)]

    @property
    def areas(self) -> list[tuple[str, str]]:
        """Style and outline of each band."""
        return [(style, self._area(low, high)) for low, high, style in self.bands]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Style and name of whatever is drawn."""
        return [*((line.style, line.name) for line in self.lines if line.drawn), *self.keys]

    def _path(self, line: Line) -> str:
        return straight(
            [(self.at_x(x), None if y is None else self.at_y(y)) for x, y in zip(self.xs, line.values, strict=True)]
        )

    def _area(self, low: int, high: int) -> str:
        found: list[list[tuple[float, float, float]]] = []
        run: list[tuple[float, float, float]] = []
        for x, a, b in zip(self.xs, self.lines[low].values, self.lines[high].values, strict=True):
            if a is None or b is None:
                found.append(run)
                run = []
            else:
                run.append((self.at_x(x), self.at_y(a), self.at_y(b)))
        return "".join(_outline(run) for run in [*found, run] if len(run) > 1)

    def pointed(self) -> dict[str, object]:
        """What the script says of each place, as JSON."""
        return {
            "id": self.id,
            "x": [self.at_x(x) for x in self.xs],
            "labels": list(self.labels),
            "names": [line.name for line in self.lines],
            "styles": [line.style for line in self.lines],
            "cells": [["–" if y is None else self.write(y) for y in line.values] for line in self.lines],
        }


def _outline(run: Sequence[tuple[float, float, float]]) -> str:
    there = "L".join(f"{x:g} {b:g}" for x, _, b in run)
    back = "L".join(f"{x:g} {a:g}" for x, a, _ in reversed(run))
    return f"M{there}L{back}Z"


# --- axes -------------------------------------------------------------------------------------------------------------


def latencies(values: Sequence[Value], *, log: bool | None = None, title: str = "") -> Axis:
    """An axis of latencies, logarithmic where they differ by much."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return Axis(0.0, 1.0, [(0.0, "0 ms"), (1.0, "1 s")], title)
    low, high = min(known), max(known)
    if log is None:
        log = high > 20 * low
    if not log:
        return linear(0.0, high * 1.08, words.latency, title)
    low, high = low / 1.25, high * 1.25
    return Axis(low, high, [(value, words.latency(value)) for value in decades(low, high)], title, log=True)


def linear(low: float, high: float, write: Callable[[float], str], title: str = "", *, most: int = 5) -> Axis:
    """An axis of even steps that people count by."""
    if high <= low:
        high = low + 1.0
    step = nice((high - low) / most)
    first = math.ceil(low / step - 1e-9)
    ticks = [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(low, high, [(value, write(float(f"{value:.9g}"))) for value in ticks], title)


def decades(low: float, high: float) -> list[float]:
    """The marks of a logarithmic axis: 1, 2 and 5 of each power of ten, or the powers alone where those are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [float(f"{value:.6g}") for value in found if low <= value <= high]
        if len(found) <= 8:
            break
    return found


def nice(rough: float) -> float:
    """The next distance of marks that people count by.

    >>> nice(0.3), nice(12)
    (0.5, 20.0)
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(f"{power * factor:.9g}" for factor in (1, 2, 5, 10) if rough <= power * factor * (1 + 1e-9)))


NINES: Final = ((0.5, "50%"), (0.75, "75%"), (0.9, "90%"), (0.95, "95%"), (0.99, "99%"), (0.999, "99.9%"),
                (0.9999, "99.99%"))  # fmt: skip


def nines(share: float) -> float:
    """How many nines a share has: where it lies on an axis of percentiles.

    >>> nines(0.9), nines(0.999)
    (1.0, 3.0)
    """
    return round(-math.log10(max(1e-12, 1 - share)), 9)


def percentiles() -> Axis:
    """An axis of percentiles from 50 % to 99.99 %, as far apart as the rest that lies beyond them shrinks."""
    ticks = [(nines(share), label) for share, label in NINES]
    return Axis(ticks[0][0], ticks[-1][0], ticks, "share of requests that took at most so long")


def seconds(end: float, title: str = "seconds since the test began") -> Axis:
    """An axis of time: seconds, or minutes where there are many."""
    if end <= 180:
        return linear(0.0, max(end, 1.0), lambda at: f"{at:g}", title, most=7)
    step = next((each for each in (30, 60, 120, 300, 600, 1200, 1800, 3600) if end / each <= 8), 7200)
    ticks = [(float(at), words.clock_time(at)) for at in range(0, int(end) + 1, step)]
    return Axis(0.0, end, ticks, title.replace("seconds", "minutes"))
