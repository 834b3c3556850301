"""What happens in a run, as values: the event log is made of these and of nothing else.

Every event has ``at_ns``, nanoseconds since the run began. A field made with ``volatile()`` differs from run to run
(run id, paths, real durations): it is kept in the log but left out of its digest. Each class below is one word of the
log's vocabulary; adding a word is adding a class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness.domain.analysis import Verdict
from harness.domain.load import SloVerdict
from harness.domain.model import Role, Source
from harness.domain.rollout import Outcome

LOG_VERSION: Final = 1

Figures = Mapping[str, float | None]
"""Figures by metric name, in base units (seconds, shares, 1/s); None where there was nothing to measure."""


def volatile(default: Any = None) -> Any:
    """A field that is no part of what the run means, and so no part of its digest."""
    return field(default=default, metadata={"volatile": True})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    at_ns: int


# --- the run and its stages -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The run begins; what stands here is all that a report needs of the scenario."""

    version: int
    scenario: str
    description: str
    seed: int
    clock: str
    horizon_ns: int
    strategy: str
    steps: tuple[str, ...]
    """Each step of the policy, as text."""
    plan: tuple[tuple[int, int], ...]
    """The weights foreseen if all goes well: (nanoseconds after the first weight, weight)."""
    rules: tuple[str, ...]
    every_ns: int
    window_ns: int
    expect: tuple[str, ...]
    faults: tuple[str, ...]
    text: str = volatile("")
    """The scenario file as it was read; what of it matters to the run stands above, and in the events that follow."""
    overrides: tuple[str, ...] = volatile(())
    run: str = volatile("")
    path: str = volatile("")
    program: str = volatile("")
    started: str = volatile("")
    """Date and time of the real world, ISO 8601, UTC."""
    run_id: str = volatile("")
    """What intents are named by; the same when the run is resumed."""
    folder: str = volatile("")
    """On real time: what ``path`` is relative to."""


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    """A stage of the lifecycle begins."""

    stage: str


@dataclass(frozen=True, slots=True)
class StageFinished(Event):
    """A stage of the lifecycle ended."""

    stage: str
    status: str
    """ok, rejected, rolled_back, error, aborted or paused."""
    detail: str
    wall_s: float = volatile(0.0)


@dataclass(frozen=True, slots=True)
class DataChecked(Event):
    """The data set was read and held against its schema."""

    source: str
    """File name, without its folder."""
    rows: int
    columns: int
    digest: str
    missing: Mapping[str, int]
    """Missing values by column; only columns that have some."""
    failures: tuple[str, ...]
    """What the schema forbids and the data holds, with column, count and first rows."""
    train_rows: int
    test_rows: int
    notes: tuple[str, ...] = ()
    """What a reader should know of the data and no check forbids: columns left out of the features, and why."""


@dataclass(frozen=True, slots=True)
class FeaturesBuilt(Event):
    """A feature set was fitted to the training rows, as part of the model that comes next."""

    role: Role
    name: str
    """Of the set."""
    digest: str
    """Of what the set says."""
    columns_in: tuple[str, ...]
    """Of the data, those that it reads."""
    columns_out: tuple[str, ...]
    """What the estimator sees."""
    rows: int
    """That it was fitted to."""


@dataclass(frozen=True, slots=True)
class ModelReady(Event):
    """A model was trained, or it or its answers were brought from a file, or it was brought from the registry."""

    role: Role
    source: Source
    algorithm: str
    params: Mapping[str, Any]
    artifact_digest: str
    data_digest: str | None
    takes_ns: int
    notes: tuple[str, ...] = ()
    """What the training library warned of, and what a model of recorded answers cannot show."""
    reused: bool = volatile(False)  # noqa: FBT003 - a default, not an argument


@dataclass(frozen=True, slots=True)
class Evaluated(Event):
    """A model was measured on the held-out rows."""

    role: Role
    rows: int
    metrics: Figures


@dataclass(frozen=True, slots=True)
class GateChecked(Event):
    """A gate before deployment was judged."""

    name: str
    text: str
    passed: bool
    value: float | None
    stable: float | None
    bound: str


@dataclass(frozen=True, slots=True)
class GateDetails(Event):
    """What a gate before deployment rests on, beside its figure; it follows the `GateChecked` of the same name."""

    name: str
    text: str
    passed: bool
    reason: str
    interval: tuple[float, float] | None
    columns: tuple[str, ...]
    """Of the table; its cells are numbers, texts, or null."""
    rows: tuple[tuple[Any, ...], ...]
    note: str
    measured: Mapping[str, float] | None = volatile()
    """By the wall clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Intended(Event):
    """An effect is about to be attempted; logged before it."""

    intent: int
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Tracked(Event):
    """A training run was recorded with the tracker."""

    intent: int
    role: Role


@dataclass(frozen=True, slots=True)
class Registered(Event):
    """A model has a version in the registry."""

    intent: int
    role: Role
    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Resolved(Event):
    """A model that the registry already holds was looked up."""

    role: Role
    alias: str
    """The alias that named it, or the URI that did."""
    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class AliasSet(Event):
    """An alias of the registry names this version."""

    intent: int
    alias: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class AliasRemoved(Event):
    """An alias of the registry names nothing any more."""

    intent: int
    alias: str
    name: str


@dataclass(frozen=True, slots=True)
class Marked(Event):
    """The registry says how a version stands: verified, bad or archived."""

    intent: int
    name: str
    version: int
    status: str


# --- the rollout ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RolloutStarted(Event):
    """Another rollout begins, after the first: of a newer candidate, or of a challenger that was trained anew."""

    number: int
    """The first is 1, and has no such event."""
    stable: str
    candidate: str
    adopted: bool
    """What was the candidate before is stable now."""


@dataclass(frozen=True, slots=True)
class Alarmed(Event):
    """What was promoted does worse than its monitor allows."""

    monitor: str
    reason: str
    leads_to: str
    because: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retrained(Event):
    """A challenger was trained on what has become known."""

    rows: int
    newest: int
    """Of the rows in order of time: the number of the last that it learned from."""
    better: bool
    detail: str


@dataclass(frozen=True, slots=True)
class TrafficStarted(Event):
    """Users' requests begin; times of faults and arrivals count from here."""

    weights: Mapping[Role, int]


@dataclass(frozen=True, slots=True)
class ReplicasApplied(Event):
    """So many replicas of each arm are wanted."""

    intent: int
    replicas: Mapping[Role, int]


@dataclass(frozen=True, slots=True)
class ReadyChanged(Event):
    """Replicas of an arm became ready, or ceased to be."""

    role: Role
    ready: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Noticed(Event):
    """The environment changed: a fault began or ended, a replica crashed or started."""

    kind: str
    on: tuple[Role, ...]
    text: str


@dataclass(frozen=True, slots=True)
class StepEntered(Event):
    """A step of the policy begins."""

    index: int
    step: str
    weight: int


@dataclass(frozen=True, slots=True)
class StepHeld(Event):
    """A step is over by the clock, but is not left."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Routed(Event):
    """These weights are in force."""

    intent: int
    weights: Mapping[Role, int]
    routes: tuple[str, ...] = ()
    """Headers that send a request to the candidate, whatever the weights."""
    mirror: int = 0
    """Share of stable's requests that is copied to the candidate, in 1/10,000."""
    sticky: bool = False
    """A user keeps to its arm."""


@dataclass(frozen=True, slots=True)
class Checked(Event):
    """A check was made: smoke tests, the criteria of an approval, or what a candidate must stand in staging."""

    name: str
    text: str
    passed: bool
    value: float | None
    bound: str
    detail: str


@dataclass(frozen=True, slots=True)
class StagingAsked(Event):
    """The candidate is about to be deployed to a staging environment of its own."""

    name: str
    version: int
    replicas: int


@dataclass(frozen=True, slots=True)
class LoadTested(Event):
    """A load test that is part of a run came to its end; one by itself has a log of its own (`load_event`)."""

    rate_per_s: float | None
    """Asked for, on average over the measured time; None: of a closed loop."""
    duration_ns: int
    """Of what was measured; it followed the warm-up."""
    sent: int
    failed: int
    errors: Mapping[str, int]
    figures: Figures
    grade: str | None
    """None where no request came to an end, or the figures are spoiled."""
    stage: str = "staging"
    """The stage that it is of: staging, or load."""
    arrivals: str = "constant"
    """Of an open loop, as the user wrote it; of a closed one, empty."""
    users: int | None = None
    """Of a closed loop."""
    think_ns: int = 0
    warmup_ns: int = 0
    not_sent: int = 0
    in_flight: int = 0
    """Neither answered nor given up when it stopped."""
    achieved_rate: float | None = None
    """Successes per second; None: not told."""
    service: Figures = field(default_factory=dict)
    """From the sending of a request, in seconds; empty in a simulation, where nothing lies between due and sent."""
    lag: Figures = field(default_factory=dict)
    """What the generator itself added, in seconds; likewise."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % intervals of figures, by name."""
    min_grade: str | None = None
    """The worst that would do; None: any, or it is told by checks alone."""
    slos: tuple[SloVerdict, ...] = ()
    spoiled: str = ""
    """Why the figures cannot be trusted, with the cause; empty where they can."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the figures."""
    url: str = volatile("")
    """The endpoint that was asked, without user, password and query; empty: the candidate's simulated servers."""


@dataclass(frozen=True, slots=True)
class StagingEnded(Event):
    """The staging environment was torn down, or could not be."""

    gone: bool
    detail: str


@dataclass(frozen=True, slots=True)
class MonitoringSet(Event):
    """What was promoted is to be watched: files for a monitoring system were written."""

    name: str
    version: int
    files: tuple[str, ...]
    """Relative to the run's folder."""
    alerts: tuple[str, ...]
    """The rules that alert, as a scenario writes them."""


@dataclass(frozen=True, slots=True)
class Awaited(Event):
    """A person is waited for."""

    what: str
    until_ns: int | None
    """When the wait ends by itself, in ns since the run began; None: never."""


@dataclass(frozen=True, slots=True)
class Commanded(Event):
    """A person decided: who, and what."""

    order: str
    by: str


@dataclass(frozen=True, slots=True)
class Notified(Event):
    """Somebody was told, or could not be."""

    channel: str
    what: str
    delivered: bool
    detail: str


# --- an A/B test ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExperimentPlanned(Event):
    """An A/B test begins: what it looks for, and what it will take to find it."""

    metric: str
    least_effect: float
    level: float
    power: float
    baseline: float | None
    """Stable's figure before the test; None where there is none yet."""
    needed: int | None
    """Answers of both arms together by which a fixed-sample test would find the least effect, with that power."""
    needed_ns: int | None
    """How long that takes at the present rate."""


@dataclass(frozen=True, slots=True)
class ExperimentLooked(Event):
    """A look at an A/B test, over all that was seen since it began."""

    metric: str
    stable: float | None
    candidate: float | None
    answers: Mapping[Role, int]
    effect: float | None
    """Candidate less stable."""
    lower: float | None
    upper: float | None
    """The interval that holds the true effect at every look at once, at the test's level."""
    p_value: float | None
    """Valid however often it is looked at."""
    users: Mapping[Role, int]
    mismatch_p: float | None
    """Of the users' split being what it should be; valid at every look."""
    finding: str
    reason: str


# --- looks and decisions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnalysisStarted(Event):
    """An analysis begins."""

    step: int | None = None
    """Of a step's own: its index; None: the one in the background."""


@dataclass(frozen=True, slots=True)
class AnalysisStopped(Event):
    """An analysis ends."""

    step: int | None = None


@dataclass(frozen=True, slots=True)
class ArmObserved:
    """What one arm did in a window."""

    weight: int
    requests: int
    """Answered in the window, well or badly; not those refused for want of room."""
    failed: int
    labelled: int
    """Answers whose label arrived in the window."""
    figures: Figures


@dataclass(frozen=True, slots=True)
class Observed(Event):
    """A look at both arms over ``[at - window, at)``."""

    window_ns: int
    arms: Mapping[Role, ArmObserved]


@dataclass(frozen=True, slots=True)
class Measured(Event):
    """A rule was judged on a look."""

    rule: str
    metric: str
    verdict: Verdict
    reason: str
    candidate: float | None
    stable: float | None
    bound: float | None
    requests: Mapping[Role, int]
    failures: int
    """Looks on which this rule has failed so far."""
    step: int | None = None
    """Of a step's own analysis: the step's index; None: of the one in the background."""


@dataclass(frozen=True, slots=True)
class Decided(Event):
    """The rollout was decided."""

    outcome: Outcome
    reason: str
    because: tuple[int, ...]
    """Sequence numbers of the events (measurements) that it rests on."""


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """An operator or a signal asked to stop."""

    by: str


@dataclass(frozen=True, slots=True)
class Verified(Event):
    """The arm that keeps the traffic was checked: weights in force, replicas ready, probe answered."""

    role: Role
    passed: bool
    weights: bool
    ready: bool
    probe: bool
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True)
class Escalated(Event):
    """The harness could not make it safe; a person must look."""

    reason: str


@dataclass(frozen=True, slots=True)
class RolledBack(Event):
    """Stable has all traffic again, verified."""

    name: str
    version: int
    data_digest: str | None = None
    """Of the data that the version was trained with, after a rollback of what was promoted: both go back together."""


@dataclass(frozen=True, slots=True)
class Promoted(Event):
    """The candidate is the new stable."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class ClassTotals:
    """What one arm did for one class of requests over the whole run."""

    arrived: int
    succeeded: int
    failed: int
    p50: float | None
    p95: float | None
    """Latencies, in seconds; None where nothing was answered."""


@dataclass(frozen=True, slots=True)
class ArmTotals:
    """What one arm did over the whole run."""

    arrived: int
    succeeded: int
    failed: int
    in_flight: int
    errors: Mapping[str, int]
    """Failures by kind: error, timeout, rejected, crash, no_replica."""
    bad: int | None
    """Of the candidate: failed, or answered wrongly where stable would have been right. Stable's are none by
    definition; None where it can't be known."""
    figures: Figures
    first_ns: int | None = None
    """When its first request came, in ns since the run began; None: it never had one."""
    users: int | None = None
    """How many users it answered, or should have; None where users are not known."""
    harmed: int | None = None
    """How many of them got a failure at least once, or (of the candidate) an answer worse than stable's would be."""
    classes: Mapping[str, ClassTotals] = field(default_factory=dict)
    """By class of requests, where there are any."""


@dataclass(frozen=True, slots=True)
class InputColumn:
    """One feature as the arms' requests had it, or one model's answers, beside those of the held-out rows."""

    name: str
    bins: tuple[str, ...]
    """What each bin holds, in order."""
    reference: tuple[float, ...]
    """Share of the held-out rows in each bin."""
    shares: Mapping[Role, tuple[float, ...]]
    """Share of each arm's requests in each bin; an arm without requests is absent."""
    drift: Mapping[Role, float]
    """Distance of each arm's requests from the reference, 0 to 1, as in ``drift_score`` or ``prediction_drift``."""


@dataclass(frozen=True, slots=True)
class InputsSeen(Event):
    """What was asked in the last window before the decision, feature by feature, the farthest drifted first."""

    window_ns: int
    columns: tuple[InputColumn, ...]
    predictions: Mapping[Role, InputColumn] = field(default_factory=dict)
    """What each arm's model answered, beside its own answers to the held-out rows; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Totalled(Event):
    """Traffic is over; arrived = succeeded + failed + in flight."""

    arms: Mapping[Role, ArmTotals]


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The last event of every log."""

    outcome: Outcome
    reason: str
    weights: Mapping[Role, int]
    """Where traffic ended; empty where none had begun (then stable was never touched)."""
    wall_s: float = volatile(0.0)
    """Real time from the first event to this one."""
