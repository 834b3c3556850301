"""What a comparison of two data sets came to, as values: the report of ``harness drift`` is made of these.

What decides and what is looked at are kept apart. Each part (`Tested`) decides by its own test at its own share of the
false-alarm rate; `DriftReport.score` is for people.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

REPORT_VERSION: Final = 1
THRESHOLD: Final = 0.1
"""A detected drift scores above, anything else at or below."""
LEAST_EFFECT: Final = 0.001
"""What a detected drift scores above the threshold by, however small its effect."""
DIGITS: Final = 9
OF_ROWS: Final = re.compile(r"\s*(share|missing)\s*\(")


class Detector(StrEnum):
    """What can look for drift."""

    STATISTICAL = "statistical"
    ML_BASED = "ml_based"
    DOMAIN_SPECIFIC = "domain_specific"
    RECONSTRUCTION = "reconstruction"
    PREDICTION = "prediction"
    LABEL = "label"


USUAL: Final = (Detector.STATISTICAL, Detector.ML_BASED, Detector.DOMAIN_SPECIFIC)


@dataclass(frozen=True, slots=True)
class DriftPlan:
    """The newest data, compared with a scenario's data set before models are trained."""

    current: str
    """Resolved path of a CSV (also gzipped) or Parquet file."""
    alpha: float = 0.01
    """The false-alarm rate over all detectors."""
    rules: tuple[str, ...] = ()
    """Domain rules, as written."""
    fail: bool = True
    """Whether drift refuses the candidate."""
    correction: str = "holm"
    detectors: tuple[Detector, ...] = USUAL


@dataclass(frozen=True, slots=True)
class Summary:
    """One column of one data set."""

    rows: int
    missing: float
    """Share of the rows."""
    mean: float | None = None
    deviation: float | None = None
    """Standard deviation, with n - 1."""
    median: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """The two histograms of a column over the same bins, to be drawn over each other."""

    labels: tuple[str, ...]
    """Of each bin; the last two of categories may be ``other`` and ``missing``."""
    reference: tuple[float, ...]
    """Share of the rows in each bin."""
    current: tuple[float, ...]
    edges: tuple[float, ...] = ()
    """Of a column of numbers: one more than it has bins of numbers; empty for categories."""


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """What was found of one column."""

    name: str
    kind: str
    """number or category."""
    test: str
    """What decided: kolmogorov_smirnov, chi_square, fisher_exact or missing_values; none: nothing could differ."""
    p_value: float
    """Of that test."""
    adjusted_p_value: float
    """Corrected for all tests of all columns of its part; compared with that part's alpha."""
    drifted: bool
    effect: float
    """In 0..1: the largest difference of the distribution functions (numbers), or half the sum of the differences of
    the shares (categories: total variation); at least the difference of the shares that are missing."""
    tests: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """ks_test, chi2_test, missing_test: statistic and p_value of each, uncorrected."""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """psi, jensen_shannon, wasserstein …"""
    reference: Summary | None = None
    current: Summary | None = None
    distribution: Distribution | None = None
    new: tuple[str, ...] = ()
    """Categories that the reference never has, the most frequent first."""

    def as_json(self) -> dict[str, Any]:
        """As users' programs read it."""
        shown: dict[str, Any] = {"drifted": self.drifted, "kind": self.kind, **self.tests, **self.figures}
        shown |= {"decided_by": self.test, "p_value": self.p_value, "adjusted_p_value": self.adjusted_p_value}
        shown["effect"] = self.effect
        for name, summary in (("reference", self.reference), ("current", self.current)):
            if summary:
                shown[name] = {key: value for key, value in _fields(summary).items() if value is not None}
        if self.new:
            shown["new_categories"] = list(self.new)
        return shown


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns, each by its own test, corrected for their number."""

    columns: tuple[ColumnDrift, ...]
    alpha: float
    """Of all of them together."""
    correction: str
    absent: tuple[str, ...] = ()
    """Columns of the reference that the current data lack: drift, whatever the tests say."""

    @property
    def drifted(self) -> bool:
        """Whether any did."""
        return bool(self.absent) or any(column.drifted for column in self.columns)

    @property
    def effect(self) -> float:
        """The greatest: of what drifted, if anything did."""
        if self.absent:
            return 1.0
        counted = [column for column in self.columns if column.drifted == self.drifted]
        return max((column.effect for column in counted), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """As users' programs read it."""
        return {
            "drifted": self.drifted,
            "alpha": self.alpha,
            "correction": self.correction,
            "effect": self.effect,
            "columns": {column.name: column.as_json() for column in self.columns},
            "absent": list(self.absent),
        }


@dataclass(frozen=True, slots=True)
class ClassifierDrift:
    """What a classifier that tells the two data sets apart came to."""

    auc: float | None
    """0.5: it cannot. None: there were too few rows to try."""
    p_value: float | None
    drifted: bool
    alpha: float
    importance: Mapping[str, float] = field(default_factory=dict)
    """How much of what it tells them apart by is each column's; they sum to 1, or are all 0."""
    reference_rows: int = 0
    """That it saw: a sample, where there are more."""
    current_rows: int = 0
    note: str = ""

    @property
    def effect(self) -> float:
        """``2 AUC - 1``, or 0 where that is negative."""
        return 0.0 if self.auc is None else max(2 * self.auc - 1, 0.0)

    def as_json(self) -> dict[str, Any]:
        """As users' programs read it."""
        return {**_fields(self), "effect": self.effect, "importance": dict(self.importance)}


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """A domain rule, and what it came to on the current data."""

    text: str
    column: str
    value: float | None
    """None: there was nothing to compute it of."""
    reference: float | None
    """The same figure of the reference."""
    bound: str
    """What the value is held to, in figures."""
    passed: bool

    @property
    def of_rows(self) -> bool:
        """Whether its figure is a share of the rows."""
        return OF_ROWS.match(self.text) is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """The domain rules. A broken one is drift because the user says so: it takes nothing of the false-alarm rate."""

    rules: tuple[RuleVerdict, ...]

    @property
    def drifted(self) -> bool:
        """Whether one is broken."""
        return any(not rule.passed for rule in self.rules)

    @property
    def effect(self) -> float:
        """The share of the rules that are broken."""
        return sum(not rule.passed for rule in self.rules) / len(self.rules) if self.rules else 0.0

    def as_json(self) -> dict[str, Any]:
        """As users' programs read it."""
        return {"drifted": self.drifted, "effect": self.effect, "rules": [_fields(rule) for rule in self.rules]}


@dataclass(frozen=True, slots=True)
class ReconstructionDrift:
    """How well components fitted on the reference describe the current rows."""

    components: int
    variance: float
    """Share of the reference's variance that they keep."""
    reference_error: float | None
    """Median over reference rows that they were not fitted on."""
    current_error: float | None
    statistic: float | None
    """Of Kolmogorov and Smirnov, between the two sets of errors."""
    p_value: float | None
    drifted: bool
    alpha: float
    note: str = ""

    @property
    def effect(self) -> float:
        """The statistic."""
        return self.statistic or 0.0

    def as_json(self) -> dict[str, Any]:
        """As users' programs read it."""
        return {**_fields(self), "effect": self.effect}


Tested = Columns | ClassifierDrift | Rules | ReconstructionDrift


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Two data sets, compared."""

    reference_rows: int
    current_rows: int
    parts: Mapping[Detector, Tested]
    """What each detector found, in the order they were asked."""
    alpha: float
    """The false-alarm rate of the whole comparison."""
    recommendations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know of how it was made: samples, sketches, what was left out."""
    reference: str = ""
    """Where the reference comes from: a file's name."""
    current: str = ""
    every_s: float | None = None
    """How often it is made, in seconds; None where nobody said."""
    threshold: float = THRESHOLD

    @property
    def drift_detected(self) -> bool:
        """Whether any part drifted: what decides."""
        return any(part.drifted for part in self.parts.values())

    @property
    def drift_score(self) -> float:
        """For people; see `score_of`."""
        return score_of(self.parts.values())

    @property
    def columns(self) -> tuple[ColumnDrift, ...]:
        """Of the statistical part."""
        part = self.parts.get(Detector.STATISTICAL)
        return part.columns if isinstance(part, Columns) else ()

    @property
    def expected_false_alarms_per_month(self) -> float | None:
        """How often undrifted data are called drifted in 30 days, if compared so often: at most this."""
        return None if self.every_s is None else self.alpha * 30 * 86_400 / self.every_s

    def as_json(self) -> dict[str, Any]:
        """As users' programs read it: only what JSON has, figures to nine digits."""
        shown: dict[str, Any] = {
            "version": REPORT_VERSION,
            "drift_detected": self.drift_detected,
            "drift_score": self.drift_score,
            "threshold": self.threshold,
            "alpha": self.alpha,
            "reference_rows": self.reference_rows,
            "current_rows": self.current_rows,
            "individual_results": {detector.value: part.as_json() for detector, part in self.parts.items()},
            "recommendations": list(self.recommendations),
            "notes": list(self.notes),
        }
        if self.every_s is not None:
            shown["every_s"] = self.every_s
            shown["expected_false_alarms_per_month"] = self.expected_false_alarms_per_month
        kept: dict[str, Any] = plain(shown)
        return kept


class Judged(Protocol):
    """Anything that decided, and has a size."""

    @property
    def drifted(self) -> bool:
        """Whether there was drift."""
        ...

    @property
    def effect(self) -> float:
        """Its size, in 0..1."""
        ...


def score_of(parts: Iterable[Judged]) -> float:
    """A drift's size in 0..1, the greatest of the parts' effects e, on the right side of the threshold 0.1.

    Where drift was detected, e is the greatest among the parts that detected it, and the score ``0.1 + 0.9 e`` (e at
    least 0.001). Where it was not, the score is ``0.1 e``. So a score above 0.1 and a detected drift are the same.

    >>> score_of([ClassifierDrift(0.75, 0.001, drifted=True, alpha=0.01)])
    0.55
    >>> score_of([ClassifierDrift(0.75, 0.2, drifted=False, alpha=0.01)])
    0.05
    """
    told = list(parts)
    if any(part.drifted for part in told):
        alarmed = max(part.effect for part in told if part.drifted)
        return THRESHOLD + (1 - THRESHOLD) * min(max(alarmed, LEAST_EFFECT), 1.0)
    return THRESHOLD * min(max((part.effect for part in told), default=0.0), 1.0)


def _fields(value: Any) -> dict[str, Any]:
    """A value's fields by name; an empty note is left out."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__ if name != "note" or value.note}


def plain(value: Any) -> Any:
    """What JSON has: figures to nine digits, and null for those that are none.

    >>> plain({"a": (1, float("nan"), 0.12345678912345)})
    {'a': [1, None, 0.123456789]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
