"""Rules, verdicts and the analysis policy of a rollout."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.domain.units import MINUTE


class Verdict(StrEnum):
    """What a look concluded, as in Argo Rollouts: four values."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    """Measured, not enough to decide."""
    ERROR = "error"
    """Could not be measured."""


class Op(StrEnum):
    """Comparison operators of a rule."""

    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    EQ = "=="
    NE = "!="


class Unit(StrEnum):
    """What a number in a rule is measured in; figures are kept in base units (seconds, shares, 1/s)."""

    NONE = ""
    SECONDS = "s"
    SHARE = "share"
    RATE = "1/s"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Absolute:
    """A bound that is a number in base units, or a word (``rolled_back``)."""

    value: float | str


@dataclass(frozen=True, slots=True)
class Relative:
    """A bound relative to stable's own figure: ``stable``, ``stable + N``, ``stable - N`` or ``stable * N``."""

    factor: float = 1.0
    offset: float = 0.0
    """In base units; a share adds percentage points."""


Bound = Absolute | Relative


@dataclass(frozen=True, slots=True)
class Comparison:
    """``METRIC OP BOUND``."""

    metric: str
    op: Op
    bound: Bound


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary of a condition."""

    of: "Condition"


@dataclass(frozen=True, slots=True)
class And:
    """Every one of the conditions."""

    of: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the conditions."""

    of: tuple["Condition", ...]


Condition = Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition as the user wrote it, and as parsed."""

    text: str
    condition: Condition


class NoData(StrEnum):
    """What a rollout does while its looks find too little to judge by."""

    HOLD = "hold"
    """Stay on the step until every rule has been judged at least once on it."""
    IGNORE = "ignore"
    """Go on as if nothing were wrong (Argo's background analysis)."""
    FAIL = "fail"
    """Count the look as failed (Flagger)."""


UNKNOWN = "the metric source says nothing of"
"""How the reason of a look begins whose source answered, and knew no figure (NaN, or no series)."""


@dataclass(frozen=True, slots=True)
class AnalysisPolicy:
    """Background analysis: look again and again, roll back after too many failures.

    The limits count as Argo Rollouts does: a rule fails when it failed on *more than* ``failure_limit`` looks, and
    errs after more than ``error_limit`` errors in a row.
    """

    rules: tuple[Rule, ...]
    every_ns: int = MINUTE
    window_ns: int = MINUTE
    """Each look at ``t`` judges what was answered in ``[t - window, t)``."""
    min_requests: int = 1
    """Answers (for quality: labelled answers) that each arm must have in the window; fewer: inconclusive."""
    failure_limit: int = 0
    error_limit: int = 4
    no_data: NoData = NoData.HOLD
    inconclusive_limit: int | None = None
    """With more looks in a row that could not judge a rule, the rollout pauses for a person; None: never."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What an A/B test asks: is the candidate better by this metric, and does it harm none of the others?

    The decision rests on all that was seen since the test began, and is valid however often it is looked at.
    """

    primary: str
    """The metric that decides: a share (``success_rate``, ``error_rate``, ``accuracy``) or the ``mean`` latency."""
    least_effect: float
    """The smallest difference worth finding, in the metric's unit; the test is planned and tuned for it."""
    level: float = 0.05
    """How often a difference may be found where there is none."""
    power: float = 0.8
    """How often the smallest difference is to be found, by the sample that is planned."""
    mismatch_level: float = 0.001
    """How often a sample ratio mismatch may be found where there is none."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One rule at one look: the figures it rests on, and its verdict."""

    rule: str
    metric: str
    """The first metric of the rule that decided; the only one, for a plain rule."""
    verdict: Verdict
    reason: str
    candidate: float | None
    stable: float | None
    bound: float | None
    requests: Mapping[str, int]
    """Answers behind the figures, by role."""
