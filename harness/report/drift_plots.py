"""The distributions of reference and current data, drawn over each other: one picture for each column."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from harness.domain.drift import ColumnDrift, Columns, Detector, Distribution, DriftReport
from harness.report import text as words
from harness.report.drift_chapters import NAMES, number, p_text

WIDTH: Final = 320.0
HEIGHT: Final = 150.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 18.0, 8.0, 20.0
LABELS: Final = 118.0
"""Room for the names of categories."""
BAR: Final = 8.0
ROW: Final = 25.0
LONGEST: Final = 18
"""Letters of a category that are shown."""
TICKS: Final = 4
MISSING: Final = "missing"
BETWEEN: Final = " to "
"""What the label of a bin that holds more than one value has in it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A category's share in one of the two data sets."""

    style: str
    x: float
    y: float
    width: float
    share: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A text on an axis."""

    x: float
    y: float
    text: str
    whole: str = ""
    """The text in full, where it is cut short."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A column, drawn."""

    id: str
    title: str
    drifted: bool
    summary: str
    """The same in words."""
    height: float
    area: str = ""
    """The reference's histogram, as a closed path."""
    line: str = ""
    """The current one, as a step curve."""
    bars: Sequence[Bar] = ()
    marks: Sequence[Mark] = ()
    names: Sequence[Mark] = ()
    """Of categories, to the left of their bars."""
    floor: float = HEIGHT - BOTTOM
    width: float = WIDTH


def pictures(report: DriftReport) -> list[Picture]:
    """Every column that can be drawn, the drifted first; answers and labels before the others."""
    told: list[tuple[ColumnDrift, str]] = []
    for detector in (Detector.PREDICTION, Detector.LABEL):
        part = report.parts.get(detector)
        if isinstance(part, Columns):
            told += [(column, f" ({NAMES[detector]})") for column in part.columns]
    told += [(column, "") for column in report.columns]
    told.sort(key=lambda each: not each[0].drifted)
    return [
        _picture(f"c{number}", column, column.distribution, what)
        for number, (column, what) in enumerate(told)
        if column.distribution and column.distribution.labels
    ]


def _picture(name: str, column: ColumnDrift, drawn: Distribution, what: str) -> Picture:
    title, summary = f"{column.name}{what}", _summary(column, drawn)
    if drawn.edges:
        return _numbers(name, title, column.drifted, summary, drawn)
    return _categories(name, title, column.drifted, summary, drawn)


def _summary(column: ColumnDrift, drawn: Distribution) -> str:
    said = f"{'Drifted' if column.drifted else 'Not drifted'}: p {p_text(column.adjusted_p_value)}, effect "
    said += number(column.effect)
    if drawn.labels[-1] == MISSING:
        said += f"; missing {words.share(drawn.reference[-1])}, now {words.share(drawn.current[-1])}"
    if column.new:
        said += f"; new: {', '.join(column.new)}"
    return f"{said}."


def _numbers(name: str, title: str, drifted: bool, summary: str, drawn: Distribution) -> Picture:
    """Shares of the bins by the height of steps; missing values are told in words, not drawn."""
    bins = len(drawn.edges) - 1
    low, high = drawn.edges[0], drawn.edges[-1]
    most = max(*drawn.reference[:bins], *drawn.current[:bins], 1e-9)
    floor = HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT)

    def path(shares: Sequence[float]) -> str:
        said = [f"M{_short(x(low))} {_short(floor)}"]
        for (_, right), share in zip(pairwise(drawn.edges), shares, strict=False):
            said.append(f"V{_short(floor - share / most * (floor - TOP))}H{_short(x(right))}")
        return f"{''.join(said)}V{_short(floor)}"

    marks = [Mark(round(x(value), 1), HEIGHT - 5, label) for value, label in _ticks(drawn)]
    marks.append(Mark(LEFT - 4, TOP + 8, words.share(most)))
    area, line = f"{path(drawn.reference)}Z", path(drawn.current)
    return Picture(name, title, drifted, summary, HEIGHT, area=area, line=line, marks=marks)


def _ticks(drawn: Distribution) -> list[tuple[float, str]]:
    """Where the axis is marked: a few of the values where each has a bin, else at equal distances."""
    bins = len(drawn.edges) - 1
    low, high = drawn.edges[0], drawn.edges[-1]
    if not any(BETWEEN in label for label in drawn.labels):
        apart = -(-bins // (TICKS + 2))
        middles = [(left + right) / 2 for left, right in pairwise(drawn.edges)]
        return list(zip(middles, drawn.labels, strict=False))[::apart]
    values = [low + (high - low) * place / (TICKS - 1) for place in range(TICKS)]
    return [(value, number(0.0 if abs(value) < (high - low) * 1e-3 else value)) for value in values]


def _categories(name: str, title: str, drifted: bool, summary: str, drawn: Distribution) -> Picture:
    """Two bars for each category, and the share at the end of each."""
    room = WIDTH - LABELS - RIGHT - 24
    most = max(*drawn.reference, *drawn.current, 1e-9)
    bars, names = [], []
    for place, label in enumerate(drawn.labels):
        top = TOP + place * ROW
        short = label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
        names.append(Mark(LABELS - 6, round(top + BAR + 4, 1), short, label))
        for style, shares, down in (("reference", drawn.reference, 0.0), ("current", drawn.current, BAR + 1)):
            wide = round(max(shares[place] / most * room, 0.5), 1)
            bars.append(Bar(style, LABELS, round(top + down, 1), wide, words.share(shares[place])))
    return Picture(name, title, drifted, summary, TOP + len(drawn.labels) * ROW + 4, bars=bars, names=names)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
