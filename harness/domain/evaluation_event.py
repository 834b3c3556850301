"""What was found of a model beyond its figures on all held-out rows, as events: told only where a scenario asks."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.domain.evaluation import Bounds, CalibrationBin, ColumnImportance, SliceFound
from harness.domain.event import Event
from harness.domain.model import Role


@dataclass(frozen=True, slots=True)
class IntervalsFound(Event):
    """How sure the metrics of a model are."""

    role: Role
    rows: int
    resamples: int
    level: float
    intervals: Mapping[str, Bounds]
    difference: Mapping[str, Bounds]
    """Candidate minus stable, paired by rows; only with the candidate's."""


@dataclass(frozen=True, slots=True)
class SlicesFound(Event):
    """How good a model is in parts of the held-out rows."""

    role: Role
    by: str
    """The columns."""
    metric: str
    overall: float
    slices: tuple[SliceFound, ...]
    worst: str | None
    """Among those with enough rows; None where there are none."""
    min_rows: int


@dataclass(frozen=True, slots=True)
class CalibrationFound(Event):
    """Whether a model's probabilities mean what they say."""

    role: Role
    rows: int
    ece: float
    """Expected calibration error over ten bins of equal width."""
    ece_equal_mass: float
    """Over ten bins of equally many rows."""
    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    bins: tuple[CalibrationBin, ...]
    """Of equal width, those that have rows."""


@dataclass(frozen=True, slots=True)
class ImportanceFound(Event):
    """Which columns a model's figures rest on."""

    role: Role
    metric: str
    baseline: float
    rows: int
    repeats: int
    columns: tuple[ColumnImportance, ...]
    """The most important first."""


@dataclass(frozen=True, slots=True)
class BehaviourFound(Event):
    """Whether a model behaves as it must where the right answer need not be known."""

    role: Role
    kind: str
    """invariant, directional or cases."""
    text: str
    rows: int
    failed: int
    share: float
    at_most: float
    passed: bool
    first: tuple[int, ...]
    """The first rows that failed: numbers in the data set from 0, or in the file of cases."""
    detail: str
    """What happened in the first of them."""
