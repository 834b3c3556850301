"""What a result tells beside the steps of one rollout: people, checks, tests, alarms, and one rollout after another.

All times are seconds since users' traffic began, unless a field says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.domain.load import SloVerdict
from harness.domain.model import Role
from harness.domain.rollout import Finding, Outcome
from harness.report import text as words


@dataclass(frozen=True, slots=True)
class Check:
    """A check that a step, or staging, asked for."""

    at_s: float
    rollout: int
    """Number of the rollout it was made in; 0: before the first."""
    name: str
    text: str
    passed: bool
    value: float | None
    bound: str
    detail: str


@dataclass(frozen=True, slots=True)
class LoadTest:
    """A load test that the candidate stood before it met users."""

    at_s: float
    """When it was over."""
    rollout: int
    """Number of the rollout it was made in; 0: before the first."""
    stage: str
    """staging, or load."""
    mode: str
    """open, or closed."""
    arrivals: str
    rate_per_s: float | None
    """Asked for; None: of a closed loop."""
    achieved_rate: float | None
    users: int | None
    think_s: float
    duration_s: float
    warmup_s: float
    sent: int
    not_sent: int
    failed: int
    in_flight: int
    errors: Mapping[str, int]
    figures: Mapping[str, float | None]
    """Latencies in seconds, rates and shares, by metric name."""
    service: Mapping[str, float | None]
    lag: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]]
    grade: str | None
    min_grade: str | None
    slos: tuple[SloVerdict, ...]
    spoiled: str
    notes: tuple[str, ...]
    url: str
    """Empty: the candidate's simulated servers."""

    @property
    def asked(self) -> str:
        """What it asked, in words."""
        if self.rate_per_s is None:
            think = f", thinking {words.span(self.think_s)}" if self.think_s else ""
            return f"{words.plural(self.users or 0, 'user')}{think}"
        spread = "" if self.arrivals == "constant" else f" {self.arrivals}"
        return f"{words.figure('rate', self.rate_per_s)}{spread}"

    @property
    def succeeded(self) -> int:
        """Requests that were answered well."""
        return self.sent - self.failed - self.in_flight


class Answer(StrEnum):
    """What came of waiting for a person."""

    APPROVED = "approve"
    REFUSED = "reject"
    PROMOTED = "promote"
    ABORTED = "abort"
    EXPIRED = "expired"
    OVERTAKEN = "overtaken"
    """Something else decided the rollout first."""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Approval:
    """A person was waited for, or spoke unasked."""

    rollout: int
    what: str
    asked_s: float | None
    """None: nobody had asked."""
    until_s: float | None
    """When the wait ends by itself; None: never."""
    answer: Answer = Answer.OPEN
    by: str = ""
    answered_s: float | None = None


@dataclass(frozen=True, slots=True)
class Alarm:
    """What was promoted did worse than a monitor allows."""

    at_s: float
    rollout: int
    monitor: str
    reason: str
    leads_to: str
    because: tuple[int, ...]
    """Sequence numbers of the measurements that it rests on."""


@dataclass(frozen=True, slots=True)
class Retraining:
    """A challenger was trained."""

    at_s: float
    rows: int
    newest: int
    better: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Somebody could not be told."""

    at_s: float
    channel: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class TrialLook:
    """A look at an A/B test, over all that was seen since it began."""

    at_s: float
    stable: float | None
    candidate: float | None
    answers: Mapping[Role, int]
    effect: float | None
    """Candidate less stable."""
    lower: float | None
    upper: float | None
    p_value: float | None
    users: Mapping[Role, int]
    mismatch_p: float | None
    finding: str
    reason: str

    @property
    def mismatched(self) -> bool:
        """Whether users were not split as they should be."""
        return self.finding == Finding.MISMATCH


@dataclass(frozen=True, slots=True)
class Trial:
    """An A/B test: what it was planned to take, and every look at it."""

    rollout: int
    began_s: float
    metric: str
    least_effect: float
    level: float
    power: float
    baseline: float | None
    needed: int | None
    needed_s: float | None
    looks: tuple[TrialLook, ...] = ()

    @property
    def last(self) -> TrialLook | None:
        """Where it stood at the end."""
        return self.looks[-1] if self.looks else None


@dataclass(frozen=True, slots=True)
class Passage:
    """One rollout of a run, from its beginning to how it ended."""

    number: int | None
    """None: the candidate was rejected before its rollout began."""
    began_s: float
    stable: str | None
    candidate: str | None
    adopted: bool = False
    """What was the candidate before is stable in this one."""
    challenger: bool = False
    """The candidate was trained anew after an alarm."""
    share_max: float = 0.0
    """The candidate's largest share of traffic that was in force for some time."""
    outcome: str | None = None
    """None: not decided."""
    reason: str = ""
    decided_s: float | None = None
    undone: str | None = None
    """What became of a promotion later: rolled_back, failed, aborted; None: it stood."""
    undone_reason: str = ""
    undone_s: float | None = None

    @property
    def promoted(self) -> bool:
        """Whether the candidate was promoted, whatever became of that."""
        return self.outcome == Outcome.PROMOTED

    @property
    def superseded(self) -> bool:
        """Whether a newer candidate took its place."""
        return self.outcome == Outcome.ABORTED and self.reason.startswith("superseded by")

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.superseded:
            return self.reason
        said = "under way" if self.outcome is None else self.outcome.replace("_", " ")
        return f"{said}, later {self.undone.replace('_', ' ')}" if self.undone else said
