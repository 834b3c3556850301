"""Where a run stands after the events seen so far: what the live view looks at, and what a result is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

from harness.domain import event as vocabulary
from harness.domain import training_event as training_vocabulary
from harness.domain.data_event import DataQualityChecked
from harness.domain.drift_event import DataDriftChecked
from harness.domain.evaluation_event import (
    BehaviourFound,
    CalibrationFound,
    ImportanceFound,
    IntervalsFound,
    SlicesFound,
)
from harness.domain.event import ArmTotals, Event
from harness.domain.model import Role
from harness.domain.quality import Failure
from harness.domain.resume_event import Resumed
from harness.domain.units import SECOND, WHOLE
from harness.report import data_drift
from harness.report.course import Course
from harness.report.diary import mark, tell
from harness.report.evaluation import STAGE, Examined
from harness.report.gating import GateDetail, detail_of
from harness.report.numbers import figure, kept
from harness.report.result import Data, Gate, Look, Marker, Model, Moment, Stage


@dataclass(slots=True)
class Folding:
    """Where a run stands after the events seen so far."""

    started: vocabulary.RunStarted | None = None
    number: int = -1
    now_ns: int = 0
    stages: list[Stage] = field(default_factory=list)
    data: Data | None = None
    models: dict[Role, Model] = field(default_factory=dict)
    known: dict[str, Model] = field(default_factory=dict)
    """Models by revision, each as it came."""
    revisions: dict[Role, str] = field(default_factory=dict)
    training: list[Event] = field(default_factory=list)
    """Folds, searches and experiments, as they were told."""
    gates: list[Gate] = field(default_factory=list)
    examined: Examined = field(default_factory=Examined)
    gate_details: list[GateDetail] = field(default_factory=list)
    data_quality: list[Failure] = field(default_factory=list)
    data_drift: DataDriftChecked | None = None
    traffic_ns: int | None = None
    """When users' traffic began."""
    weights: Mapping[Role, int] = field(default_factory=dict)
    shares: list[tuple[int, int]] = field(default_factory=list)
    """(instant, candidate's weight from then on)."""
    copies: list[tuple[int, int]] = field(default_factory=list)
    """(instant, share of stable's requests that is copied to the candidate from then on)."""
    exposed_ns: int | None = None
    """When the candidate got its first user requests."""
    ready: dict[Role, tuple[int, int]] = field(default_factory=dict)
    step: vocabulary.StepEntered | None = None
    held: list[str] = field(default_factory=list)
    observed: list[vocabulary.Observed] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    decided: vocabulary.Decided | None = None
    interrupted_by: str | None = None
    verified: bool | None = None
    escalated: list[str] = field(default_factory=list)
    course: Course = field(default_factory=Course)
    totals: Mapping[Role, ArmTotals] = field(default_factory=dict)
    inputs: vocabulary.InputsSeen | None = None
    grade: str | None = None
    """Of the last candidate's load test."""
    ended: vocabulary.RunEnded | None = None
    resumed: list[Resumed] = field(default_factory=list)
    """Each time that another process took the run up; stages that it runs once more tell once more."""
    noticed: list[tuple[float, vocabulary.Noticed]] = field(default_factory=list)
    """With seconds since traffic began."""
    markers: list[Marker] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def see(self, number: int, event: Event) -> None:
        """Take the next event of the log, and its sequence number."""
        self.number, self.now_ns = number, event.at_ns
        self._take(event)
        self.course.see(event, self.revisions)
        words = tell(event)
        if words:
            self.moments.append(Moment(event.at_ns / SECOND, type(event).__name__, words))
        marker = mark(event)
        if marker and self.traffic_ns is not None:
            self.markers.append(Marker(self.since_traffic_s(event.at_ns), *marker))

    def since_traffic_s(self, at_ns: int) -> float:
        """Seconds since users' traffic began."""
        return (at_ns - (self.traffic_ns or 0)) / SECOND

    @property
    def candidate_weight(self) -> int:
        """In force now."""
        return self.weights.get(Role.CANDIDATE, 0)

    # --- what each event changes ---

    @singledispatchmethod
    def _take(self, event: Event) -> None:
        """Events without an effect on the result."""

    @_take.register
    def _(self, event: vocabulary.RunStarted) -> None:
        self.started = event

    @_take.register
    def _(self, event: Resumed) -> None:
        """What was under way when the run was cut off ended with that."""
        self.resumed.append(event)
        at_s = event.at_ns / SECOND
        self.stages = [
            replace(stage, simulated_s=at_s - stage.started_s, status="cut off") if stage.simulated_s is None else stage
            for stage in self.stages
        ]

    @_take.register
    def _(self, event: vocabulary.StageStarted) -> None:
        if event.stage == STAGE:
            self.examined.begin()
        self.stages.append(Stage(event.stage, event.at_ns / SECOND, None, "under way", "", 0.0))

    @_take.register
    def _(self, event: vocabulary.StageFinished) -> None:
        at_s, wall_s = event.at_ns / SECOND, figure(event.wall_s) or 0.0
        begun_s = next((stage.started_s for stage in reversed(self.stages) if stage.name == event.stage), at_s)
        self.stages = [stage for stage in self.stages if stage.name != event.stage or stage.simulated_s is not None]
        self.stages.append(Stage(event.stage, begun_s, at_s - begun_s, event.status, event.detail, wall_s))

    @_take.register
    def _(self, event: vocabulary.DataChecked) -> None:
        rows = (event.rows, event.columns, event.train_rows, event.test_rows)
        self.data = Data(event.source, *rows, missing=dict(event.missing), failures=tuple(event.failures))

    @_take.register
    def _(self, event: DataQualityChecked) -> None:
        self.data_quality += [found for found in event.found if not self.resumed or found not in self.data_quality]

    @_take.register
    def _(self, event: DataDriftChecked) -> None:
        self.data_drift = data_drift.kept(event)

    @_take.register
    def _(self, event: vocabulary.ModelReady) -> None:
        params = {name: str(value) for name, value in event.params.items()}
        self.models[event.role] = Model(event.role, event.source.value, event.algorithm, params, event.artifact_digest)

    @_take.register
    def _(self, event: vocabulary.Evaluated) -> None:
        known = self.models.get(event.role) or Model(event.role, "", "", {}, "")
        self.models[event.role] = replace(known, metrics=kept(event.metrics))

    @_take.register
    def _(
        self,
        event: training_vocabulary.CrossValidated
        | training_vocabulary.Tuned
        | training_vocabulary.ExperimentTried
        | training_vocabulary.ExperimentChosen,
    ) -> None:
        if not self.resumed or all(not _told_again(event, each) for each in self.training):
            self.training.append(event)

    @_take.register
    def _(self, event: vocabulary.GateChecked) -> None:
        value, stable = figure(event.value), figure(event.stable)
        if self.resumed:
            self.gates = [gate for gate in self.gates if (gate.name, gate.text) != (event.name, event.text)]
        self.gates.append(Gate(event.name, event.text, event.passed, value, stable, event.bound))

    @_take.register
    def _(self, event: IntervalsFound | SlicesFound | CalibrationFound | ImportanceFound | BehaviourFound) -> None:
        self.examined.see(event)

    @_take.register
    def _(self, event: vocabulary.GateDetails) -> None:
        if self.resumed:
            self.gate_details = [each for each in self.gate_details if each.text != event.text]
        self.gate_details.append(detail_of(event))

    @_take.register
    def _(self, event: vocabulary.Registered | vocabulary.Resolved) -> None:
        revision = f"{event.name}:{event.version}"
        self.revisions[event.role] = revision
        if event.role in self.models:
            self.known[revision] = replace(self.models[event.role], revision=revision)

    @_take.register
    def _(self, event: vocabulary.RolloutStarted) -> None:
        """Shares, steps and decisions are those of the candidate of the time."""
        self.revisions = {Role.STABLE: event.stable, Role.CANDIDATE: event.candidate}
        self.exposed_ns = self.step = self.decided = self.verified = None
        self.held = []
        self._in_force(event.at_ns, {Role.STABLE: WHOLE, Role.CANDIDATE: 0})

    @_take.register
    def _(self, event: vocabulary.TrafficStarted) -> None:
        self.traffic_ns = event.at_ns
        self._in_force(event.at_ns, event.weights)

    @_take.register
    def _(self, event: vocabulary.Routed) -> None:
        self._in_force(event.at_ns, event.weights)
        if event.mirror or self.copies:
            self.copies.append((event.at_ns, event.mirror))

    def _in_force(self, at_ns: int, weights: Mapping[Role, int]) -> None:
        self.weights = dict(weights)
        self.shares.append((at_ns, self.candidate_weight))
        if self.candidate_weight and self.exposed_ns is None:
            self.exposed_ns = at_ns

    @_take.register
    def _(self, event: vocabulary.ReadyChanged) -> None:
        self.ready[event.role] = (event.ready, event.wanted)

    @_take.register
    def _(self, event: vocabulary.StepEntered) -> None:
        self.step = event

    @_take.register
    def _(self, event: vocabulary.StepHeld) -> None:
        self.held.append(event.reason)

    @_take.register
    def _(self, event: vocabulary.Observed) -> None:
        self.observed.append(event)

    @_take.register
    def _(self, event: vocabulary.Measured) -> None:
        self.looks.append(
            Look(
                number=self.number,
                at_s=self.since_traffic_s(event.at_ns),
                rule=event.rule,
                metric=event.metric,
                verdict=event.verdict,
                reason=event.reason,
                candidate=figure(event.candidate),
                stable=figure(event.stable),
                bound=figure(event.bound),
                requests=dict(event.requests),
                failures=event.failures,
                weight=self.candidate_weight,
                rollout=self.course.number,
                step=event.step,
            )
        )

    @_take.register
    def _(self, event: vocabulary.Noticed) -> None:
        self.noticed.append((self.since_traffic_s(event.at_ns), event))

    @_take.register
    def _(self, event: vocabulary.Decided) -> None:
        self.decided = event

    @_take.register
    def _(self, event: vocabulary.Interrupted) -> None:
        self.interrupted_by = event.by

    @_take.register
    def _(self, event: vocabulary.Verified) -> None:
        self.verified = event.passed

    @_take.register
    def _(self, event: vocabulary.Escalated) -> None:
        self.escalated.append(event.reason)

    @_take.register
    def _(self, event: vocabulary.RolledBack) -> None:
        self.revisions.setdefault(Role.STABLE, f"{event.name}:{event.version}")

    @_take.register
    def _(self, event: vocabulary.Promoted) -> None:
        self.revisions.setdefault(Role.CANDIDATE, f"{event.name}:{event.version}")

    @_take.register
    def _(self, event: vocabulary.Totalled) -> None:
        self.totals = {role: _kept(event.arms[role]) for role in Role if role in event.arms}

    @_take.register
    def _(self, event: vocabulary.InputsSeen) -> None:
        self.inputs = event

    @_take.register
    def _(self, event: vocabulary.LoadTested) -> None:
        self.grade = event.grade

    @_take.register
    def _(self, event: vocabulary.RunEnded) -> None:
        self.ended = event


def _told_again(event: Event, before: Event) -> bool:
    """Whether an event says what another one has said, at another time."""
    return replace(event, at_ns=before.at_ns) == before


def _kept(arm: ArmTotals) -> ArmTotals:
    """As the log keeps it."""
    classes = {
        name: replace(totals, p50=figure(totals.p50), p95=figure(totals.p95)) for name, totals in arm.classes.items()
    }
    return replace(arm, figures=kept(arm.figures), classes=classes)
