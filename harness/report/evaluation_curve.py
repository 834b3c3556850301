"""The calibration curve of a page, drawn here and not by a script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.domain.evaluation_event import CalibrationFound
from harness.domain.event import Event
from harness.domain.model import Role
from harness.report import text as words
from harness.report.evaluation import of
from harness.report.sketch import straight

WIDTH, HEIGHT = 420.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 24.0, 10.0, 92.0
"""Below the curve, how many rows have which probability."""
BARS: Final = 36.0
TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A bin of rows: where it lies, its interval, and what it says of itself."""

    x: float
    y: float
    low: float
    high: float
    bar: float
    """Height of its bar, from the candidate's share of rows."""
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """What was seen against what was said, of one model."""

    role: Role
    path: str
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Picture:
    """The curves of both models in one frame."""

    curves: Sequence[Curve]
    summary: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM
    floor: float = HEIGHT - 34
    """Where the bars stand."""
    across: Sequence[tuple[float, str]] = ()
    up: Sequence[tuple[float, str]] = ()


def picture(events: Sequence[Event]) -> Picture | None:
    """The calibration of the models that have probabilities; None where it was not asked for."""
    found = of(events, CalibrationFound)
    if not found:
        return None
    curves = [_curve(each) for each in found]
    told = "; ".join(f"{each.role.value} is off by {words.share(each.ece)} on average" for each in found)
    return Picture(
        curves=curves,
        summary=f"On the dotted line, of rows that are given 70%, 70% are positive: {told}. Lines are 95% intervals.",
        across=tuple((_x(at), words.share(at)) for at in TICKS),
        up=tuple((_y(at), words.share(at)) for at in TICKS),
    )


def _curve(found: CalibrationFound) -> Curve:
    points = [(_x(each.predicted), _y(each.seen)) for each in found.bins]
    most = max(each.rows for each in found.bins)
    marks = [
        Mark(
            *point,
            low=_y(each.lower),
            high=_y(each.upper),
            bar=round(BARS * each.rows / most, 1),
            label=f"{found.role.value}: {words.share(each.predicted)} said, {words.share(each.seen)} seen, "
            f"{each.rows:,} rows",
        )
        for point, each in zip(points, found.bins, strict=True)
    ]
    return Curve(found.role, straight(points), marks)


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM), 1)
