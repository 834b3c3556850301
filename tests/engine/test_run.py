"""Whole runs, told from their events: every end a rollout can come to, and what must hold on the way there."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import anyio
import pytest

from fakes.cluster import SimulatedCluster
from harness.domain.analysis import NoData, Verdict
from harness.domain.event import (
    AliasSet,
    Decided,
    Escalated,
    Event,
    Intended,
    Measured,
    Noticed,
    Observed,
    ReadyChanged,
    ReplicasApplied,
    RolledBack,
    Routed,
    RunEnded,
    StageFinished,
    Totalled,
    Verified,
)
from harness.domain.fault import Crash, Errors, LatencyFactor
from harness.domain.model import Role
from harness.domain.rollout import Outcome, Pause, Routing, SetWeight, Want, Weights
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import HOUR, MINUTE, SECOND, WHOLE
from harness.engine.executor import check
from harness.errors import BackendError, DataError, Rejected, RoutingError, RuleViolation
from harness.log import Events
from harness.protocols import Case, MetricSource, Readiness, Router, Sample, Tell
from tests.build import BOTH, Models, analysis, fault, parts, policy, rehearse, scenario

ON_STABLE = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
ON_CANDIDATE = {Role.STABLE: 0, Role.CANDIDATE: WHOLE}


def test_a_healthy_candidate_climbs_every_step_and_becomes_stable() -> None:
    outcome, events = rehearse(scenario())
    assert outcome is Outcome.PROMOTED
    assert [routed.weights[Role.CANDIDATE] for routed in events.of(Routed)] == [1000, 5000, WHOLE, WHOLE]
    assert events.last(RunEnded).weights == ON_CANDIDATE
    assert [(alias.alias, alias.version) for alias in events.of(AliasSet)] == [
        ("stable", 1),
        ("candidate", 2),
        ("stable", 2),
        ("previous", 1),
    ]
    assert events.last(ReplicasApplied).replicas == {Role.STABLE: 0, Role.CANDIDATE: 2}


def test_a_candidate_that_errs_is_rolled_back_on_the_second_failed_look() -> None:
    bad = scenario(faults=(fault(Errors(0.2), at_ns=3 * MINUTE),))
    outcome, events = rehearse(bad)
    assert outcome is Outcome.ROLLED_BACK
    decided = events.only(Decided)
    deciding = [events[number] for number in decided.because]
    assert [(type(event), event.rule, event.verdict) for event in deciding if isinstance(event, Measured)] == [
        (Measured, "error_rate <= stable + 2%", Verdict.FAIL)
    ]
    assert decided.at_ns == deciding[0].at_ns
    # Traffic began at 0, the candidate's replicas took 30 s; looks are at whole minutes from its first request.
    assert decided.at_ns == 30 * SECOND + 5 * MINUTE - MINUTE
    assert events.only(RolledBack).at_ns == decided.at_ns
    assert events.last(RunEnded).weights == ON_STABLE
    assert events.last(ReplicasApplied).replicas[Role.CANDIDATE] == 0


def test_a_slow_candidate_is_found_by_its_latency() -> None:
    outcome, events = rehearse(scenario(faults=(fault(LatencyFactor(2.5)),)))
    assert outcome is Outcome.ROLLED_BACK
    assert "p95" in events.only(Decided).reason


def test_what_ails_both_arms_alike_is_not_held_against_the_candidate() -> None:
    outcome, _ = rehearse(scenario(faults=(fault(LatencyFactor(2.0), on=BOTH), fault(Errors(0.1), on=BOTH))))
    assert outcome is Outcome.PROMOTED


def test_replicas_that_start_too_late_are_a_rollback() -> None:
    slow = scenario()
    late = replace(slow.service[Role.CANDIDATE], startup_ns=20 * MINUTE)
    outcome, events = rehearse(replace(slow, service={**slow.service, Role.CANDIDATE: late}))
    assert outcome is Outcome.ROLLED_BACK
    assert not [routed for routed in events.of(Routed) if routed.weights[Role.CANDIDATE]]
    assert events.only(Decided).at_ns == 10 * MINUTE


def test_a_crash_is_noticed_and_the_replica_comes_back() -> None:
    crashing = policy(scenario(faults=(fault(Crash(1), at_ns=5 * MINUTE),)), analysis=None)
    outcome, events = rehearse(crashing)
    assert outcome is Outcome.PROMOTED
    kinds = [notice.kind for notice in events.of(Noticed)]
    assert kinds == ["replica_ready", "replica_ready", "fault_began", "replica_crashed", "replica_ready"]
    ready = [changed.ready for changed in events.of(ReadyChanged) if changed.role is Role.CANDIDATE]
    assert ready == [0, 0, 2, 1, 2]  # not asked for; asked for; both at one instant; one crashed; back
    back = events.of(Noticed)[-1].at_ns - events.of(Noticed)[-2].at_ns
    assert back == 10 * SECOND + 30 * SECOND  # restart, then start-up


@pytest.mark.parametrize(
    ("no_data", "outcome"),
    [(NoData.HOLD, Outcome.PAUSED), (NoData.IGNORE, Outcome.PROMOTED), (NoData.FAIL, Outcome.ROLLED_BACK)],
)
def test_with_too_few_requests_the_policy_says_what_becomes_of_it(no_data: NoData, outcome: Outcome) -> None:
    quiet = Traffic("poisson", Process.POISSON, Knots((0,), (0.5,)))
    starved = policy(scenario(traffic=quiet), analysis=analysis(no_data=no_data))
    ended, events = rehearse(starved)
    assert ended is outcome
    assert {measured.verdict for measured in events.of(Measured)} == {Verdict.INCONCLUSIVE}
    if outcome is Outcome.PAUSED:
        assert events.last(RunEnded).at_ns == 2 * HOUR
        assert events.last(RunEnded).weights[Role.CANDIDATE] == 1000


def test_when_the_candidate_has_all_traffic_stables_last_figures_stand() -> None:
    steps = (SetWeight(5000), Pause(5 * MINUTE), SetWeight(WHOLE), Pause(10 * MINUTE))
    late = scenario(faults=(fault(Errors(0.2), at_ns=10 * MINUTE),))
    outcome, events = rehearse(policy(late, steps=steps))
    assert outcome is Outcome.ROLLED_BACK
    assert "stable's last figures" in events.only(Decided).reason
    assert events.last(RunEnded).weights == ON_STABLE


def test_every_intent_comes_before_its_effect_and_every_effect_names_its_intent() -> None:
    _, events = rehearse(scenario())
    intents = {intended.intent: number for number, intended in enumerate(events) if isinstance(intended, Intended)}
    effects = [(number, event.intent) for number, event in enumerate(events) if hasattr(event, "intent")]
    for number, intent in effects:
        assert intents[intent] <= number
    done = Counter(intent for _, intent in effects)
    assert all(count == 2 for count in done.values()), "one intent, one effect"


def test_traffic_is_conserved() -> None:
    _, events = rehearse(scenario(faults=(fault(Errors(0.01)), fault(Crash(1), at_ns=4 * MINUTE))))
    for arm in events.only(Totalled).arms.values():
        assert arm.arrived == arm.succeeded + arm.failed + arm.in_flight
        assert arm.failed == sum(arm.errors.values())


def test_no_look_sees_anything_of_its_own_instant_or_later() -> None:
    """A fault that begins at the very instant of a look is in the next look, not in this one."""
    at_ns = 30 * SECOND + 3 * MINUTE
    _, events = rehearse(
        policy(scenario(faults=(fault(Errors(1.0), at_ns=at_ns),)), analysis=analysis(failure_limit=9))
    )
    by_time = {observed.at_ns: observed.arms[Role.CANDIDATE] for observed in events.of(Observed)}
    assert by_time[at_ns].failed == 0
    assert by_time[at_ns + MINUTE].figures["error_rate"] == pytest.approx(1.0, abs=0.02)


# --- stages before deployment -----------------------------------------------------------------------------------------


class Refusing(Models):
    async def run(self, case: Case, tell: Tell) -> Case:
        raise Rejected("the data set is empty")


class Slow(Models):
    async def run(self, case: Case, tell: Tell) -> Case:
        await anyio.sleep(3 * 3600)
        return await super().run(case, tell)


class Unreadable(Models):
    async def run(self, case: Case, tell: Tell) -> Case:
        raise DataError("telco.csv: no such file")


def test_a_stage_that_says_no_rejects_the_candidate_before_any_traffic() -> None:
    outcome, events = rehearse(of := scenario(), parts(of, stages=[Refusing()]))
    assert outcome is Outcome.REJECTED
    assert events.last(RunEnded).reason == "the data set is empty"
    assert events.last(RunEnded).weights == {}
    assert not events.of(Routed)
    assert events.only(StageFinished).status == "rejected"


def test_a_horizon_that_comes_during_training_is_an_error() -> None:
    outcome, events = rehearse(of := scenario(), parts(of, stages=[Slow()]))
    assert outcome is Outcome.ERROR
    assert events.last(RunEnded).at_ns == 2 * HOUR


def test_input_that_turns_out_unusable_ends_the_log_and_is_told() -> None:
    seen: list[Event] = []
    of = scenario()
    with pytest.raises(DataError, match="no such file"):
        rehearse(of, parts(of, stages=[Unreadable()]), lambda _, event: seen.append(event))
    assert isinstance(seen[-1], RunEnded)


# --- backends that fail -----------------------------------------------------------------------------------------------


class Around(SimulatedCluster):
    """A simulated cluster whose router or metrics can be made to fail."""

    def __init__(self, of: Any, router: Router | None = None, metrics: MetricSource | None = None) -> None:
        super().__init__(of)
        self._other_router, self._other_metrics = router, metrics

    @property
    def router(self) -> Any:
        return self._other_router or super().router

    @property
    def metrics(self) -> Any:
        return self._other_metrics or super().metrics


class Stuck:
    """A router that takes no weights back to stable, for a number of times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.cluster: SimulatedCluster | None = None

    async def apply(self, want: Routing) -> Weights:
        assert self.cluster
        if want.weights[Role.STABLE] == WHOLE and self.refusals:
            self.refusals -= 1
            raise RoutingError("connection refused")
        return self.cluster.route(want)


class Silent:
    """A metric source that does not answer."""

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        raise BackendError("prometheus does not answer")

    async def totals(self) -> Mapping[Role, Any]:
        raise BackendError("prometheus does not answer")

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[Any, ...]:
        raise BackendError("prometheus does not answer")

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, Any]:
        raise BackendError("prometheus does not answer")


@pytest.mark.parametrize(("refusals", "outcome"), [(3, Outcome.ROLLED_BACK), (99, Outcome.FAILED)])
def test_a_router_that_refuses_the_way_back_is_tried_again_and_then_escalated(refusals: int, outcome: Outcome) -> None:
    of = scenario(faults=(fault(Errors(0.5)),))
    router = Stuck(refusals)
    platform = Around(of, router=router)
    router.cluster = platform
    ended, events = rehearse(of, parts(of, platform))
    assert ended is outcome
    attempts = [verified.passed for verified in events.of(Verified)]
    if outcome is Outcome.ROLLED_BACK:
        assert attempts == [False, False, False, True]
        assert events.only(RolledBack).at_ns - events.only(Decided).at_ns == 7 * SECOND  # 1 + 2 + 4
    else:
        assert not any(attempts)
        assert "a person must look" in events.only(Escalated).reason
        assert events.last(RunEnded).weights[Role.CANDIDATE] == 1000, "told as it is"


def test_a_metric_source_that_fails_five_times_in_a_row_ends_it_with_traffic_on_stable() -> None:
    of = scenario()
    outcome, events = rehearse(of, parts(of, Around(of, metrics=Silent())))
    assert outcome is Outcome.ERROR
    assert [measured.verdict for measured in events.of(Measured)] == [Verdict.ERROR] * 10  # five looks, two rules
    assert "prometheus does not answer" in events.last(RunEnded).reason
    assert events.last(RunEnded).weights == ON_STABLE


def test_a_defect_of_the_machine_leaves_traffic_on_stable_and_is_not_swallowed() -> None:
    seen: list[Event] = []
    of = scenario()

    class Broken:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def next(self, state: Any, what: Any, at_ns: int) -> Any:
            if at_ns > 5 * MINUTE:
                raise ZeroDivisionError
            return self.inner.next(state, what, at_ns)

    with pytest.raises((ExceptionGroup, ZeroDivisionError)) as raised:
        rehearse(of, parts(of, machine=Broken(parts(of).machine)), lambda _, event: seen.append(event))
    if isinstance(raised.value, ExceptionGroup):
        assert raised.group_contains(ZeroDivisionError)
    ended = seen[-1]
    assert isinstance(ended, RunEnded)
    assert ended.outcome is Outcome.ERROR
    assert ended.weights == ON_STABLE


@pytest.mark.parametrize(
    ("weights", "ready", "why"),
    [
        ({Role.STABLE: 9000, Role.CANDIDATE: 900}, 2, "sum to it, not to 9900"),
        ({Role.STABLE: 11000, Role.CANDIDATE: -1000}, 2, "must be shares"),
        ({Role.STABLE: 9000, Role.CANDIDATE: 1000}, 0, "none of its replicas is ready"),
    ],
)
def test_what_must_never_be_is_refused_whatever_asks_for_it(weights: Weights, ready: int, why: str) -> None:
    standing = {Role.STABLE: Readiness(2, 2), Role.CANDIDATE: Readiness(2, ready)}
    with pytest.raises(RuleViolation, match=why):
        check(Want(weights, {}), standing, ON_STABLE)


# --- cancellation -----------------------------------------------------------------------------------------------------


class CancelledAt:
    """Cancels the run when its log reaches a number of events."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.cancel: Callable[[], None] = lambda: None
        self.events: list[Event] = []

    def __call__(self, number: int, event: Event) -> None:
        self.events.append(event)
        if number == self.number:
            self.cancel()


def cancelled_run(of: Any, number: int) -> Events:
    """The events of a run that is cancelled when event ``number`` is logged."""
    from harness import engine
    from harness.clock import run_virtual
    from harness.log import EventLog

    async def main() -> None:
        with anyio.CancelScope() as scope:
            watcher.cancel = scope.cancel
            await engine.run(of, parts(of), log)

    log, watcher = EventLog(), CancelledAt(number)
    log.watch(watcher)
    run_virtual(main)
    return Events(watcher.events)


@pytest.mark.parametrize(
    "of",
    [scenario(), scenario(faults=(fault(Errors(0.2), at_ns=3 * MINUTE),))],
    ids=["promoted", "rolled back"],
)
def test_cancelled_at_any_event_it_ends_with_traffic_on_the_stable_revision(of: Any) -> None:
    _, whole = rehearse(of)
    for number in range(len(whole)):
        events = cancelled_run(of, number)
        ended = events.last(RunEnded)
        assert events[-1] is ended, number
        stable_is = [alias.version for alias in events.of(AliasSet) if alias.alias == "stable"]
        if not ended.weights:
            assert not events.of(Routed), number
        elif stable_is[-1] == 2:
            assert ended.outcome is Outcome.PROMOTED, number
            assert ended.weights == ON_CANDIDATE, number
        else:
            assert ended.weights == ON_STABLE, number
            assert events.of(Verified)[-1].passed, number


@pytest.mark.parametrize("at_s", [0, 31, 629, 630, 631, 1229, 1230])
@pytest.mark.parametrize(
    "on", [BOTH, frozenset({Role.STABLE}), frozenset({Role.CANDIDATE})], ids=["both", "stable", "candidate"]
)
def test_an_arm_that_loses_every_replica_at_an_awkward_moment_is_no_defect(at_s: int, on: frozenset[Role]) -> None:
    """Steps begin 30 s, 630 s and 1230 s after traffic."""
    of = policy(scenario(faults=(fault(Crash(2), on=on, at_ns=at_s * SECOND),)), analysis=None)
    outcome, events = rehearse(of)
    assert outcome in {Outcome.PROMOTED, Outcome.ROLLED_BACK}, events.last(RunEnded).reason
    assert events.of(Verified)[-1].passed


# --- what verification means ------------------------------------------------------------------------------------------


def test_a_stable_that_answers_nothing_is_not_verified_but_escalated() -> None:
    of = scenario(faults=(fault(Errors(1.0), on=BOTH, at_ns=2 * MINUTE), fault(LatencyFactor(3.0), at_ns=MINUTE)))
    outcome, events = rehearse(of)
    assert outcome is Outcome.FAILED
    assert {verified.probe for verified in events.of(Verified)} == {False}
    assert "0 of 5 probes answered" in events.last(Verified).detail
    assert "a person must look" in events.only(Escalated).reason


def test_a_candidate_whose_answers_come_too_late_is_not_promoted() -> None:
    of = policy(scenario(faults=(fault(LatencyFactor(500.0)),)), analysis=None)
    outcome, events = rehearse(of)
    assert outcome is Outcome.ROLLED_BACK
    assert events.last(RunEnded).weights == ON_STABLE
    assert [alias.version for alias in events.of(AliasSet) if alias.alias == "stable"] == [1]


def test_a_rollback_waits_for_a_replica_of_stable_that_is_starting_anew() -> None:
    stable = frozenset({Role.STABLE})
    of = scenario(faults=(fault(Errors(0.5)), fault(Crash(1), on=stable, at_ns=2 * MINUTE + 29 * SECOND)))
    outcome, events = rehearse(of)
    assert events.only(Decided).at_ns == 2 * MINUTE + 30 * SECOND
    assert outcome is Outcome.ROLLED_BACK
    assert "2 of 2 replicas ready" in events.last(Verified).detail


def test_a_rollback_onto_a_weaker_stable_is_told_and_not_escalated() -> None:
    of = scenario()
    slow = replace(of.service[Role.STABLE], restart_ns=HOUR)
    stable = frozenset({Role.STABLE})
    faults = (fault(Errors(0.5)), fault(Crash(1), on=stable, at_ns=2 * MINUTE))
    outcome, events = rehearse(replace(of, service={**of.service, Role.STABLE: slow}, faults=faults))
    assert outcome is Outcome.ROLLED_BACK
    assert "1 of 2 replicas ready" in events.last(Verified).detail


def test_a_first_step_of_all_traffic_is_judged_against_what_stable_did_before() -> None:
    busy = Traffic("poisson", Process.POISSON, Knots((0,), (50.0,)))
    of = policy(
        scenario(traffic=busy, faults=(fault(Errors(0.3), at_ns=3 * MINUTE),)), steps=(SetWeight(WHOLE), Pause(HOUR))
    )
    outcome, events = rehearse(of)
    assert outcome is Outcome.ROLLED_BACK
    assert "stable's last figures, of 30s" in events.only(Decided).reason


def test_a_held_step_is_not_left_on_a_failed_look() -> None:
    """Few requests for ten minutes, then enough, and at once too many errors: exposure must not rise."""
    late = Traffic("steps", Process.POISSON, Knots((0, 15 * MINUTE, 15 * MINUTE), (2.0, 2.0, 100.0)))
    of = policy(scenario(traffic=late, faults=(fault(Errors(0.3)),)), analysis=analysis(failure_limit=3))
    outcome, events = rehearse(of)
    assert outcome is Outcome.ROLLED_BACK
    assert {routed.weights[Role.CANDIDATE] for routed in events.of(Routed)} == {1000, 0}


def test_rate_is_counted_over_the_time_in_which_there_was_traffic() -> None:
    wide = policy(scenario(), analysis=analysis("rate >= 3/s", window_ns=10 * MINUTE, failure_limit=0))
    outcome, events = rehearse(wide)
    assert outcome is Outcome.PROMOTED
    first = next(observed for observed in events.of(Observed) if observed.arms[Role.CANDIDATE].requests)
    assert first.arms[Role.CANDIDATE].figures["rate"] == pytest.approx(5, abs=1.5)
    assert first.arms[Role.STABLE].figures["rate"] == pytest.approx(47, abs=5)


def test_the_first_request_is_told_and_none_where_there_was_none() -> None:
    _, events = rehearse(scenario())
    arms = events.only(Totalled).arms
    assert arms[Role.STABLE].first_ns is not None
    assert arms[Role.CANDIDATE].first_ns is not None
    assert 0 <= arms[Role.STABLE].first_ns < SECOND
    assert 30 * SECOND < arms[Role.CANDIDATE].first_ns < 35 * SECOND
    nobody = Traffic("constant", Process.CONSTANT, Knots((0,), (0.0,)))
    _, events = rehearse(policy(scenario(traffic=nobody), analysis=None))
    assert events.only(Totalled).arms[Role.CANDIDATE].first_ns is None


def test_a_cluster_that_breaks_inside_ends_the_run_as_an_error_and_not_in_silence() -> None:
    class Breaks(SimulatedCluster):
        async def apply(self, replicas: Mapping[Role, int]) -> None:
            await super().apply(replicas)
            running, advance = self._running, self._running.advance

            def broken(until_ns: int) -> None:
                if until_ns >= MINUTE:
                    raise ArithmeticError("out of levels")
                advance(until_ns)

            running.advance = broken  # type: ignore[method-assign]

    of = scenario()
    outcome, events = rehearse(of, parts(of, Breaks(of)))
    assert outcome is Outcome.FAILED  # nor can stable be verified on it
    assert "out of levels" in events.last(RunEnded).reason
