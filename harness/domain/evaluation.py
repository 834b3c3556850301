"""What is asked of a model beyond its figures on all held-out rows together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

MIN_ROWS: Final = 30
"""A slice with fewer rows is counted, and not compared."""
MOST_RESAMPLES: Final = 100_000
"""Of a bootstrap, and times that anything is shuffled or asked: the ends of a normal 95 % interval then have a standard
error of 0.2 % of its width; more cost time and memory and tell nothing."""


# --- what is asked ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """Rows grouped by one column, or by two together."""

    columns: tuple[str, ...]
    bins: int = 4
    """Quantile bins of a column of numbers with more values than that."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """Changing a column must not change the answer."""

    column: str
    at_most: float = 0.0
    """The share of rows in which it may all the same."""
    tolerance: float = 0.0
    """How far the answer of a regression may move and count as unchanged, in its unit."""


@dataclass(frozen=True, slots=True)
class Directional:
    """Raising (or lowering) a number must not move the prediction one way."""

    column: str
    by: float
    """Added to the column; negative to lower it."""
    must_not: Literal["lower", "raise"]
    """What must not happen to the probability of the positive class, or to the value."""
    at_most: float = 0.0


@dataclass(frozen=True, slots=True)
class Cases:
    """Rows whose answers are known beforehand, in a file."""

    path: str
    """Resolved path of a CSV (also gzipped) or Parquet file with the target as a column."""
    at_most: float = 0.0
    """The share that may be answered wrong."""
    tolerance: float = 0.0
    """How far the answer of a regression may lie from the expected one, in its unit."""


Behaviour = Invariant | Directional | Cases


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What the candidate is asked on the held-out rows."""

    intervals: int = 0
    """Resamples of the bootstrap; 0: none."""
    slices: tuple[SlicePlan, ...] = ()
    min_rows: int = MIN_ROWS
    calibration: bool = False
    importance: int = 0
    """How often each column is shuffled; 0: never."""
    behaviour: tuple[Behaviour, ...] = ()
    metric: str | None = None
    """What slices are compared by and importance is a drop of; None: f1, or rmse of a regression."""
    level: float = 0.95


# --- what was found ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """A figure and its interval."""

    value: float
    lower: float
    upper: float
    method: str


@dataclass(frozen=True, slots=True)
class SliceFound:
    """One slice."""

    name: str
    rows: int
    metrics: Mapping[str, float | None]
    """None where its rows do not define one."""
    interval: Bounds | None = None
    """Of the metric that slices are compared by; None where it was not asked for, or has none."""
    compared: bool = True
    """It has enough rows to be compared."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows whose probabilities lie close together."""

    rows: int
    predicted: float
    """Their mean probability."""
    seen: float
    """How many of them are positive, as a share."""
    lower: float
    """Wilson's 95 % interval of what was seen."""
    upper: float


@dataclass(frozen=True, slots=True)
class ColumnImportance:
    """How much a metric loses where a column is shuffled."""

    column: str
    drop: float
    sd: float
    """Of the drop, from shuffle to shuffle."""
