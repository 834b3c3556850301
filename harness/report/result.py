"""What a run came to, folded from its event log alone; every form of a report shows these values and no others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from harness.domain.analysis import Verdict
from harness.domain.drift_event import DataDriftChecked
from harness.domain.event import ArmTotals, Event
from harness.domain.model import Role
from harness.domain.quality import Failure
from harness.domain.resume_event import Resumed
from harness.domain.scenario import Scenario
from harness.report.gating import GateDetail
from harness.report.lifecycle import Alarm, Approval, Check, LoadTest, Passage, Retraining, Trial, Undelivered

UNFINISHED = "unfinished"
"""Stands where an outcome would, for a log that stops before its run ended."""

DRIFTED: Final = 0.1
"""A column, or a model's answers, at this distance or farther are said to have drifted."""

Actual = float | int | str | None
Points = tuple[tuple[float, float], ...]
"""(seconds since traffic began, value)."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the scenario expected, and what was."""

    text: str
    passed: bool
    actual: Actual | Mapping[str, Actual]
    """The metric's value; by metric name where the expectation joins several."""
    expected: str = ""
    """The text without the metric, for ``expected …, was …``; the whole text where several are joined."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate before deployment."""

    name: str
    text: str
    passed: bool
    value: float | None
    stable: float | None
    bound: str


@dataclass(frozen=True, slots=True)
class Look:
    """A rule judged at one look."""

    number: int
    """Sequence number of its event."""
    at_s: float
    """Since traffic began."""
    rule: str
    metric: str
    verdict: Verdict
    reason: str
    candidate: float | None
    stable: float | None
    bound: float | None
    requests: Mapping[Role, int]
    failures: int
    weight: int
    """Of the candidate, at that instant."""
    rollout: int = 1
    """Number of the rollout."""
    step: int | None = None
    """None: of the analysis in the background; >= 0: of that step's own; < 0: of a monitor, -1 - its number."""

    @property
    def scope(self) -> tuple[int, int | None]:
        """The analysis that it is a look of."""
        return self.rollout, self.step


@dataclass(frozen=True, slots=True)
class RuleTally:
    """All looks at one rule by one analysis."""

    rule: str
    metric: str
    passed: int
    failed: int
    inconclusive: int
    errors: int
    shown: Look
    """The look whose figures stand for the rule: the last that failed; else the last that had both; else the last."""
    by: str = ""
    """Which analysis, where it is not the one in the background of the only rollout."""

    @property
    def looks(self) -> int:
        """How often it was judged."""
        return self.passed + self.failed + self.inconclusive + self.errors


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the lifecycle."""

    name: str
    started_s: float
    """Since the run began."""
    simulated_s: float | None
    """None where it did not end."""
    status: str
    detail: str
    wall_s: float


class Mark(StrEnum):
    """What a vertical marker in a plot stands for."""

    STEP = "step"
    FAULT = "fault"
    FAULT_ENDED = "fault_ended"
    REPLICA = "replica"
    HELD = "held"
    APPROVAL = "approval"
    ALARM = "alarm"
    RETRAINING = "retraining"
    ROLLOUT = "rollout"
    DECISION = "decision"


@dataclass(frozen=True, slots=True)
class Marker:
    """An instant worth a line in every plot."""

    at_s: float
    """Since traffic began."""
    mark: Mark
    label: str
    """Short, for the plot."""
    text: str
    """In full, for the key beside it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the run's diary."""

    at_s: float
    """Since the run began."""
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model, as trained or brought; its role is the one it came in."""

    role: Role
    source: str
    algorithm: str
    params: Mapping[str, str]
    digest: str
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """On the held-out rows."""
    revision: str = ""
    """In the registry; empty where it never came there."""


@dataclass(frozen=True, slots=True)
class Data:
    """The data set."""

    source: str
    rows: int
    columns: int
    train_rows: int
    test_rows: int
    missing: Mapping[str, int]
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """One feature as the arms were asked it, or one model's answers, beside those of the held-out rows.

    Shares by bin, figures as the log keeps them.
    """

    name: str
    bins: tuple[str, ...]
    reference: tuple[float, ...]
    shares: Mapping[Role, tuple[float, ...]]
    drift: Mapping[Role, float]

    @property
    def widest(self) -> float:
        """The largest share of any bin."""
        return max([*self.reference, *(share for shares in self.shares.values() for share in shares)]) or 1.0

    @property
    def most(self) -> float:
        """The drift of the arm that drifted more."""
        return max(self.drift.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Series:
    """What both arms did, look by look; columns of equal length."""

    at_s: tuple[float, ...] = ()
    """End of each window, since traffic began."""
    arms: Mapping[Role, Mapping[str, tuple[float | None, ...]]] = field(default_factory=dict)
    """By role and name: the figures, and ``weight requests failed labelled``."""
    share: Points = ()
    """The candidate's weight from each instant on, in 0..1; of the candidate of the time, where there were several."""
    copied: Points = ()
    """The share of stable's requests that was copied to the candidate, from each instant on; empty where none was."""
    bounds: Mapping[str, Points] = field(default_factory=dict)
    """By rule: the bound that each look was judged by."""

    def has(self, metric: str) -> bool:
        """Whether any arm has a figure of that name."""
        return any(value is not None for arm in self.arms.values() for value in arm.get(metric, ()))


@dataclass(frozen=True, slots=True)
class Unstarted:
    """A scenario whose run failed before its first event: there is no log, and nothing to fold."""

    name: str
    path: str
    reason: str
    seed: int | None = None
    clock: str | None = None
    outcome: str = "error"
    passed: bool = False

    @classmethod
    def of(cls, scenario: Scenario, reason: str) -> "Unstarted":
        """Of that scenario."""
        return cls(scenario.name, scenario.path, reason, scenario.seed, scenario.clock.value)


@dataclass(frozen=True, slots=True)
class Outage:
    """Something that the run depends on was not there, or said nothing."""

    at_s: float
    """When that was seen first, since traffic began."""
    until_s: float
    """When it was seen last."""
    what: str
    """replica, router, metrics, orders, or what was left undone."""
    text: str
    times: int
    """How often it was seen: looks, or notices that say the same."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run, told from its log."""

    # what was run
    name: str
    description: str
    path: str
    seed: int
    clock: str
    strategy: str
    steps: tuple[str, ...]
    plan: tuple[tuple[float, float], ...]
    """The weights foreseen: (seconds after the first weight, share)."""
    rules: tuple[str, ...]
    every_s: float
    window_s: float
    horizon_s: float
    faults: tuple[str, ...]
    text: str
    overrides: tuple[str, ...]
    run: str
    program: str
    started: str
    stable: str | None
    candidate: str | None
    models: tuple[Model, ...]
    data: Data | None

    # what came of it
    outcome: str | None
    """None: the log stops before the end."""
    reason: str
    passed: bool
    """Whether it ended as the scenario expected; without expectations: promoted, or kept stable as planned."""
    expectations: tuple[Expectation, ...]
    gates: tuple[Gate, ...]
    analysis: tuple[Look, ...]
    because: tuple[Look, ...]
    """The looks that the last decision rests on."""
    rollouts: tuple[Passage, ...]
    """In their order; empty where no traffic began."""
    checks: tuple[Check, ...]
    load_tests: tuple[LoadTest, ...]
    approvals: tuple[Approval, ...]
    trials: tuple[Trial, ...]
    """A/B tests, in their order."""
    alarms: tuple[Alarm, ...]
    retrainings: tuple[Retraining, ...]
    undelivered: tuple[Undelivered, ...]
    tallies: tuple[RuleTally, ...]
    held: tuple[str, ...]
    """Why steps were held."""
    escalated: tuple[str, ...]
    interrupted_by: str | None
    verified: bool | None
    """Whether the arm that kept the traffic was verified; None where that was never tried."""
    ended_on: Mapping[Role, int]
    """The weights at the end; empty where no traffic had begun."""

    # times, in seconds
    simulated_s: float
    wall_s: float
    timing_s: Mapping[str, float]
    stages: tuple[Stage, ...]
    traffic_from_s: float | None
    """When traffic began, since the run began."""
    exposed_at_s: float | None
    """When the (last) candidate got its first user request, since traffic began; None: it never got one."""
    decided_at_s: float | None
    """Since traffic began."""
    detected_after_s: float | None

    # cost
    requests: int | None
    """None: the log stops before they were counted."""
    candidate_requests: int | None
    candidate_share_max: float
    candidate_share_last: float
    """When it was decided, or where the log stops."""
    bad_responses: int | None
    """Of the candidate: failed, or wrong where stable would have been right."""
    failed_requests: int | None
    users_exposed: int | None
    """Users whom the candidate answered at least once; None where users are not known."""
    users_harmed: int | None
    """Of them, those who got a failure, or a wrong answer where stable's would have been right."""
    totals: Mapping[Role, ArmTotals]
    inputs: tuple[Input, ...]
    """The features as they were asked just before the decision, the farthest drifted first; empty where not known."""
    predictions: Mapping[Role, Input]
    """What each arm's model answered then, beside its answers to the held-out rows; empty where not known."""
    inputs_window_s: float

    # for the plots
    series: Series
    markers: tuple[Marker, ...]
    moments: tuple[Moment, ...]

    # where it is kept
    event_log: str | None
    event_digest: str
    report: str | None

    examined: tuple[Event, ...] = ()
    """What models were asked beyond their figures on all held-out rows (`harness.report.evaluation`)."""
    gate_details: tuple[GateDetail, ...] = ()
    """What the gates that are no rules rest on."""
    training: tuple[Event, ...] = ()
    """Folds, searches for parameters and experiments (`harness.domain.training_event`), in the order of the log."""
    data_quality: tuple[Failure, ...] = ()
    """What rules of quality found in the data."""
    data_drift: DataDriftChecked | None = None
    """What a comparison of the newest data with the data set found; None where there was none."""
    resumed: tuple[Resumed, ...] = ()
    """Each time that the run was cut off and another process took it up."""
    outages: tuple[Outage, ...] = ()
    """Of a run on real time."""

    @property
    def kind(self) -> str:
        """What kind of run it is."""
        return "rehearsal"

    @property
    def grade(self) -> None:
        """A rehearsal has none."""
        return

    @property
    def outcome_text(self) -> str:
        """The outcome in words."""
        return (self.outcome or UNFINISHED).replace("_", " ")

    @property
    def unmet(self) -> Sequence[Expectation]:
        """The expectations that did not hold."""
        return [expectation for expectation in self.expectations if not expectation.passed]

    @property
    def rollout(self) -> Passage | None:
        """The last rollout."""
        return self.rollouts[-1] if self.rollouts else None

    @property
    def several(self) -> bool:
        """Whether there is more to tell than one rollout to its decision."""
        return len(self.rollouts) > 1 or any(passage.undone for passage in self.rollouts)
