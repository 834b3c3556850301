"""Staging, told from the events of whole runs: what a candidate must stand there, and that nothing is left of it."""

import math
from dataclasses import replace
from typing import Any

import anyio
import pytest

from fakes.staging import SimulatedStaging
from harness import engine
from harness.clock import now_ns, run_virtual
from harness.domain.event import (
    Checked,
    LoadTested,
    Noticed,
    Observed,
    Promoted,
    RunEnded,
    StageFinished,
    StagingAsked,
    StagingEnded,
    Totalled,
    TrafficStarted,
)
from harness.domain.fault import Crash, Errors, LatencyAdd, LatencyFactor, Missing, Scale, Shift, Swap
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm, RetrainPlan, StagingPlan, Successor
from harness.domain.model import Revision, Role, Source, TrainPlan
from harness.domain.rollout import Outcome
from harness.domain.service import Fixed, Service
from harness.domain.units import HOUR, MILLISECOND, MINUTE, SECOND
from harness.errors import ClockError, ServingError
from harness.log import EventLog, Events
from harness.protocols import Population, Reply
from harness.staging.contract import golden
from tests.build import analysis, fault, rehearse
from tests.engine.test_run import CancelledAt
from tests.staging.build import PLAN, Bent, Failing, Saying, Trained, body_with, staged, staged_parts

CHECKS = ["staging_ready", "answer_schema", "bad_input", "golden_rows", "success_rate", "mean", "p95", "p99"]


def run(plan: StagingPlan = PLAN, platform: Any = None, stage: Any = None, **changes: Any) -> tuple[Outcome, Events]:
    of = staged(plan, **changes)
    return rehearse(of, staged_parts(of, platform, stage))


def failed(events: Events) -> list[str]:
    return [check.name for check in events.of(Checked) if not check.passed]


@pytest.mark.parametrize("word", ["random_forest", "logistic_regression", "nearest_neighbours"])
def test_a_sound_candidate_stands_every_check_and_only_then_goes_to_production(word: str) -> None:
    outcome, events = run(stage=Trained(word))
    assert outcome is Outcome.PROMOTED
    checks = events.of(Checked)
    assert [check.name for check in checks] == CHECKS
    assert all(check.passed for check in checks)
    assert {check.name: (check.value, check.bound) for check in checks}["golden_rows"] == (12.0, "== 12")
    assert events.last(LoadTested).grade == "A+"
    kinds = [type(event) for event in events if isinstance(event, StagingAsked | StagingEnded | TrafficStarted)]
    assert kinds == [StagingAsked, StagingEnded, TrafficStarted]
    asked, live = events.first(StagingAsked).at_ns, events.first(TrafficStarted).at_ns
    assert live - asked == (30 + 60 + 1) * SECOND + 1  # start-up, load test, the longest that an answer may take


def test_a_regression_model_answers_with_its_values() -> None:
    outcome, events = run(stage=Trained("random_forest_regressor", regression=True))
    assert outcome is Outcome.PROMOTED
    assert not failed(events)


@pytest.mark.parametrize(
    ("effect", "names", "grade"),
    [
        (Errors(0.2), ["success_rate"], "F"),
        (LatencyAdd(0.55), ["mean"], "C"),
        (Scale("x", 25.0), ["golden_rows"], "A+"),
        (Shift("x", 4.0), ["golden_rows"], "A+"),
        (Swap("c", "a", "b"), ["golden_rows"], "A+"),
        (Missing("x", 0.9), ["golden_rows"], "A+"),
    ],
    ids=str,
)
def test_what_ails_the_candidate_in_staging_keeps_it_from_production(effect: Any, names: list[str], grade: str) -> None:
    outcome, events = run(replace(PLAN, rate_per_s=2.0, faults=(fault(effect),)))
    assert outcome is Outcome.REJECTED
    assert failed(events) == names
    assert events.last(LoadTested).grade == grade
    assert events.last(RunEnded).reason.startswith(f"in staging: {names[0]}: ")
    assert events.last(StageFinished).status == "rejected"
    assert events.last(StagingEnded).gone
    assert not events.of(TrafficStarted)


def test_a_fault_on_stable_does_not_reach_staging_nor_one_of_production() -> None:
    mine = fault(Errors(1.0), on=frozenset({Role.STABLE}))
    outcome, events = run(replace(PLAN, faults=(mine,)), faults=(fault(LatencyFactor(50.0), at_ns=90 * MINUTE),))
    assert outcome is Outcome.PROMOTED
    assert events.last(LoadTested).failed == 0


def test_a_crash_of_every_replica_fails_what_comes_until_one_is_there_again() -> None:
    plan = replace(PLAN, faults=(fault(Crash(2), at_ns=10 * SECOND),))
    _, events = run(plan)
    met = events.last(LoadTested)
    # Down from 10 s on for 10 s until they start anew, and the 30 s that starting takes.
    assert met.errors["no_replica"] == pytest.approx(20 * 40, abs=2)
    assert failed(events) == ["success_rate"]


def test_replicas_that_never_become_ready_are_a_rejection_that_says_so() -> None:
    outcome, events = run(replace(PLAN, ready_within_ns=29 * SECOND))
    assert outcome is Outcome.REJECTED
    assert failed(events) == ["staging_ready"]
    assert events.last(RunEnded).reason == "in staging: staging_ready: the endpoint is not ready within 29s"
    assert events.last(StagingEnded).gone


def accepts_anything(body: Any, reply: Reply) -> Reply:
    del body
    return Reply(200, {"prediction": "0", "confidence": None, "model": "m", "version": 2}) if reply.refused else reply


def breaks_on_text(body: Any, reply: Reply) -> Reply:
    return Reply(500) if isinstance(body, dict) and "not a number" in body.values() else reply


@pytest.mark.parametrize(
    ("bend", "name", "detail"),
    [
        (accepts_anything, "bad_input", "0 of 4 bad requests were refused: an empty object got 200"),
        (breaks_on_text, "bad_input", "3 of 4 bad requests were refused: a row with text as x got 500"),
        (body_with(version=1), "answer_schema", "0 of 12 answers have the form that was agreed: m:1 answers, not m:2"),
        (body_with(confidence=1.2), "answer_schema", "confidence is 1.2, neither a share from 0 to 1 nor null"),
        (body_with(confidence=math.nan), "answer_schema", "confidence is nan"),
        (body_with(prediction="maybe"), "answer_schema", "prediction is 'maybe', not one of"),
        (lambda _, reply: Reply(503) if reply.answered else reply, "answer_schema", "no answer, but 503"),
        (lambda _, reply: Reply(200, [1]) if reply.answered else reply, "answer_schema", "the answer is [1]"),
        (body_with(confidence=0.123), "golden_rows", "is answered with confidence 0.123, and was with"),
    ],
)
def test_an_endpoint_that_breaks_its_contract_is_told_by_the_check(bend: Any, name: str, detail: str) -> None:
    of = staged()
    outcome, events = run(platform=Saying(of, bend))
    assert outcome is Outcome.REJECTED
    assert name in failed(events)
    assert detail in next(check.detail for check in events.of(Checked) if check.name == name)
    assert events.last(LoadTested).grade == "A+"  # every check is made


@pytest.mark.parametrize("seconds", [0.02, 0.5])
def test_without_a_queue_every_latency_is_the_service_time(seconds: float) -> None:
    of = staged(service=dict.fromkeys((Role.STABLE, Role.CANDIDATE), Service(2, 16, Fixed(seconds), 2 * SECOND)))
    _, events = rehearse(of, staged_parts(of))
    met = events.last(LoadTested)
    assert met.sent == 20 * 60
    assert met.figures["mean"] == pytest.approx(seconds, abs=1e-9)
    assert met.figures["p99"] == pytest.approx(seconds, rel=0.008)
    assert met.figures["success_rate"] == 1.0


def test_beyond_its_capacity_a_queue_grows_as_a_fluid_would() -> None:
    """Two servers of 100 ms take 20 a second; of 30 a second the wait grows by half a second each second."""
    service = Service(1, 2, Fixed(0.1), 120 * SECOND, 10_000, SECOND)
    of = staged(
        replace(PLAN, replicas=1, rate_per_s=30.0), service=dict.fromkeys((Role.STABLE, Role.CANDIDATE), service)
    )
    _, events = rehearse(of, staged_parts(of))
    met = events.last(LoadTested)
    assert (met.sent, met.failed) == (1800, 0)
    assert met.figures["mean"] == pytest.approx(60 * 0.5 / 2, rel=0.02)
    assert met.grade == "F"


def test_golden_rows_are_answered_as_scikit_learn_answers_them_one_by_one() -> None:
    stage = Trained("random_forest")
    model = stage.model(Role.CANDIDATE)

    rows = golden(model, Population(stage.rows.rows, stage.rows.target), 200)
    assert [each.number for each in rows] == list(range(200))
    estimator = model.estimator
    for each in rows[::20]:
        one = stage.rows.rows.iloc[[each.number]]
        assert each.prediction == str(estimator.predict(one)[0])
        assert each.confidence == pytest.approx(estimator.predict_proba(one).max())


def test_a_model_of_which_only_answers_are_known_is_tested_under_load_alone() -> None:
    outcome, events = run(stage=Trained(source=Source.RECORDED))
    assert outcome is Outcome.PROMOTED
    assert [check.name for check in events.of(Checked)] == ["staging_ready", *CHECKS[4:]]
    assert "only its answers are known" in events.first(Noticed).text


def test_staging_does_not_change_what_production_does() -> None:
    _, one = run()
    _, other = run(replace(PLAN, rate_per_s=40.0))
    assert one.last(LoadTested).sent * 2 == other.last(LoadTested).sent
    assert one.of(Observed) == other.of(Observed)
    assert one.last(Totalled) == other.last(Totalled)


def test_a_newer_candidate_stands_in_staging_too() -> None:
    of = staged(successors=(Successor(40 * MINUTE, TrainPlan("none", {}), name="newer"),), horizon_ns=4 * HOUR)
    _, events = rehearse(of, staged_parts(of))
    assert [asked.version for asked in events.of(StagingAsked)] == [2, 3]
    assert [ended.gone for ended in events.of(StagingEnded)] == [True, True]


def test_an_environment_of_the_outside_world_is_refused_on_virtual_time() -> None:
    class Outside(SimulatedStaging):
        realtime = True

    of = staged()
    with pytest.raises(ClockError, match="--clock real"):
        rehearse(of, staged_parts(of, Outside(of, PLAN)))


# --- nothing is left of it --------------------------------------------------------------------------------------------


def calls() -> list[str]:
    of = staged()
    platform = Failing(of, -1, None)
    rehearse(of, staged_parts(of, platform))
    assert not platform.live
    return platform.names


CALLS = calls()
SOME = sorted({*range(3), *(CALLS.index(name) for name in ("predict", "load", "stop")), len(CALLS) - 3})


def test_the_calls_that_can_fail_are_all_there_are() -> None:
    assert set(CALLS) == {"start", "ready", "predict", "load", "stop"}
    assert CALLS.count("predict") == 12 + 4


@pytest.mark.parametrize("at", range(len(CALLS)), ids=lambda at: f"{at}-{CALLS[at]}")
def test_a_call_that_fails_cleans_up_what_was_begun(at: int) -> None:
    of = staged()
    platform = Failing(of, at, ServingError("it broke"))
    outcome, events = rehearse(of, staged_parts(of, platform))
    assert not platform.live
    assert events.last(StagingEnded).gone
    assert len(events.of(RunEnded)) == 1
    wanted = {"predict": Outcome.REJECTED, "stop": Outcome.PROMOTED}.get(CALLS[at], Outcome.ERROR)
    if CALLS[at] == "predict" and CALLS[:at].count("predict") >= 12:
        assert failed(events) == ["bad_input"]
    assert outcome is wanted
    assert bool(events.of(TrafficStarted)) is (outcome is Outcome.PROMOTED)


@pytest.mark.parametrize("at", SOME, ids=lambda at: f"{at}-{CALLS[at]}")
def test_a_call_that_never_returns_cleans_up_what_was_begun(at: int) -> None:
    of = staged()
    platform = Failing(of, at, None)
    outcome, events = rehearse(of, staged_parts(of, platform))
    assert not platform.live
    assert events.last(StagingEnded).gone
    wanted = {"start": Outcome.REJECTED, "ready": Outcome.REJECTED, "stop": Outcome.PROMOTED}
    assert outcome is wanted.get(CALLS[at], Outcome.ERROR)


def test_an_environment_that_cannot_be_torn_down_is_told_and_ends_in_time() -> None:
    class Stuck(SimulatedStaging):
        async def stop(self) -> None:
            await anyio.sleep(HOUR / SECOND)

    of = staged()
    outcome, events = rehearse(of, staged_parts(of, Stuck(of, PLAN)))
    ended = events.last(StagingEnded)
    assert (ended.gone, ended.detail) == (False, "something may be left of it: stopping took more than 20 s")
    assert outcome is Outcome.PROMOTED


def test_a_horizon_that_comes_in_staging_ends_the_run_with_nothing_left() -> None:
    of = staged(horizon_ns=50 * SECOND)
    platform = Failing(of, -1, None)
    outcome, events = rehearse(of, staged_parts(of, platform))
    assert outcome is Outcome.ERROR
    assert events.last(RunEnded).reason == "the horizon came while stage staging was under way"
    assert not platform.live


def test_cancelled_at_any_event_of_staging_nothing_is_left_of_it() -> None:
    of = staged()
    _, whole = rehearse(of, staged_parts(of))
    through = next(number for number, event in enumerate(whole) if isinstance(event, TrafficStarted))
    for number in range(through):
        platform = Failing(of, -1, None)
        events = cancelled(of, platform, number)
        assert not platform.live, number
        assert events.last(RunEnded).outcome is Outcome.ABORTED, number
        assert len(events.of(StagingAsked)) == len(events.of(StagingEnded)), number


@pytest.mark.parametrize("after_ms", [0, 1, 15_000, 30_000, 30_500, 70_000, 91_000])
def test_cancelled_at_any_time_in_staging_nothing_is_left_of_it(after_ms: int) -> None:
    of = staged()
    platform = Failing(of, -1, None)
    events = cancelled(of, platform, None, after_ms * MILLISECOND)
    assert not platform.live
    assert events.last(RunEnded).outcome is Outcome.ABORTED


def cancelled(of: Any, platform: Any, number: int | None, after_ns: int = 0) -> Events:
    """The events of a run that is cancelled at an event, or at a time after its first."""

    async def main() -> None:
        with anyio.CancelScope() as scope:
            watcher.cancel = scope.cancel
            if number is None:
                scope.deadline = anyio.current_time() + after_ns / SECOND
            await engine.run(of, staged_parts(of, platform), log)

    log, watcher = EventLog(), CancelledAt(-1 if number is None else number)
    log.watch(watcher)
    run_virtual(main)
    return Events(watcher.events)


# --- the fake ---------------------------------------------------------------------------------------------------------


async def test_the_simulated_endpoint_says_what_a_server_would() -> None:
    stage = Trained()

    of = staged()
    platform = SimulatedStaging(of, PLAN)
    model, population = stage.model(Role.CANDIDATE), Population(stage.rows.rows, stage.rows.target)
    with pytest.raises(ServingError, match="at least one"):
        await platform.start(model, Revision("m", 7, "d"), population, 0)
    endpoint = await platform.start(model, Revision("m", 7, "d"), population, 1)
    assert not await endpoint.ready()
    assert (await endpoint.predict({})).status == 503
    with pytest.raises(ServingError, match="ready"):
        await platform.load(1.0, SECOND)
    platform._began_ns = now_ns() - HOUR
    good = {"x": None, "n": 2.0, "c": None}
    assert (await endpoint.predict(good)).body["version"] == 7
    assert (await endpoint.predict({**good, "other": 1})).answered
    for bad in ({"x": 1.0, "n": 2.0}, {**good, "x": "1"}, {**good, "x": True}, {**good, "c": 3}, [good], None, "text"):
        assert (await endpoint.predict(bad)).refused, bad
    await platform.stop()
    await platform.stop()
    assert (await endpoint.predict(good)).status == 503


# --- those that come later --------------------------------------------------------------------------------------------


class SoundOnce(SimulatedStaging):
    """An environment in which the first candidate is sound and those after it answer for another version."""

    started = 0

    async def start(self, *args: Any) -> Any:
        self.started += 1
        endpoint = await super().start(*args)
        return endpoint if self.started == 1 else Bent(endpoint, body_with(version=0))


def test_a_newer_candidate_that_fails_in_staging_leaves_the_promoted_one_in_service() -> None:
    of = staged(successors=(Successor(40 * MINUTE, TrainPlan("none", {}), name="newer"),), horizon_ns=4 * HOUR)
    outcome, events = rehearse(of, staged_parts(of, SoundOnce(of, PLAN)))
    assert outcome is Outcome.REJECTED
    assert events.last(RunEnded).reason.startswith("in staging: answer_schema: 0 of 12 answers")
    assert events.last(Promoted).version == 2
    assert events.last(RunEnded).weights == {Role.STABLE: 0, Role.CANDIDATE: 10_000}
    assert all(ended.gone for ended in events.of(StagingEnded))


def test_a_challenger_that_fails_in_staging_leaves_the_champion_where_it_is() -> None:
    class Anew:
        async def challenge(self, case: Any, known: float, tell: Any) -> Any:
            del known, tell
            return case.having(models={**case.models, Role.CANDIDATE: Trained().model(Role.CANDIDATE)})

    watch = Monitor("decay", analysis("p95 <= 60ms"), OnAlarm.RETRAIN)
    care = Aftercare(monitors=(watch,), for_ns=HOUR, retrain=RetrainPlan(TrainPlan("none", {}), at_most=1))
    slow = fault(LatencyFactor(4.0), at_ns=40 * MINUTE)
    of = staged(aftercare=care, faults=(slow,), horizon_ns=4 * HOUR)
    of = replace(of, rollout=replace(of.rollout, analysis=None))
    made = replace(staged_parts(of, SoundOnce(of, PLAN)), retrainer=Anew())
    outcome, events = rehearse(of, made)
    assert [asked.version for asked in events.of(StagingAsked)] == [2, 3]
    assert [each.status for each in events.of(StageFinished) if each.stage == "staging"] == ["ok", "rejected"]
    assert outcome is Outcome.PROMOTED
    assert [promoted.version for promoted in events.of(Promoted)] == [2]
    assert events.last(RunEnded).weights == {Role.STABLE: 0, Role.CANDIDATE: 10_000}
