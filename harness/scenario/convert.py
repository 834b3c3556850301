"""From a checked document to domain values, once."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from harness.backends.uri import is_uri
from harness.domain.analysis import AnalysisPolicy, NoData
from harness.domain.fault import (
    CorruptTraining,
    Crash,
    Effect,
    Errors,
    Fault,
    LabelDrift,
    Missing,
    Scale,
    Shift,
    StaleTraining,
    Swap,
)
from harness.domain.model import (
    ArtifactPlan,
    DataPlan,
    KnownPlan,
    ModelPlan,
    ModelSource,
    PredictionsPlan,
    RegisteredPlan,
    Role,
    TrainPlan,
    UriPlan,
)
from harness.domain.rollout import Pause, RolloutPolicy, SetWeight, Step
from harness.domain.scenario import Backends, Clock, Scenario
from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Service, ServiceTime
from harness.domain.traffic import Knots, Labels, Process, Trace, Traffic, Wave
from harness.domain.units import SECOND
from harness.scenario.document import (
    AnalysisInput,
    DataInput,
    Document,
    ModelInput,
    RolloutInput,
    SourceInput,
    StepInput,
)
from harness.scenario.environment import (
    ArmServiceInput,
    BurstsInput,
    DriftInput,
    FaultInput,
    LabelsInput,
    RateStepInput,
    ServiceInput,
    ServiceTimeInput,
    TraceInput,
    TrafficInput,
)
from harness.scenario.files import PICKLES

T = TypeVar("T")


def scenario_of(
    document: Document,
    faults: tuple[str, ...],
    path: str,
    text: str,
    overrides: tuple[str, ...],
    *,
    trust_pickle: bool = False,
) -> Scenario:
    """The scenario that a document describes; the faults' texts are as the user wrote them."""
    labels = document.labels
    return Scenario(
        name=document.name,
        description=document.description,
        seed=document.seed,
        clock=Clock(document.clock),
        horizon_ns=document.horizon,
        model=_model(document.model, document.labels, trust_pickle=trust_pickle),
        backends=Backends(**document.backends.model_dump()),
        service=_services(document.service),
        traffic=_traffic(document.traffic),
        labels=Labels(labels.delay, labels.share) if labels else None,
        rollout=_rollout(document.rollout),
        faults=tuple(_fault(fault, told) for fault, told in zip(document.inject, faults, strict=True)),
        expect=tuple(document.expect),
        path=path,
        text=text,
        overrides=overrides,
    )


# --- models -----------------------------------------------------------------------------------------------------------


def _model(model: ModelInput, labels: LabelsInput | None, *, trust_pickle: bool) -> ModelPlan:
    return ModelPlan(
        name=model.name,
        stable=_source(model.stable),
        candidate=_source(model.candidate),
        data=_data(model.data, labels, _keys(model)) if model.data else None,
        gates=tuple(model.gates),
        trust_pickle=trust_pickle,
    )


def _source(source: SourceInput) -> ModelSource:
    if source.artifact is not None and is_uri(source.artifact):
        return UriPlan(source.artifact, source.duration)
    if source.artifact is not None:
        # Reading lets a pickle through only where the user trusts it (words.Brought).
        return ArtifactPlan(source.artifact, source.duration, pickled=source.artifact.lower().endswith(PICKLES))
    if source.registered is not None:
        return RegisteredPlan(source.registered, source.duration)
    if source.predictions is not None:
        key, column = _given(source.key), _given(source.column)
        return PredictionsPlan(source.predictions, key, column, source.score, source.duration)
    return TrainPlan(_given(source.algorithm), source.params or {}, source.duration)


def _keys(model: ModelInput) -> tuple[str, ...]:
    return tuple(sorted({source.key for source in (model.stable, model.candidate) if source.key is not None}))


def _data(data: DataInput, labels: LabelsInput | None, keys: tuple[str, ...]) -> DataPlan:
    known = None
    if labels and (labels.file or labels.column not in {None, data.target}):
        positive = (labels.positive or data.positive) if data.positive else None
        known = KnownPlan(labels.column or data.target, positive, labels.file, labels.key)
    return DataPlan(data.source, data.target, data.positive, data.schema_file, data.test_share, known, data.walk, keys)


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
    return Fixed(_given(time.constant) / SECOND)


def _traffic(traffic: TrafficInput) -> Traffic:
    if traffic.constant is not None:
        return Traffic("constant", Process.CONSTANT, _level(traffic.constant))
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
    daily = _given(traffic.daily)
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


# --- the rollout ------------------------------------------------------------------------------------------------------


def _rollout(rollout: RolloutInput) -> RolloutPolicy:
    return RolloutPolicy(
        strategy=rollout.strategy,
        steps=tuple(_step(step) for step in rollout.steps),
        analysis=_analysis(rollout.analysis) if rollout.analysis else None,
        ready_within_ns=rollout.ready_within,
    )


def _step(step: StepInput) -> Step:
    return SetWeight(step.weight) if step.weight is not None else Pause(_given(step.pause))


def _analysis(analysis: AnalysisInput) -> AnalysisPolicy:
    return AnalysisPolicy(
        rules=tuple(analysis.rules),
        every_ns=analysis.every,
        window_ns=analysis.window or analysis.every,
        min_requests=analysis.min_requests,
        failure_limit=analysis.failure_limit,
        error_limit=analysis.error_limit,
        no_data=NoData(analysis.no_data),
    )


# --- faults -----------------------------------------------------------------------------------------------------------


def _fault(fault: FaultInput, told: str) -> Fault:
    return Fault(told, fault.roles(), _effect(fault), fault.at or 0, fault.ramp or 0, fault.until)


def _effect(fault: FaultInput) -> Effect:
    if fault.latency is not None:
        return fault.latency
    if fault.errors is not None:
        return Errors(fault.errors)
    if fault.crash is not None:
        return Crash(fault.crash)
    if fault.label_drift is not None:
        return LabelDrift(fault.label_drift)
    if fault.drift is not None:
        return _drift(fault.drift)
    training = _given(fault.training)
    return StaleTraining(training.stale) if training.stale is not None else CorruptTraining(_given(training.corrupt))


def _drift(drift: DriftInput) -> Effect:
    if drift.shift is not None:
        return Shift(drift.column, drift.shift)
    if drift.scale is not None:
        return Scale(drift.column, drift.scale)
    if drift.missing is not None:
        return Missing(drift.column, drift.missing)
    first, second = _given(drift.swap)
    return Swap(drift.column, first, second)


def _given(value: T | None) -> T:
    """The value of a key that must be there: where one of several is required, the others are not."""
    assert value is not None
    return value
