"""Gates of a candidate as values: what each asks, and what it found.

A *plan* says what a gate asks; a scenario's ``model.gates`` or Python writes it. A *check* is one question with its
answer: one gate may ask several (a bound on demographic parity, another on equalised odds).
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from harness.domain import quantity
from harness.domain.analysis import Op, Unit
from harness.domain.units import SECOND

Cell = str | int | float | None
"""Of a table of details."""


@dataclass(frozen=True, slots=True)
class Details:
    """What a check rests on, as a table: groups, perturbations, findings."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """What the figures are, and by which convention."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question that a gate asked, and the answer."""

    name: str
    """Of the gate, and of the question where it asks several: ``fairness.demographic_parity``."""
    text: str
    """What was asked, as a reader wrote or would write it."""
    passed: bool
    reason: str
    """Why, with the figures it rests on; of a measurement by the wall clock, without them."""
    value: float | None = None
    """None where nothing could be measured, and of what the wall clock measured."""
    bound: str = ""
    stable: float | None = None
    """Stable's own figure, where the question compares."""
    interval: tuple[float, float] | None = None
    details: Details | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    """By the wall clock, in seconds: differs from run to run, and is no part of what a run means."""


# --- bounds -----------------------------------------------------------------------------------------------------------

_HOLDS: Final[Mapping[Op, Callable[[float, float], bool]]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
}
_LIMIT: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*")
_SIZE: Final = re.compile(rf"({quantity.NUMBER})\s*([kMG]i?)?B", re.ASCII)
_PREFIX: Final = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "ki": 2**10, "Mi": 2**20, "Gi": 2**30}


class Measure(StrEnum):
    """What a bound is measured in."""

    NUMBER = "number"
    SHARE = "share"
    DURATION = "duration"
    SIZE = "size"


EXAMPLES: Final = {
    Measure.NUMBER: ">= 0.8",
    Measure.SHARE: "<= 10%",
    Measure.DURATION: "< 20ms",
    Measure.SIZE: "< 5MB",
}
OF_UNIT: Final = {Unit.SHARE: Measure.SHARE, Unit.SECONDS: Measure.DURATION}
"""What the bound of a metric is measured in; a number where its unit is not here."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound: ``<= 10%``, ``< 20ms``."""

    op: Op
    value: float
    """In base units: shares, seconds, bytes."""
    text: str

    def holds(self, value: float) -> bool:
        """Whether a figure keeps it; one that is no number does not."""
        return not math.isnan(value) and _HOLDS[self.op](value, self.value)

    def holds_over(self, interval: tuple[float, float]) -> bool:
        """Whether every figure of an interval keeps it.

        >>> limit_of("<= 10%", Measure.SHARE).holds_over((0.02, 0.12))
        False
        """
        return all(self.holds(end) for end in interval)


def limit_of(text: object, measure: Measure = Measure.NUMBER) -> Limit:
    """The bound of a text.

    >>> limit_of("<= 10%", Measure.SHARE).value, limit_of("< 20ms", Measure.DURATION).value
    (0.1, 0.02)
    >>> limit_of("< 5MB", Measure.SIZE).value
    5000000.0

    Raises:
        ValueError: it is none; the message says what is.
    """
    found = _LIMIT.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f'a bound is a comparison and a figure, in quotes: "{EXAMPLES[measure]}"')
    return Limit(Op(found[1]), _READ[measure](found[2]), " ".join(found.groups()))


def size_bytes(text: str) -> float:
    """Bytes of a size; kB is 1,000 bytes and kiB 1,024.

    >>> size_bytes("5MB"), size_bytes("1kiB")
    (5000000.0, 1024.0)
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError("a size is a number with a unit: 800kB, 5MB or 1GiB")
    return float(found[1]) * _PREFIX[found[2]]


def _share(text: str) -> float:
    return quantity.share(float(text) if re.fullmatch(quantity.NUMBER, text, re.ASCII) else text)


def _number(text: str) -> float:
    if not re.fullmatch(rf"-?{quantity.NUMBER}", text, re.ASCII):
        raise ValueError(f"{text!r} is no number; write 0.8, or a percentage where a share is meant: 80%")
    return float(text)


_READ: Final[Mapping[Measure, Callable[[str], float]]] = {
    Measure.NUMBER: _number,
    Measure.SHARE: _share,
    Measure.DURATION: lambda text: quantity.duration_ns(text) / SECOND,
    Measure.SIZE: size_bytes,
}


# --- plans ------------------------------------------------------------------------------------------------------------


class Undecided(StrEnum):
    """What becomes of a candidate that the rows can neither clear nor convict."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"


class Against(StrEnum):
    """Which of the earlier versions a candidate is held against."""

    BEST = "best"
    MEDIAN = "median"


class Judge(StrEnum):
    """What a bound is held against."""

    POINT = "point"
    """The figure on the held-out rows."""
    INTERVAL = "interval"
    """All of its interval: what the rows do not show to keep the bound is refused."""


@dataclass(frozen=True, slots=True)
class NoRegression:
    """The candidate is not worse than stable on the same held-out rows."""

    metric: str = "accuracy"
    level: float = 0.05
    """One-sided."""
    margin: float = 0.0
    """How much worse is borne, in the metric's unit."""
    undecided: Undecided = Undecided.PASS
    resamples: int = 1000


@dataclass(frozen=True, slots=True)
class History:
    """The candidate is not worse than earlier versions of the registry were on their held-out rows."""

    metric: str
    against: Against = Against.BEST
    last: int = 5
    """Versions, the newest, that have the metric."""
    margin: float = 0.0
    same_data: bool = False
    """Only versions that were trained on the same data set."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """The candidate treats groups alike."""

    columns: tuple[str, ...]
    """Sensitive columns; of several, groups are their combinations."""
    limits: Mapping[str, Limit]
    """By the word of a figure (`harness.gates.fairness.FIGURES`)."""
    judge: Judge = Judge.POINT
    level: float = 0.05
    """The intervals hold the figure in all but this share of cases."""
    min_rows: int = 30
    """Smaller groups are told and left out."""
    resamples: int = 1000


@dataclass(frozen=True, slots=True)
class Latency:
    """How long the model takes to answer here, by the wall clock."""

    limits: Mapping[str, Limit]
    """By percentile of one row at a time (``p50``), or ``batch``: the median of a batch."""
    batch_rows: int = 256
    repeats: int = 50
    rounds: int = 3
    """The quietest of them is judged."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large the artifact is."""

    limit: Limit


@dataclass(frozen=True, slots=True)
class Robustness:
    """How much of a metric is lost on rows that were tampered with."""

    metric: str
    drop: float
    """The largest loss that is borne, in the metric's unit."""
    noise_sd: float = 0.1
    """Standard deviations of noise that are added to each column of numbers."""
    missing: float = 0.05
    """Share of the cells that are emptied."""
    unknown: float = 0.05
    """Share of the categories that are replaced by one that nobody has seen."""
    extreme: float = 0.01
    """Share of the numbers that are moved far out."""
    extreme_sd: float = 10.0


@dataclass(frozen=True, slots=True)
class Security:
    """What the artifact holds: nothing in it is run to be looked at."""

    allow: tuple[str, ...] = ()
    """Types and functions that are trusted beside those known to be harmless: ``module.name``."""
    max_bytes: int = 500_000_000
    """Of the file, and of what it unpacks to."""
    max_ratio: float = 200.0
    """How many bytes may be unpacked of one."""
    pickles: bool = False
    """A pickle may pass, where all that it imports is known to be harmless."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model card is there and complete."""

    path: str
    """Resolved."""
    require: tuple[str, ...] = ()
    """Sections beside the usual ones."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that something else wrote says what it should."""

    path: str
    """Resolved."""
    reader: str
    """`harness.gates.reports.READERS`."""
    limit: Limit
    value: str = ""
    """Of a JSON file: where the figure is, ``$.totals.percent_covered``."""
    max_age_ns: int | None = None
    """An older file says nothing of this candidate."""


GatePlan = NoRegression | History | Fairness | Latency | Size | Robustness | Security | ModelCard | Report
