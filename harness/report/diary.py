"""The run's diary: each event that a person would want to read, in words, and those worth a line in every plot."""

import re
from collections.abc import Mapping
from functools import singledispatch
from typing import Final

from harness.domain import event as vocabulary
from harness.domain.analysis import Verdict
from harness.domain.attempts import StageRetried
from harness.domain.data_event import DataQualityChecked
from harness.domain.drift_event import DataDriftChecked
from harness.domain.event import Event
from harness.domain.faster import TimeScaled
from harness.domain.model import Role
from harness.domain.order_event import Ordered
from harness.domain.resume_event import FoundRunning, Resumed
from harness.domain.rollout import Finding, Outcome
from harness.domain.training_event import CrossValidated, ExperimentChosen, ExperimentTried, Tuned
from harness.domain.units import SECOND, duration_text, share_text
from harness.report import data_drift
from harness.report import text as words
from harness.report.result import Mark
from harness.report.training import in_words

PAUSE: Final = "pause"
ORDERS: Final = {"approve": "approved", "reject": "refused", "promote": "promote", "abort": "abort"}
LEADS_TO: Final = {"rollback": "going back", "retrain": "training anew", "notify": "people are told"}
LABELS: Final = re.compile(r" (?:on|within|of|removed) .*$")
PLACED: Final = re.compile(r"(?:^|, )(?:at|on|until): [^,{}]*(?=,|$)")


@singledispatch
def tell(event: Event) -> str | None:
    """What happened, in words; None where it says nothing to a person."""
    del event
    return None


def mark(event: Event) -> tuple[Mark, str, str] | None:
    """The marker that an event puts on the time line: what it stands for, a short label and the full text."""
    match event:
        case vocabulary.StepEntered(step=step, weight=weight) if not step.startswith(PAUSE):
            return Mark.STEP, _label(step, weight), f"step {event.index + 1}: {step}"
        case vocabulary.StepHeld(reason=reason):
            return Mark.HELD, "held", reason
        case vocabulary.Noticed(kind="fault_began"):
            return Mark.FAULT, event.text, f"fault begins on {_roles(event.on)}: {_effect(event.text)}"
        case vocabulary.Noticed(kind="fault_ended"):
            return Mark.FAULT_ENDED, event.text, f"fault ends on {_roles(event.on)}: {_effect(event.text)}"
        case vocabulary.Noticed(kind="replica_crashed"):
            return Mark.REPLICA, "crash", event.text
        case vocabulary.Decided(outcome=outcome, reason=reason):
            return Mark.DECISION, _said(outcome), reason
    return _beside(event)


def _beside(event: Event) -> tuple[Mark, str, str] | None:
    """The marker of what goes on beside the steps: people, alarms, retrainings, the next rollout."""
    match event:
        case vocabulary.Awaited():
            return Mark.APPROVAL, "asked", tell(event) or ""
        case vocabulary.Commanded(order=order):
            return Mark.APPROVAL, ORDERS.get(order, order), tell(event) or ""
        case vocabulary.Alarmed():
            return Mark.ALARM, "alarm", tell(event) or ""
        case vocabulary.Retrained(better=better):
            return Mark.RETRAINING, "retrained" if better else "no better", tell(event) or ""
        case vocabulary.RolloutStarted(number=number):
            return Mark.ROLLOUT, f"rollout {number}", tell(event) or ""
    return None


def _label(step: str, weight: int) -> str:
    """A step as the plots name it: the weight that it sets, or what it does.

    >>> _label("weight 10%", 1000), _label("A/B test on accuracy, at most 8h", 5000), _label("mirror 20%", 0)
    ('10%', 'A/B test', 'mirror 20%')
    """
    if step.startswith("weight"):
        return share_text(weight)
    return LABELS.sub("", step)


def _said(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")


def _effect(fault: str) -> str:
    """A fault as the user wrote it, without the time and the arms that stand beside it anyway.

    >>> _effect("at: 10m, on: all, drift: {column: age, shift: 1.5sd}, until: 20m")
    'drift: {column: age, shift: 1.5sd}'
    """
    return PLACED.sub("", fault).strip(", ") or fault


def _roles(on: tuple[Role, ...]) -> str:
    return "both arms" if len(on) > 1 else on[0].value if on else "the environment"


def _split(weights: Mapping[Role, int]) -> str:
    return ", ".join(f"{role.value} {share_text(weight)}" for role, weight in weights.items())


# --- the run and its stages -------------------------------------------------------------------------------------------


@tell.register
def _(event: vocabulary.RunStarted) -> str:
    return f"run begins: {event.scenario}, seed {event.seed}, {event.clock} clock"


@tell.register
def _(event: TimeScaled) -> str:
    return f"time scale {event.factor:g}: what the policy waits for is so many times shorter than in the file"


@tell.register
def _(event: Resumed) -> str:
    return words.resumed(event)


@tell.register
def _(event: FoundRunning) -> str:
    ready = ", ".join(f"{role.value} {count}" for role, count in event.ready.items()) or "none"
    routing = f"routing {_split(event.weights)}" if event.weights is not None else "no router"
    return f"found running: replicas {ready}; {routing}"


@tell.register
def _(event: vocabulary.StageStarted) -> str:
    return f"stage {event.stage} begins"


@tell.register
def _(event: vocabulary.StageFinished) -> str:
    detail = f": {event.detail}" if event.detail else ""
    return f"stage {event.stage} ends, {event.status.replace('_', ' ')}{detail}"


@tell.register
def _(event: StageRetried) -> str:
    told = f"stage {event.stage} failed, attempt {event.attempt} of {event.of}: {event.reason}"
    return f"{told}; tried again in {duration_text(event.waits_ns)}"


def _noted(notes: tuple[str, ...]) -> str:
    return "".join(f"; {note}" for note in notes)


@tell.register
def _(event: vocabulary.DataChecked) -> str:
    rows = f"{event.rows:,} rows of {words.plural(event.columns, 'column')}"
    split = f"{event.train_rows:,} to train with, {event.test_rows:,} held out"
    problems = f"; {words.plural(len(event.failures), 'violation')} of its schema" if event.failures else ""
    return f"{event.source} read: {rows}, {split}{problems}{_noted(event.notes)}"


@tell.register
def _(event: vocabulary.FeaturesBuilt) -> str:
    made = f"{words.plural(len(event.columns_in), 'column')} to {words.plural(len(event.columns_out), 'feature')}"
    return f"{event.role.value} sees the feature set {event.name}: {made}, fitted to {event.rows:,} rows"


@tell.register
def _(event: DataQualityChecked) -> str:
    return f"quality of {event.source}: " + "; ".join(f"{each} ({each.severity.value})" for each in event.found)


@tell.register(CrossValidated)
@tell.register(Tuned)
@tell.register(ExperimentTried)
@tell.register(ExperimentChosen)
def _(event: Event) -> str | None:
    return in_words(event)


@tell.register
def _(event: DataDriftChecked) -> str:
    return data_drift.sentence(event)


@tell.register
def _(event: vocabulary.ModelReady) -> str:
    took = f" in {duration_text(event.takes_ns)}" if event.takes_ns else ""
    return f"{event.role.value} {event.source.value}{took}: {event.algorithm}{_noted(event.notes)}"


@tell.register
def _(event: vocabulary.Evaluated) -> str:
    known = {name: value for name, value in event.metrics.items() if value is not None}
    return f"{event.role.value} on {event.rows:,} held-out rows: {words.figures(known)}"


@tell.register
def _(event: vocabulary.GateChecked) -> str:
    found = "" if event.value is None else f" with {words.figure(event.name, event.value)}"
    return f"gate {event.text} {'passed' if event.passed else 'failed'}{found}"


@tell.register
def _(event: vocabulary.Registered | vocabulary.Resolved) -> str:
    return f"{event.role.value} is {event.name}:{event.version}"


@tell.register
def _(event: vocabulary.AliasSet) -> str:
    return f"alias {event.alias} names {event.name}:{event.version}"


@tell.register
def _(event: vocabulary.AliasRemoved) -> str:
    return f"alias {event.alias} of {event.name} names nothing any more"


@tell.register
def _(event: vocabulary.Marked) -> str:
    return f"{event.name}:{event.version} is marked {event.status}"


# --- the rollout ------------------------------------------------------------------------------------------------------


@tell.register
def _(event: vocabulary.TrafficStarted) -> str:
    return f"users' traffic begins: {_split(event.weights)}"


@tell.register
def _(event: vocabulary.ReplicasApplied) -> str:
    return "replicas wanted: " + ", ".join(f"{role.value} {count}" for role, count in event.replicas.items())


@tell.register
def _(event: vocabulary.ReadyChanged) -> str:
    return f"{event.role.value} has {event.ready} of {words.plural(event.wanted, 'replica')} ready"


@tell.register
def _(event: vocabulary.Noticed) -> str:
    told = mark(event)
    return told[2] if told else event.text


@tell.register
def _(event: vocabulary.StepEntered) -> str:
    return f"step {event.index + 1}: {event.step}"


@tell.register
def _(event: vocabulary.StepHeld) -> str:
    return f"held: {event.reason}"


@tell.register
def _(event: vocabulary.Routed) -> str:
    routes = "".join(f"; requests with {route} go to the candidate" for route in event.routes)
    copied = f"; {share_text(event.mirror)} of stable's requests are copied to the candidate" if event.mirror else ""
    sticky = "; a user keeps to its arm" if event.sticky else ""
    return f"weights in force: {_split(event.weights)}{routes}{copied}{sticky}"


@tell.register
def _(event: vocabulary.AnalysisStarted) -> str:
    return "analysis begins" if event.step is None else f"analysis of step {event.step + 1} begins"


@tell.register
def _(event: vocabulary.AnalysisStopped) -> str:
    return "analysis ends" if event.step is None else f"analysis of step {event.step + 1} ends"


@tell.register
def _(event: vocabulary.Measured) -> str | None:
    if event.verdict is not Verdict.FAIL:
        return None
    by = "" if event.step is None else f"monitor {-event.step}: " if event.step < 0 else f"step {event.step + 1}: "
    return f"{by}{event.rule} failed: {event.reason}"


# --- people, checks and tests -----------------------------------------------------------------------------------------


@tell.register
def _(event: vocabulary.Checked) -> str:
    return f"check {event.text} {'passed' if event.passed else 'failed'}{f': {event.detail}' if event.detail else ''}"


@tell.register
def _(event: vocabulary.Awaited) -> str:
    # The run's own time, as beside every line of the diary.
    until = "" if event.until_ns is None else f", until {words.clock_time(event.until_ns / SECOND)} of the run"
    return f"waiting for a person: {event.what}{until}"


@tell.register
def _(event: vocabulary.Commanded) -> str:
    return f"{event.by} said: {event.order}"


@tell.register
def _(event: Ordered) -> str | None:
    """That it came is told by what comes of it; why it was given stands nowhere else."""
    return f"why {event.by} says {event.order}: {event.note}" if event.note else None


@tell.register
def _(event: vocabulary.Notified) -> str:
    if event.delivered:
        return f"told by {event.channel}: {event.what}"
    return f"could not be told by {event.channel} ({event.detail}): {event.what}"


@tell.register
def _(event: vocabulary.ExperimentPlanned) -> str:
    needed = "no sample can be planned yet"
    if event.needed is not None:
        # In whole seconds, upwards: a plan is no more exact than that.
        takes = f" in {duration_text(-(-event.needed_ns // SECOND) * SECOND)}" if event.needed_ns else ""
        needed = f"{event.needed:,} answers{takes} would find it with a power of {words.share(event.power)}"
    least = words.effect(event.metric, event.least_effect)
    return f"A/B test on {event.metric} begins, for a difference of {least} at least: {needed}"


@tell.register
def _(event: vocabulary.ExperimentLooked) -> str | None:
    """Only a look that found something: the others are in the plot."""
    return None if event.finding == Finding.UNDECIDED else f"A/B test, {event.finding}: {event.reason}"


# --- the end, and what comes after a promotion ------------------------------------------------------------------------


@tell.register
def _(event: vocabulary.RolloutStarted) -> str:
    adopted = ", which was the candidate before" if event.adopted else ""
    return f"rollout {event.number} begins: {event.candidate} against {event.stable}{adopted}"


@tell.register
def _(event: vocabulary.Alarmed) -> str:
    return f"alarm of {event.monitor}: {event.reason}; {LEADS_TO.get(event.leads_to, event.leads_to)}"


@tell.register
def _(event: vocabulary.Retrained) -> str:
    found = "better than the champion" if event.better else "no better, the champion stays"
    return f"challenger trained on {event.rows:,} rows, {found}{f': {event.detail}' if event.detail else ''}"


@tell.register
def _(event: vocabulary.Decided) -> str:
    return f"decided: {_said(event.outcome)}, {event.reason}"


@tell.register
def _(event: vocabulary.Interrupted) -> str:
    return f"asked to stop by {event.by}"


@tell.register
def _(event: vocabulary.Verified) -> str:
    done = "verified with all traffic" if event.passed else "could not be verified"
    return f"{event.role.value} {done} (attempt {event.attempt}): {event.detail}"


@tell.register
def _(event: vocabulary.Escalated) -> str:
    return f"escalated to a person: {event.reason}"


@tell.register
def _(event: vocabulary.RolledBack) -> str:
    return f"{event.name}:{event.version} has all traffic again"


@tell.register
def _(event: vocabulary.Promoted) -> str:
    return f"{event.name}:{event.version} is the new stable"


@tell.register
def _(event: vocabulary.RunEnded) -> str:
    return f"run ends after {words.span(event.at_ns / SECOND)}: {_said(event.outcome)}"


# --- staging and monitoring -------------------------------------------------------------------------------------------


@tell.register
def _(event: vocabulary.StagingAsked) -> str:
    replicas = f"{event.replicas} replica{'s' * (event.replicas != 1)}"
    return f"{event.name}:{event.version} goes to a staging environment with {replicas}"


@tell.register
def _(event: vocabulary.LoadTested) -> str:
    answered = event.sent - event.failed - event.in_flight
    asked = f"at {event.rate_per_s:.4g}/s" if event.rate_per_s is not None else f"by {event.users} users"
    where = "load test in staging" if event.stage == "staging" else "load test"
    missed = ", ".join(slo.text for slo in event.slos if not slo.passed)
    return (
        f"{where} {asked} for {duration_text(event.duration_ns)}: "
        f"grade {event.grade or 'none'}, {answered} of {event.sent} requests answered well"
        + (f"; not met: {missed}" if missed else "")
        + (f"; not to be trusted: {event.spoiled}" if event.spoiled else "")
    )


@tell.register
def _(event: vocabulary.StagingEnded) -> str:
    return "the staging environment is gone" if event.gone else f"the staging environment is not gone: {event.detail}"


@tell.register
def _(event: vocabulary.MonitoringSet) -> str:
    count = f"{len(event.alerts)} alert{'s' * (len(event.alerts) != 1)}"
    return f"monitoring of {event.name}:{event.version} is set up with {count}: {', '.join(event.files)}"
