"""What is asked of training beyond one model, and what came of it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from harness.domain.features import FeatureSet

DEFAULT_FOLDS: Final = 5
LEVEL: Final = 0.95
"""Of the intervals of cross-validated figures."""


class Split(StrEnum):
    """How rows are cut into folds."""

    STRATIFIED = "stratified"
    """At random, each class alike: of classification."""
    RANDOM = "random"
    """At random."""
    GROUP = "group"
    """At random, all rows of a group in one fold."""
    TIME = "time"
    """In order: each fold is judged on what follows all that it learned from."""


@dataclass(frozen=True, slots=True)
class FoldsPlan:
    """How often, and how, training rows are cut into some to learn from and some to be judged on."""

    folds: int = DEFAULT_FOLDS
    split: Split | None = None
    """None: stratified for classification, else random."""
    group: str = ""
    """The column that names the groups; only of `Split.GROUP`."""
    gap: int = 0
    """Rows left out between those learned from and those judged on; only of `Split.TIME`."""


# --- tuning -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values: numbers, texts, booleans or None."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int
    step: int = 1
    log: bool = False


@dataclass(frozen=True, slots=True)
class Real:
    """A number from `low` to `high`."""

    low: float
    high: float
    step: float | None = None
    """None: any in between."""
    log: bool = False
    """Spread evenly over its magnitudes, not its values."""


Range = Choice | Whole | Real


class Sampler(StrEnum):
    """Who says which parameters are tried next."""

    TPE = "tpe"
    """Tree-structured Parzen estimators (Bergstra et al., 2011), as optuna has them."""
    RANDOM = "random"
    GRID = "grid"
    """Every combination, in the order of the space, the last parameter first."""


@dataclass(frozen=True, slots=True)
class TunePlan:
    """A search for parameters."""

    space: Mapping[str, Range]
    metric: str
    """What is made best: a quality metric, its mean over the folds."""
    trials: int = 20
    """At most."""
    folds: FoldsPlan = field(default_factory=FoldsPlan)
    sampler: Sampler = Sampler.TPE
    prune: bool = True
    """Give a trial up after a fold where it stands worse than the median of those before it."""
    workers: int = 1
    """Processes; the result does not depend on it."""
    limit_ns: int | None = None
    """Real time that a trial may train; one that takes longer has failed. None: no limit."""
    storage: str | None = None
    """An SQLite file that keeps each trial as soon as it is over, so that a search that was cut off goes on."""


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    """Given up after some folds, for it stood badly."""
    FAILED = "failed"
    """Its parameters cannot be trained with, or what is sought could not be measured."""
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters that was tried."""

    number: int
    """Counted from 0."""
    params: Mapping[str, Any]
    """Of the search; the fixed ones stand elsewhere."""
    value: float | None
    """Mean of what is sought over all folds; None where the trial did not get so far."""
    folds: tuple[float, ...]
    """What is sought, fold by fold, as far as it got."""
    state: TrialState
    detail: str = ""
    """Why it failed."""


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over folds, with its interval (`harness.training.folds.estimate`)."""

    mean: float
    sd: float
    """Sample standard deviation over the folds."""
    standard_error: float
    """Corrected for folds that share rows (Nadeau & Bengio, 2003)."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """One of several ways to train a model."""

    name: str
    algorithm: str
    params: Mapping[str, Any] = field(default_factory=dict)
    features: FeatureSet | None = None
    """What it sees of each column; None: what is usual."""
    tune: TunePlan | None = None


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A training run as a tracker keeps it."""

    run_id: str
    name: str
    experiment: str
    status: str
    started: str
    """UTC, ISO 8601; empty where the tracker does not say."""
    duration_s: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
