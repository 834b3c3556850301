"""Small plots as SVG, for pages that need no script: spark lines, and curves of several runs in one frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from harness.report.result import Points, Result

SPARK: Final = (110.0, 26.0)
FRAME: Final = (520.0, 190.0)
LEFT, RIGHT, TOP, BOTTOM = 56.0, 10.0, 8.0, 22.0
TICKS_X: Final = (1 / 6, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440, 2880)
"""Distances that people count minutes by."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: where it goes, and the class that says how it looks."""

    style: str
    path: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Curves with their axes, in the units of the drawing."""

    title: str
    curves: Sequence[Curve]
    across: Sequence[Tick]
    up: Sequence[Tick]
    width: float = FRAME[0]
    height: float = FRAME[1]
    left: float = LEFT
    right: float = FRAME[0] - RIGHT
    top: float = TOP
    bottom: float = FRAME[1] - BOTTOM


def spark(result: Result) -> str:
    """The candidate's share over the run, as the path of a step curve; empty where there was no traffic.

    The way back at the very end would be a line on the edge of the frame, and is all there is to see of some runs.
    """
    points = result.series.share
    if not points or points[-1][0] <= 0:
        return ""
    width, height = SPARK
    end = points[-1][0]
    return stepped([(at / end * (width - 4) + 2, height - 2 - share * (height - 4)) for at, share in points])


def stepped(points: Points | Sequence[tuple[float, float]]) -> str:
    """A path that keeps each value until the next point."""
    (x, y), *more = points
    said = [f"M{_short(x)} {_short(y)}"]
    for x, y in more:
        said.append(f"H{_short(x)}V{_short(y)}")
    return "".join(said)


def straight(points: Sequence[tuple[float, float | None]]) -> str:
    """A path from point to point, broken where there is none; a point that stands alone is a dot."""
    said: list[str] = []
    for there, run in groupby(points, key=lambda point: point[1] is not None):
        if there:
            piece = [f"{_short(x)} {_short(y)}" for x, y in run if y is not None]
            said.append(f"M{'L'.join(piece)}{'h.1' if len(piece) == 1 else ''}")
    return "".join(said)


def frame(
    title: str,
    curves: Sequence[tuple[str, Sequence[float], Sequence[float | None]]],
    label: "Labeller",
    *,
    steps: bool = False,
    zero: bool = True,
) -> Frame | None:
    """Several curves in one frame; None where there is nothing to draw.

    Args:
        title: what is drawn.
        curves: the style, the minutes and the values of each.
        label: how a value of the axis is written.
        steps: whether a value holds until the next.
        zero: whether the axis begins at nought.
    """
    known = [value for _, _, values in curves for value in values if value is not None]
    minutes = [minute for _, times, _ in curves for minute in times]
    if not known or not minutes:
        return None
    end = max(*minutes, 1e-9)
    low, high = (min(0.0, *known), max(known)) if zero else (min(known), max(known))
    if high <= low:
        high = low + (abs(low) or 1.0) * 0.1
    step = _nice((high - low) / 4)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step

    def x(minute: float) -> float:
        return LEFT + minute / end * (FRAME[0] - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (FRAME[1] - TOP - BOTTOM)

    made = []
    for style, times, values in curves:
        points = [(x(at), None if value is None else y(value)) for at, value in zip(times, values, strict=True)]
        there = [(at, value) for at, value in points if value is not None]
        if there:
            made.append(Curve(style, stepped(there) if steps else straight(points)))
    apart = next((each for each in TICKS_X if end / each <= 7), TICKS_X[-1] * math.ceil(end / TICKS_X[-1] / 7))
    return Frame(
        title=title,
        curves=made,
        across=[Tick(round(x(apart * n), 1), f"{apart * n:.3g}") for n in range(int(end / apart + 1e-9) + 1)],
        up=[Tick(round(y(low + step * n), 1), label(low + step * n)) for n in range(round((high - low) / step) + 1)],
    )


class Labeller:
    """Writes the values of an axis by their unit: latency, share, figure or count."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def __call__(self, value: float) -> str:
        """The value as a label."""
        shown = float(f"{value:.6g}")
        if self.unit == "latency":
            return f"{shown * 1000:.4g} ms" if abs(shown) < 1 else f"{shown:.3g} s"
        return f"{shown * 100:.4g}%" if self.unit == "share" else f"{shown:,.4g}"


def _nice(rough: float) -> float:
    """The next distance of ticks that people count by: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if rough <= power * factor * (1 + 1e-9))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
