"""Policies of every strategy, and everything that may befall a rollout, as Hypothesis strategies."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from harness.domain.analysis import AnalysisPolicy, Experiment, NoData
from harness.domain.fault import Crash, Errors, Fault, LatencyFactor
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm, RetrainPlan, ScriptedOrder, Successor
from harness.domain.model import ARMS, Role, TrainPlan
from harness.domain.rollout import (
    Analyze,
    Approve,
    HeaderRoute,
    Order,
    Pause,
    RolloutPolicy,
    SetMirror,
    SetRoute,
    SetScale,
    SetWeight,
    Smoke,
    Step,
)
from harness.domain.scenario import Scenario
from harness.domain.service import Fixed, Service
from harness.domain.traffic import Knots, Process, RequestClass, Traffic
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.strategies.ab_test import ab_test_steps
from harness.strategies.blue_green import blue_green_steps
from harness.strategies.shadow import shadow_steps
from tests.build import analysis, scenario
from tests.properties.stories import Plan
from tests.properties.troubles import CALLS, ERRORS, Trouble

BETA = HeaderRoute("beta", "x-beta", "1")
PLAIN = ("error_rate <= stable + 5%", "mean <= 1s", "success_rate >= 90%", "replicas_ready >= 1")


def chance(draw: Any, one_in: int = 2) -> bool:
    return bool(draw(st.integers(1, one_in)) == one_in)


@st.composite
def analyses(draw: Any) -> AnalysisPolicy:
    every = draw(st.sampled_from([30 * SECOND, MINUTE]))
    return analysis(
        *draw(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=2, unique=True)),
        every_ns=every,
        window_ns=every * draw(st.integers(1, 2)),
        min_requests=draw(st.sampled_from([1, 5, 30])),
        failure_limit=draw(st.integers(0, 2)),
        error_limit=draw(st.integers(0, 3)),
        no_data=draw(st.sampled_from(NoData)),
        inconclusive_limit=draw(st.sampled_from([None, None, 0, 2])),
    )


@st.composite
def approvals(draw: Any) -> Approve:
    within = draw(st.sampled_from([None, MINUTE, 10 * MINUTE]))
    texts = draw(st.lists(st.sampled_from(PLAIN[1:3]), max_size=2, unique=True))
    criteria = analysis(*texts).rules if texts else ()
    return Approve(within, criteria) if criteria or within else Approve(5 * MINUTE, ())


DURATIONS = st.sampled_from([30 * SECOND, 90 * SECOND, 3 * MINUTE])
PAUSES = st.builds(Pause, st.one_of(DURATIONS, DURATIONS, DURATIONS, st.none()))
SHARES = st.sampled_from([100, 1000, 2500, 5000, 8000, WHOLE])
BESIDE = st.one_of(PAUSES, PAUSES, st.builds(Analyze, analyses(), st.integers(1, 3)), approvals(), st.just(Smoke(3)))


@st.composite
def canary_steps(draw: Any, size: int, *, by_replicas: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    apart = st.one_of(
        st.builds(SetScale, st.one_of(st.none(), st.integers(1, size))),
        st.sampled_from([SetRoute("beta", BETA), SetRoute("beta", None), SetMirror(2000), SetMirror(0)]),
    )
    weights = draw(st.lists(SHARES, min_size=1, max_size=4, unique=True))
    for weight in weights if chance(draw, 4) else sorted(weights):
        if not by_replicas:
            steps += draw(st.lists(apart, max_size=1))
        steps.append(SetWeight(weight))
        steps += draw(st.lists(BESIDE, max_size=2))
    return tuple(steps)


@st.composite
def canaries(draw: Any, size: int) -> RolloutPolicy:
    by_replicas = chance(draw, 3)
    steps = draw(canary_steps(size, by_replicas=by_replicas))
    return RolloutPolicy(
        "canary",
        steps,
        draw(st.one_of(st.none(), analyses())),
        analysis_from=draw(st.integers(0, 3)),
        by_replicas=by_replicas,
        max_surge=draw(st.sampled_from(["25%", "1", "0"])),
        max_unavailable=draw(st.sampled_from(["25%", "1", "0"])),
        baseline=not by_replicas and chance(draw, 3),
        sticky=chance(draw),
        stepwise_ns=draw(st.sampled_from([None, 0, 30 * SECOND])),
    )


@st.composite
def blue_greens(draw: Any, size: int) -> RolloutPolicy:
    steps = blue_green_steps(
        preview=draw(st.one_of(st.none(), st.integers(1, size))),
        smoke=draw(st.sampled_from([0, 3])),
        before=draw(st.one_of(st.none(), st.tuples(analyses(), st.integers(1, 3)))),
        wait_ns=draw(st.sampled_from([0, MINUTE])),
        approve=draw(st.one_of(st.none(), approvals())),
        after=draw(st.one_of(st.none(), st.tuples(analyses(), st.integers(1, 3)))),
    )
    return RolloutPolicy("blue_green", steps, draw(st.one_of(st.none(), analyses())))


@st.composite
def rollings(draw: Any) -> RolloutPolicy:
    return RolloutPolicy(
        "rolling",
        (),
        draw(st.one_of(st.none(), analyses())),
        max_surge=draw(st.sampled_from(["25%", "1", "0", "100%"])),
        max_unavailable=draw(st.sampled_from(["25%", "1", "0", "50%"])),
        min_ready_ns=draw(st.sampled_from([0, 20 * SECOND])),
        batch_pause_ns=draw(st.sampled_from([0, MINUTE])),
        by_replicas=True,
    )


@st.composite
def shadows(draw: Any) -> RolloutPolicy:
    steps = shadow_steps(draw(SHARES), draw(DURATIONS), draw(st.one_of(st.none(), approvals())))
    if chance(draw, 3):
        steps = (*steps, Analyze(draw(analyses()), 2))
    return RolloutPolicy("shadow", steps, draw(st.one_of(st.none(), analyses())), promote=chance(draw))


@st.composite
def tests_of_two(draw: Any) -> RolloutPolicy:
    primary = draw(st.sampled_from(["success_rate", "error_rate", "mean"]))
    what = Experiment(primary, draw(st.sampled_from([0.01, 0.3])))
    steps = ab_test_steps(draw(st.sampled_from([1000, 5000])), what, draw(DURATIONS), draw(st.integers(2, 15)) * MINUTE)
    return RolloutPolicy(
        "ab_test", steps, draw(st.one_of(st.none(), analyses())), sticky=True, promote=chance(draw, 3) is False
    )


@st.composite
def faults(draw: Any) -> Fault:
    effect = draw(
        st.sampled_from([Errors(0.3), Errors(1.0), LatencyFactor(3.0), LatencyFactor(500.0), Crash(1), Crash(9)])
    )
    on = draw(st.sampled_from([frozenset({Role.CANDIDATE})] * 3 + [frozenset({Role.STABLE}), frozenset(ARMS)]))
    at_ns = draw(st.integers(0, 40)) * 30 * SECOND
    until = draw(st.sampled_from([None, at_ns + 3 * MINUTE]))
    return Fault(str(effect), on, effect, at_ns=at_ns, until_ns=until)


@st.composite
def orders(draw: Any) -> ScriptedOrder:
    kinds = [Order.APPROVE] * 3 + [Order.REJECT, Order.PROMOTE, Order.ABORT]
    return ScriptedOrder(draw(st.integers(0, 60)) * 15 * SECOND, draw(st.sampled_from(kinds)), "ops")


@st.composite
def cares(draw: Any) -> Aftercare:
    monitors = [
        Monitor(f"watch{number}", draw(analyses()), draw(st.sampled_from(OnAlarm)))
        for number in range(draw(st.integers(0, 2)))
    ]
    return Aftercare(
        tuple(monitors),
        for_ns=draw(st.sampled_from([2, 10, 30])) * MINUTE,
        cool_down_ns=draw(st.sampled_from([0, 3 * MINUTE])),
        keep_previous_ns=draw(st.sampled_from([None, 4 * MINUTE])),
        retrain=RetrainPlan(TrainPlan("none", {}), at_most=2, apart_ns=draw(st.sampled_from([0, 5 * MINUTE]))),
    )


@st.composite
def troubles(draw: Any) -> Trouble:
    side, method = draw(st.sampled_from([(side, method) for side, methods in CALLS.items() for method in methods]))
    error = draw(st.one_of(st.none(), st.sampled_from(ERRORS)))
    return Trouble(
        side, method, draw(st.sampled_from([0, 0, 1, 2, 3, 5, 8, 13, 30])), draw(st.sampled_from([1, 2, 3, None])),
        error=error, hang_s=draw(st.sampled_from([1.0, 20.0, 90.0, float("inf")])) if error is None else 0.0,
        late=chance(draw),
    )  # fmt: skip


POLICIES = ("canary", "blue_green", "rolling", "shadow", "ab_test")


@st.composite
def scenarios(draw: Any) -> Scenario:
    size = draw(st.sampled_from([1, 2, 3, 5]))
    kind = draw(st.sampled_from(POLICIES))
    made: dict[str, Any] = {
        "canary": canaries(size), "blue_green": blue_greens(size), "rolling": rollings(), "shadow": shadows(),
        "ab_test": tests_of_two(),
    }  # fmt: skip
    rollout = replace(
        draw(made[kind]),
        ready_within_ns=draw(st.sampled_from([MINUTE, 5 * MINUTE])),
        retire_after_ns=draw(st.sampled_from([0, 2 * MINUTE])),
    )
    starts = st.sampled_from([5 * SECOND, 30 * SECOND, 2 * MINUTE])
    service = {role: Service(size, 2, Fixed(0.02), SECOND, 20, draw(starts)) for role in ARMS}
    kinds = (RequestClass("plain", 0.8), RequestClass("beta", 0.2, headers=(("x-beta", "1"),)))
    rate = draw(st.sampled_from([0.1, 1.0, 3.0]))
    traffic = Traffic("poisson", Process.POISSON, Knots((0,), (rate,)), users=50, classes=kinds)
    later = draw(st.lists(st.integers(0, 40), max_size=2).map(sorted)) if chance(draw, 3) else []
    return scenario(
        seed=draw(st.integers(0, 2**16)),
        horizon_ns=draw(st.sampled_from([5, 20, 60])) * MINUTE,
        service=service,
        traffic=traffic,
        rollout=rollout,
        faults=tuple(draw(st.lists(faults(), max_size=2))),
        orders=tuple(sorted(draw(st.lists(orders(), max_size=4)), key=lambda order: order.at_ns)),
        successors=tuple(
            Successor(
                minute * MINUTE, TrainPlan("none", {}), tuple(draw(st.lists(faults(), max_size=1))), f"next{minute}"
            )
            for minute in later
        ),
        aftercare=draw(st.one_of(st.none(), cares())),
    )


@st.composite
def plans(draw: Any, *, calm: bool = False) -> Plan:
    """A scenario, and (unless it is to be calm) backends in trouble and a signal at any event."""
    of = draw(scenarios())
    if calm:
        return Plan(of, better=chance(draw))
    kind = draw(st.sampled_from(["calm", "troubled", "troubled", "cancelled", "both"]))
    given = tuple(draw(st.lists(troubles(), min_size=1, max_size=3))) if kind in {"troubled", "both"} else ()
    cancel = draw(st.integers(0, 150)) if kind in {"cancelled", "both"} else None
    return Plan(of, given, cancel, better=chance(draw))
