"""Folds what goes on beside the steps of a rollout: one rollout after another, people, checks, tests and alarms."""

from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import TypeVar

from harness.domain import event as vocabulary
from harness.domain.event import Event
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.domain.units import SECOND, WHOLE
from harness.report.lifecycle import (
    Alarm,
    Answer,
    Approval,
    Check,
    LoadTest,
    Passage,
    Retraining,
    Trial,
    TrialLook,
    Undelivered,
)
from harness.report.numbers import figure, kept

ANSWERS = frozenset(Answer)
UNSAFE = frozenset({Outcome.FAILED, Outcome.ERROR})
T = TypeVar("T")


@dataclass(slots=True)
class Course:
    """The course of a run so far."""

    traffic_ns: int | None = None
    passages: list[Passage] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    load_tests: list[LoadTest] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    undelivered: list[Undelivered] = field(default_factory=list)
    delivered: int = 0
    challenger: bool = False
    """What was trained last is a challenger, whose rollout has not begun."""
    weight: int = 0
    weight_ns: int = 0

    @property
    def number(self) -> int:
        """Of the rollout that is or was under way; 0 before the first."""
        return next((passage.number for passage in reversed(self.passages) if passage.number), 0)

    @property
    def waiting(self) -> Approval | None:
        """For whom the rollout waits."""
        last = self.approvals[-1] if self.approvals else None
        return last if last and last.answer is Answer.OPEN else None

    def see(self, event: Event, revisions: dict[Role, str]) -> None:
        """Take the next event; the revisions are those of the rollout under way."""
        self._take(event)
        last = self.passages[-1] if self.passages else None
        if last and last.number == 1 and last.candidate is None:  # an old log may name the two late, or never
            self._amend(self.passages, candidate=revisions.get(Role.CANDIDATE), stable=revisions.get(Role.STABLE))

    def _at_s(self, event: Event) -> float:
        return (event.at_ns - (self.traffic_ns or 0)) / SECOND

    def _amend(self, told: list[T], **changes: object) -> None:
        told[-1] = replace(told[-1], **changes)  # type: ignore[type-var]

    @singledispatchmethod
    def _take(self, event: Event) -> None:
        """Other events are no part of it."""

    # --- one rollout after another ---

    @_take.register
    def _(self, event: vocabulary.TrafficStarted) -> None:
        self.traffic_ns = event.at_ns
        self.passages.append(Passage(1, 0.0, None, None))
        self._held(event.at_ns, event.weights.get(Role.CANDIDATE, 0))

    @_take.register
    def _(self, event: vocabulary.RolloutStarted) -> None:
        self._held(event.at_ns, 0)
        begun = Passage(
            event.number, self._at_s(event), event.stable, event.candidate, event.adopted, challenger=self.challenger
        )
        self.passages.append(begun)
        self.challenger = False

    @_take.register
    def _(self, event: vocabulary.Routed) -> None:
        self._held(event.at_ns, event.weights.get(Role.CANDIDATE, 0))

    def _held(self, at_ns: int, weight: int) -> None:
        """Another weight is in force: the one before counts if it was for some time."""
        if self.passages and at_ns > self.weight_ns:
            self._amend(self.passages, share_max=max(self.passages[-1].share_max, self.weight / WHOLE))
        self.weight, self.weight_ns = weight, at_ns

    @_take.register
    def _(self, event: vocabulary.Decided) -> None:
        self._close(event)
        if not self.passages:
            return
        self._held(event.at_ns, self.weight)
        outcome, at_s = event.outcome.value, self._at_s(event)
        if event.outcome is Outcome.REJECTED:  # of a newer candidate: the rollout before it has ended
            self.passages.append(Passage(None, at_s, None, None, outcome=outcome, reason=event.reason, decided_s=at_s))
        elif self.passages[-1].promoted:
            self._amend(self.passages, undone=outcome, undone_reason=event.reason, undone_s=at_s)
        else:
            self._amend(self.passages, outcome=outcome, reason=event.reason, decided_s=at_s)

    @_take.register
    def _(self, event: vocabulary.RunEnded) -> None:
        """A decision that could not be made so has no other word than the run's end."""
        if not self.passages:
            return
        self._held(event.at_ns, self.weight)
        last = self.passages[-1]
        if event.outcome in UNSAFE and event.outcome.value not in {last.outcome, last.undone}:
            said = "undone" if last.undone or last.promoted else "outcome"
            reason = "undone_reason" if said == "undone" else "reason"
            self._amend(self.passages, **{said: event.outcome.value, reason: event.reason})

    # --- people and checks ---

    @_take.register
    def _(self, event: vocabulary.Checked) -> None:
        asked = (event.name, event.text, event.passed, figure(event.value), event.bound)
        self.checks.append(Check(self._at_s(event), self.number, *asked, event.detail.removeprefix("gate ")))

    @_take.register
    def _(self, event: vocabulary.LoadTested) -> None:
        self.load_tests.append(
            LoadTest(
                at_s=self._at_s(event),
                rollout=self.number,
                stage=event.stage,
                mode="open" if event.users is None else "closed",
                arrivals=event.arrivals,
                rate_per_s=figure(event.rate_per_s),
                achieved_rate=figure(event.achieved_rate),
                users=event.users,
                think_s=event.think_ns / SECOND,
                duration_s=event.duration_ns / SECOND,
                warmup_s=event.warmup_ns / SECOND,
                sent=event.sent,
                not_sent=event.not_sent,
                failed=event.failed,
                in_flight=event.in_flight,
                errors=dict(event.errors),
                figures=kept(event.figures),
                service=kept(event.service),
                lag=kept(event.lag),
                intervals={
                    name: (figure(low) or 0.0, figure(high) or 0.0) for name, (low, high) in event.intervals.items()
                },
                grade=event.grade,
                min_grade=event.min_grade,
                slos=tuple(event.slos),
                spoiled=event.spoiled,
                notes=tuple(event.notes),
                url=event.url,
            )
        )

    @_take.register
    def _(self, event: vocabulary.Awaited) -> None:
        self._close(event)
        until_s = None if event.until_ns is None else (event.until_ns - (self.traffic_ns or 0)) / SECOND
        self.approvals.append(Approval(self.number, event.what, self._at_s(event), until_s))

    @_take.register
    def _(self, event: vocabulary.Commanded) -> None:
        if self.waiting is None:
            self.approvals.append(Approval(self.number, "", None, None))
        answer = Answer(event.order) if event.order in ANSWERS else Answer.OVERTAKEN
        self._amend(self.approvals, answer=answer, by=event.by, answered_s=self._at_s(event))

    def _close(self, event: Event) -> None:
        """A wait that something else has ended; at its end of time it has expired."""
        waiting, at_s = self.waiting, self._at_s(event)
        if waiting is None or (isinstance(event, vocabulary.Decided) and event.outcome is Outcome.PAUSED):
            return
        expired = waiting.until_s is not None and at_s >= waiting.until_s
        self._amend(self.approvals, answer=Answer.EXPIRED if expired else Answer.OVERTAKEN, answered_s=at_s)

    @_take.register
    def _(self, event: vocabulary.Notified) -> None:
        if event.delivered:
            self.delivered += 1
        else:
            self.undelivered.append(Undelivered(self._at_s(event), event.channel, event.what, event.detail))

    # --- A/B tests ---

    @_take.register
    def _(self, event: vocabulary.ExperimentPlanned) -> None:
        needed_s = None if event.needed_ns is None else event.needed_ns / SECOND
        least, baseline = figure(event.least_effect) or 0.0, figure(event.baseline)
        plan = (event.metric, least, event.level, event.power, baseline, event.needed, needed_s)
        self.trials.append(Trial(self.number, self._at_s(event), *plan))

    @_take.register
    def _(self, event: vocabulary.ExperimentLooked) -> None:
        if not self.trials:
            return
        look = TrialLook(
            at_s=self._at_s(event),
            stable=figure(event.stable),
            candidate=figure(event.candidate),
            answers=dict(event.answers),
            effect=figure(event.effect),
            lower=figure(event.lower),
            upper=figure(event.upper),
            p_value=figure(event.p_value),
            users=dict(event.users),
            mismatch_p=figure(event.mismatch_p),
            finding=event.finding,
            reason=event.reason,
        )
        self._amend(self.trials, looks=(*self.trials[-1].looks, look))

    # --- after the promotion ---

    @_take.register
    def _(self, event: vocabulary.Alarmed) -> None:
        because = tuple(event.because)
        told = (event.monitor, event.reason, event.leads_to, because)
        self.alarms.append(Alarm(self._at_s(event), self.number, *told))

    @_take.register
    def _(self, event: vocabulary.Retrained) -> None:
        self.challenger = event.better
        told = (event.rows, event.newest, event.better, event.detail)
        self.retrainings.append(Retraining(self._at_s(event), *told))
