"""Scenarios made in Python, with the defaults of the scenario file; docs/python.md has an example of each strategy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from harness.analysis.grammar import parse
from harness.analysis.vocabulary import Scope, Standing
from harness.domain.analysis import AnalysisPolicy, NoData, Rule
from harness.domain.attempts import Attempts
from harness.domain.evaluation import EvaluationPlan
from harness.domain.fault import Fault
from harness.domain.gates import GatePlan
from harness.domain.lifecycle import Aftercare, LoadStagePlan, Monitor, ScriptedOrder, StagingPlan, Successor
from harness.domain.model import (
    ARMS,
    ArtifactPlan,
    DataPlan,
    ExperimentsPlan,
    GivenPlan,
    ModelPlan,
    ModelSource,
    PredictionsPlan,
    RegisteredPlan,
    Role,
    Task,
    TrainPlan,
    UriPlan,
)
from harness.domain.quantity import duration_ns, rate_per_s, share
from harness.domain.rollout import Analyze, RolloutPolicy, SetMirror
from harness.domain.scenario import Backends, Clock, Scenario, dated
from harness.domain.service import Service
from harness.domain.traffic import Knots, Labels, Process, Traffic
from harness.domain.units import HOUR, duration_text
from harness.errors import InputError
from harness.strategies.foresight import walk

HORIZON_NS: Final = 4 * HOUR
SPARE_NS: Final = HOUR
"""What a horizon that nobody gave leaves beyond the policy's own time, for training, replicas and looks."""
SOURCES: Final = (TrainPlan, ExperimentsPlan, ArtifactPlan, RegisteredPlan, PredictionsPlan, UriPlan, GivenPlan)

Duration = int | str
"""Nanoseconds, or as the scenario file has it: ``30m``."""


def analysis_policy(
    *rules: str,
    every: Duration = "1m",
    window: Duration | None = None,
    min_requests: int = 1,
    failure_limit: int = 0,
    error_limit: int = 4,
    inconclusive_limit: int | None = None,
    no_data: str = "hold",
) -> AnalysisPolicy:
    """What is looked at again and again, and what too many failures are; as ``analysis`` in the scenario file.

    Args:
        rules: what must hold at each look: ``METRIC OP BOUND``.
        every: from look to look.
        window: each look judges what was answered in this time before it; default: `every`.
        min_requests: answers that each arm must have in the window; with fewer the look is inconclusive.
        failure_limit: a rule fails when it failed on more looks than this.
        error_limit: the rollout is given up when a rule could not be measured more often than this in a row.
        inconclusive_limit: a person is asked when a rule could not be judged more often than this in a row.
        no_data: ``hold`` the step, ``ignore`` it, or ``fail``.

    Raises:
        InputError: a rule, a time or a word that cannot be read.

    >>> policy = analysis_policy("error_rate <= stable + 2%", every="30s")
    >>> policy.rules[0].text, policy.window_ns
    ('error_rate <= stable + 2%', 30000000000)
    """
    if not rules:
        raise InputError("at least one rule, such as error_rate <= stable + 2%; or no analysis at all")
    if no_data not in tuple(NoData):
        raise InputError(f"no_data is {no_data!r}; it is one of {', '.join(NoData)}")
    every_ns = _duration("every", every)
    return AnalysisPolicy(
        rules=tuple(parse(rule) for rule in rules),
        every_ns=every_ns,
        window_ns=every_ns if window is None else _duration("window", window),
        min_requests=min_requests,
        failure_limit=failure_limit,
        error_limit=error_limit,
        no_data=NoData(no_data),
        inconclusive_limit=inconclusive_limit,
    )


def rehearsal(
    rollout: RolloutPolicy,
    *,
    name: str = "rehearsal",
    model: str = "model",
    stable: Any = None,
    candidate: Any = None,
    data: DataPlan | None = None,
    gates: Sequence[str | GatePlan] = (),
    traffic: Traffic | str = "100/s",
    service: Service | Mapping[Role, Service] | None = None,
    labels: Labels | tuple[Duration, str | float] | None = None,
    faults: Sequence[Fault] = (),
    expect: Sequence[str] = (),
    staging: StagingPlan | None = None,
    load: LoadStagePlan | None = None,
    orders: Sequence[ScriptedOrder] = (),
    successors: Sequence[Successor] = (),
    aftercare: Aftercare | None = None,
    stages: Sequence[str] = (),
    notify: Sequence[str] = (),
    evaluation: EvaluationPlan | None = None,
    attempts: Mapping[str, Attempts] | None = None,
    backends: Backends | None = None,
    horizon: Duration | None = None,
    clock: str = "virtual",
    seed: int = 0,
    description: str = "",
) -> Scenario:
    """A scenario without a file, for `harness.run_sync`; what is left out is as in the scenario file.

    Args:
        rollout: how the candidate is to replace stable.
        name: of the scenario, and of its folder of reports.
        model: the model's name in the registry.
        stable: a fitted scikit-learn estimator, or where it comes from (``TrainPlan("logistic_regression", {})`` …);
            None: nothing is known of it, and servers and traffic are all that is rehearsed.
        candidate: likewise.
        data: the data set that models are trained, judged and asked with.
        gates: what the candidate must show on held-out rows: ``f1 >= 0.55``, or a plan of `harness.domain.gates`.
        traffic: a rate of a Poisson process, or any other traffic.
        service: the simulated servers, of both arms or of each.
        labels: when true answers become known, and of what share: ``("15m", "30%")``.
        faults: what goes wrong.
        expect: what must be true of the run for it to pass: ``outcome == rolled_back``.
        staging: what the candidate must stand before production.
        load: the load test that it must stand after that.
        orders: what people say.
        successors: newer candidates.
        aftercare: what happens after a promotion.
        stages: stages that other packages bring.
        notify: where people are told.
        evaluation: what the candidate is asked beyond its figures on all held-out rows.
        attempts: how often stages before deployment are tried, and how long they may take, by name.
        backends: what stands behind each boundary.
        horizon: where the run ends at the latest; default: ``4h``, and more where the policy takes longer.
        clock: ``virtual`` or ``real``.
        seed: of every random draw.
        description: what this rehearsal is for.

    Raises:
        InputError: a value that cannot be read, or a rule that nothing here measures.
    """
    if clock not in tuple(Clock):
        raise InputError(f"clock is {clock!r}; it is one of {', '.join(Clock)}")
    checks = tuple(gate for gate in gates if not isinstance(gate, str))
    plan = ModelPlan(
        model,
        source_of(stable),
        source_of(candidate),
        data,
        _gates(gates, data),
        checks=checks,
        evaluation=evaluation,
    )
    made = Scenario(
        name=_slug(name),
        description=description,
        seed=seed,
        clock=Clock(clock),
        horizon_ns=_horizon_ns(horizon, rollout, aftercare),
        model=plan,
        backends=backends or Backends(),
        service=dict(service) if isinstance(service, Mapping) else dict.fromkeys(ARMS, service or Service()),
        traffic=traffic if isinstance(traffic, Traffic) else _poisson(traffic),
        labels=labels_of(labels),
        rollout=rollout,
        faults=tuple(faults),
        expect=tuple(parse(text, Scope(Standing.EXPECT, _task(data))) for text in expect),
        path="",
        text="",
        staging=staging,
        load=load,
        orders=tuple(sorted(orders, key=lambda order: order.at_ns)),
        successors=tuple(sorted(successors, key=lambda newer: newer.at_ns)),
        aftercare=aftercare,
        stages=tuple(stages),
        notify=tuple(notify),
        attempts=dict(attempts or {}),
    )
    _check(made)
    return dated(made)


# --- values -----------------------------------------------------------------------------------------------------------


def source_of(given: Any) -> ModelSource:
    """Where a model comes from, as it may be given: so, or the fitted estimator itself, or nothing."""
    return given if isinstance(given, SOURCES) else GivenPlan(given)


def _gates(gates: Iterable[str | GatePlan], data: DataPlan | None) -> tuple[Rule, ...]:
    scope = Scope(Standing.GATES, _task(data))
    return tuple(parse(text, scope) for text in gates if isinstance(text, str))


def _task(data: DataPlan | None) -> Task | None:
    if data is None:
        return None
    return Task.CLASSIFICATION if data.positive is not None else Task.REGRESSION


def _duration(what: str, given: Duration) -> int:
    if isinstance(given, int):
        return given
    try:
        return duration_ns(given)
    except ValueError as error:
        raise InputError(f"{what} is {given!r}: {error}") from None


def _poisson(rate: str) -> Traffic:
    try:
        return Traffic("poisson", Process.POISSON, Knots((0,), (rate_per_s(rate),)))
    except ValueError as error:
        raise InputError(f"traffic is {rate!r}: {error}") from None


def labels_of(given: Labels | tuple[Duration, str | float] | None) -> Labels | None:
    """When true answers become known, as it may be given: a pair of delay and share.

    Raises:
        InputError: one of them cannot be read.

    >>> labels_of(("15m", "30%"))
    Labels(delay_ns=900000000000, share=0.3)
    """
    if given is None or isinstance(given, Labels):
        return given
    delay, part = given
    try:
        return Labels(_duration("labels", delay), share(part))
    except ValueError as error:
        raise InputError(f"labels are {given!r}: {error}") from None


def _horizon_ns(given: Duration | None, rollout: RolloutPolicy, aftercare: Aftercare | None) -> int:
    if given is not None:
        return _duration("horizon", given)
    steps = sum(each.takes_ns for each in walk(rollout))
    after = max(aftercare.for_ns if aftercare else 0, rollout.retire_after_ns)
    return max(HORIZON_NS, steps + after + SPARE_NS)


def _slug(name: str) -> str:
    if not name or set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."):
        raise InputError(f"name is {name!r}; it names a folder: letters, digits, - _ and .")
    return name


# --- what belongs together --------------------------------------------------------------------------------------------


def _check(scenario: Scenario) -> None:
    """Every rule is measured here, and the policy's time fits below the horizon."""
    data, rollout = scenario.model.data, scenario.rollout
    scope = Scope(
        Standing.ANALYSIS,
        _task(data),
        labels=scenario.labels is not None,
        mirrored=any(isinstance(step, SetMirror) for step in rollout.steps),
    )
    for policy in _policies(scenario):
        for rule in policy.rules:
            parse(rule.text, scope)
    takes = sum(each.takes_ns for each in walk(rollout))
    if takes > scenario.horizon_ns:
        raise InputError(
            f"the rollout takes {duration_text(takes)}, longer than the horizon {duration_text(scenario.horizon_ns)}"
        )


def _policies(scenario: Scenario) -> Iterable[AnalysisPolicy]:
    rollout, care = scenario.rollout, scenario.aftercare
    monitors: tuple[Monitor, ...] = care.monitors if care else ()
    yield from [rollout.analysis] if rollout.analysis else []
    yield from (step.policy for step in rollout.steps if isinstance(step, Analyze))
    yield from (monitor.policy for monitor in monitors)
