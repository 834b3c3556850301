"""From a checked document to domain values, once."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.backends.uri import is_uri
from harness.domain.fault import (
    CorruptTraining,
    Crash,
    Effect,
    Errors,
    Fault,
    LabelDrift,
    Lost,
    Missing,
    Scale,
    Shift,
    StaleTraining,
    Swap,
)
from harness.domain.features import FeatureSet
from harness.domain.lifecycle import ScriptedOrder, StagingPlan, Successor
from harness.domain.model import (
    ArtifactPlan,
    DataPlan,
    KnownPlan,
    ModelPlan,
    ModelSource,
    PredictionsPlan,
    RegisteredPlan,
    Role,
    UriPlan,
)
from harness.domain.rollout import Order
from harness.domain.scenario import Backends, Clock, Scenario, dated
from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Service, ServiceTime
from harness.domain.traffic import Knots, Labels, Process, RequestClass, Shares, Trace, Traffic, Wave
from harness.domain.units import SECOND
from harness.scenario.attempts import attempts_of
from harness.scenario.document import Document
from harness.scenario.drifting import drift_of
from harness.scenario.environment import (
    ArmServiceInput,
    BurstsInput,
    ClassInput,
    DriftInput,
    FaultInput,
    LabelsInput,
    RateStepInput,
    ServiceInput,
    ServiceTimeInput,
    TraceInput,
    TrafficInput,
)
from harness.scenario.evaluations import plan_of
from harness.scenario.files import PICKLES
from harness.scenario.gateplans import plans_of
from harness.scenario.gating import rules_of
from harness.scenario.inputs import given
from harness.scenario.lifecycle import StagingInput, SuccessorInput
from harness.scenario.loadstages import load_of
from harness.scenario.models import DataInput, SourceInput
from harness.scenario.policies import aftercare_of, rollout_of
from harness.scenario.real import real_of
from harness.scenario.staged import staging_word
from harness.scenario.training import groups_of, training_of


@dataclass(frozen=True, slots=True)
class FaultTexts:
    """What is injected, each in one line as the user wrote it."""

    inject: tuple[str, ...] = ()
    staging: tuple[str, ...] = ()
    successors: tuple[tuple[str, ...], ...] = ()


def scenario_of(
    document: Document,
    told: FaultTexts,
    path: str,
    text: str,
    overrides: tuple[str, ...],
    *,
    trust_pickle: bool = False,
) -> Scenario:
    """The scenario that a document describes; the faults' texts are as the user wrote them."""
    labels = document.labels
    made = Scenario(
        name=document.name,
        description=document.description,
        seed=document.seed,
        clock=Clock(document.clock),
        horizon_ns=document.horizon,
        model=_model(document, trust_pickle=trust_pickle),
        backends=_backends(document),
        service=_services(document.service),
        traffic=_traffic(document.traffic),
        labels=Labels(labels.delay, labels.share) if labels else None,
        rollout=rollout_of(document.rollout),
        faults=_faults(document.inject, told.inject),
        expect=tuple(document.expect),
        path=path,
        text=text,
        overrides=overrides,
        staging=_staging(document.staging, told.staging) if document.staging else None,
        load=load_of(document.load) if document.load else None,
        orders=tuple(ScriptedOrder(said.at, Order(said.decision), said.by) for said in document.approvals),
        successors=tuple(
            _successor(number, successor, texts, document.model.features)
            for number, (successor, texts) in enumerate(zip(document.successors, told.successors, strict=True), start=2)
        ),
        aftercare=aftercare_of(document.monitoring, document.model.features) if document.monitoring else None,
        stages=tuple(document.stages),
        notify=tuple(document.notify),
        attempts=attempts_of(document.attempts),
        real=real_of(document.real),
    )
    return dated(made)


def _backends(document: Document) -> Backends:
    words = document.backends
    word = staging_word(words.staging, words.serving, document.clock)
    return Backends(**{**words.model_dump(), "staging": word})


# --- models -----------------------------------------------------------------------------------------------------------


def _model(document: Document, *, trust_pickle: bool) -> ModelPlan:
    model = document.model
    return ModelPlan(
        name=model.name,
        stable=_source(model.stable, model.features),
        candidate=_source(model.candidate, model.features),
        data=_data(model.data, document.labels, _keys(document)) if model.data else None,
        gates=rules_of(model.gates),
        trust_pickle=trust_pickle,
        checks=plans_of(model.gates),
        evaluation=plan_of(model.evaluation),
    )


def _source(source: SourceInput, features: FeatureSet | None) -> ModelSource:
    if source.artifact is not None and is_uri(source.artifact):
        return UriPlan(source.artifact, source.duration)
    if source.artifact is not None:
        # Reading lets a pickle through only where the user trusts it (words.Brought).
        return ArtifactPlan(source.artifact, source.duration, pickled=source.artifact.lower().endswith(PICKLES))
    if source.registered is not None:
        return RegisteredPlan(source.registered, source.duration)
    if source.predictions is not None:
        key, column = given(source.key), given(source.column)
        return PredictionsPlan(source.predictions, key, column, source.score, source.duration)
    return training_of(source, source.features or features)


def _keys(document: Document) -> tuple[str, ...]:
    """Columns beside the features that some model needs: keys of recorded answers, and groups of folds."""
    newer = (successor.candidate for successor in document.successors)
    sources = (document.model.stable, document.model.candidate, *newer)
    keys = {source.key for source in sources if source.key is not None}
    return tuple(sorted(keys.union(*(groups_of(source) for source in sources))))


def _data(data: DataInput, labels: LabelsInput | None, keys: tuple[str, ...]) -> DataPlan:
    known = None
    if labels and (labels.file or labels.column not in {None, data.target}):
        positive = (labels.positive or data.positive) if data.positive else None
        known = KnownPlan(labels.column or data.target, positive, labels.file, labels.key)
    file, quality = data.schema_file, data.quality
    drift = drift_of(data.drift) if data.drift else None
    return DataPlan(
        data.source, data.target, data.positive, file, data.test_share, known, data.walk, keys, quality, drift=drift
    )


# --- servers and traffic ----------------------------------------------------------------------------------------------


def _services(service: ServiceInput) -> Mapping[Role, Service]:
    arms = {Role.STABLE: service.stable, Role.CANDIDATE: service.candidate}
    return {role: _service(service, own) for role, own in arms.items()}


def _service(common: ArmServiceInput, own: ArmServiceInput | None) -> Service:
    """What is given for the arm, else for both arms, else by default."""
    return Service(**(_changes(common) | (_changes(own) if own else {})))


def _changes(arm: ArmServiceInput) -> dict[str, Any]:
    given = {
        "replicas": arm.replicas,
        "slots": arm.slots,
        "service_time": _service_time(arm.service_time) if arm.service_time else None,
        "timeout_ns": arm.timeout,
        "queue": arm.queue,
        "startup_ns": arm.startup,
        "restart_ns": arm.restart,
        "balancing": Balancing(arm.balancing) if arm.balancing else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _service_time(time: ServiceTimeInput) -> ServiceTime:
    if time.lognormal is not None:
        return Lognormal(time.lognormal.median / SECOND, time.lognormal.p99 / SECOND)
    if time.exponential is not None:
        return Exponential(time.exponential.mean / SECOND)
    if time.profile is not None:
        return time.profile
    return Fixed(given(time.constant) / SECOND)


def _traffic(traffic: TrafficInput) -> Traffic:
    names = [kind.name for kind in traffic.classes]
    return replace(
        _arrivals(traffic),
        users=traffic.users,
        classes=tuple(_class(kind) for kind in traffic.classes),
        schedule=tuple(Shares(mix.at, tuple(mix.shares.get(name, 0.0) for name in names)) for mix in traffic.schedule),
    )


def _class(kind: ClassInput) -> RequestClass:
    column, values = next(iter(kind.rows.items())) if kind.rows else (None, ())
    return RequestClass(kind.name, kind.share, kind.service, column, tuple(values), tuple(kind.headers.items()))


def _arrivals(traffic: TrafficInput) -> Traffic:
    if traffic.constant is not None:
        return Traffic("constant", Process.CONSTANT, _level(traffic.constant))
    if traffic.gamma is not None:
        return Traffic("gamma", Process.GAMMA, _level(traffic.gamma.rate), variation=traffic.gamma.cv)
    if traffic.trace is not None:
        return Traffic("trace", Process.POISSON, _trace(traffic.trace))
    kind = next(kind for kind in TrafficInput.ONE_OF if getattr(traffic, kind) is not None)
    return Traffic(kind, Process.POISSON, _curve(traffic))


def _curve(traffic: TrafficInput) -> Knots | Wave:
    if traffic.poisson is not None:
        return _level(traffic.poisson)
    if traffic.ramp is not None:
        return Knots((0, traffic.ramp.over), (traffic.ramp.from_, traffic.ramp.to))
    if traffic.steps is not None:
        return _stairs(traffic.steps)
    if traffic.bursts is not None:
        return _bursts(traffic.bursts)
    daily = given(traffic.daily)
    return Wave(daily.low, daily.high, daily.period, phase_ns=daily.start_at - daily.peak_at)


def _trace(trace: TraceInput) -> Trace:
    return Trace(
        path=trace.file,
        format=trace.format,
        time=trace.time,
        unit=trace.unit,
        rate=trace.rate,
        resolution_ns=trace.resolution,
        speed=trace.speed,
        repeat=trace.repeat,
        spread=trace.spread,
        from_ns=trace.from_,
        until_ns=trace.until,
    )


def _level(rate: float) -> Knots:
    return Knots((0,), (rate,))


def _stairs(steps: Sequence[RateStepInput]) -> Knots:
    """Two knots at each change: the rate before it and the rate from then on."""
    knots = [(0, steps[0].rate)]
    for before, step in itertools.pairwise(steps):
        knots += [(step.at, before.rate), (step.at, step.rate)]
    return Knots(tuple(at for at, _ in knots), tuple(rate for _, rate in knots))


def _bursts(bursts: BurstsInput) -> Knots:
    """Calm first: each interval ends with its burst."""
    begins = bursts.every - bursts.length
    rates = (bursts.base, bursts.base, bursts.burst, bursts.burst)
    return Knots((0, begins, begins, bursts.every), rates, repeat_ns=bursts.every)


# --- what is around the rollout ---------------------------------------------------------------------------------------


def _staging(staging: StagingInput, told: Sequence[str]) -> StagingPlan:
    return StagingPlan(
        replicas=staging.replicas,
        golden_rows=staging.golden_rows,
        rate_per_s=staging.rate,
        duration_ns=staging.duration,
        min_grade=staging.min_grade,
        faults=_faults(staging.inject, told),
    )


def _successor(number: int, successor: SuccessorInput, told: Sequence[str], features: FeatureSet | None) -> Successor:
    name = successor.name or f"candidate {number}"
    return Successor(successor.at, _source(successor.candidate, features), _faults(successor.inject, told), name)


# --- faults -----------------------------------------------------------------------------------------------------------


def _faults(faults: Sequence[FaultInput], told: Sequence[str]) -> tuple[Fault, ...]:
    return tuple(_fault(fault, text) for fault, text in zip(faults, told, strict=True))


def _fault(fault: FaultInput, told: str) -> Fault:
    return Fault(told, fault.roles(), _effect(fault), fault.at or 0, fault.ramp or 0, fault.until)


def _effect(fault: FaultInput) -> Effect:
    if fault.latency is not None:
        return fault.latency
    if fault.errors is not None:
        return Errors(fault.errors)
    if fault.lost is not None:
        return Lost(fault.lost)
    if fault.crash is not None:
        return Crash(fault.crash)
    if fault.label_drift is not None:
        return LabelDrift(fault.label_drift)
    if fault.drift is not None:
        return _drift(fault.drift)
    training = given(fault.training)
    return StaleTraining(training.stale) if training.stale is not None else CorruptTraining(given(training.corrupt))


def _drift(drift: DriftInput) -> Effect:
    if drift.shift is not None:
        return Shift(drift.column, drift.shift)
    if drift.scale is not None:
        return Scale(drift.column, drift.scale)
    if drift.missing is not None:
        return Missing(drift.column, drift.missing)
    first, second = given(drift.swap)
    return Swap(drift.column, first, second)
