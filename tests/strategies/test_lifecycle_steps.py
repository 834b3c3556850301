"""What a step may wait for besides time, and every way out of the wait; driven by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.domain.analysis import AnalysisPolicy, Experiment, Verdict
from harness.domain.model import Role
from harness.domain.rollout import (
    AnalysisPhase,
    Analyze,
    Approve,
    Await,
    CallHook,
    Command,
    Decide,
    End,
    EnterStep,
    ExperimentPhase,
    Finding,
    HookAnswer,
    Order,
    Outcome,
    Pause,
    Ready,
    RolloutPolicy,
    SetMirror,
    SetScale,
    SetWeight,
    Smoke,
    StartAnalysis,
    StartExperiment,
    Step,
    StopAnalysis,
    Superseded,
    Want,
)
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.strategies import STRATEGIES
from harness.strategies.blue_green import blue_green_steps
from harness.strategies.shadow import shadow_steps
from harness.strategies.steps import split
from tests.strategies.test_steps import READY, REPLICAS, RULE, Driver

POLICY = AnalysisPolicy((RULE,))
PASSED = AnalysisPhase(Verdict.PASS, "", passed_ns=MINUTE, inline=True, done=True)
FAILED = AnalysisPhase(Verdict.FAIL, "too many errors", because=(9,))
UNSURE = AnalysisPhase(Verdict.INCONCLUSIVE, "too few answers", because=(8,))
YES, NO, NOW, STOP = (Command(order, "ann") for order in (Order.APPROVE, Order.REJECT, Order.PROMOTE, Order.ABORT))
TRIAL = Decide(Experiment("success_rate", 0.01), MINUTE, 60 * MINUTE)


def driver(*steps: Step, strategy: str = "canary", sizes: Mapping[Role, int] = REPLICAS, **policy: Any) -> Driver:
    given = RolloutPolicy(strategy, steps, policy.pop("analysis", None), **policy)
    return Driver(STRATEGIES[strategy](given, sizes))


def ended(driven: Driver) -> tuple[Outcome, tuple[int, ...]]:
    assert driven.end is not None
    return driven.end.outcome, driven.end.because


# --- people -----------------------------------------------------------------------------------------------------------


def test_a_pause_without_an_end_waits_for_a_person_and_for_nothing_else() -> None:
    driven = driver(SetWeight(1000), Pause(None)).see(READY)
    assert driven.asked[-1] == Await("this pause ends when a person says so", None)
    assert driven.wake is None
    driven.see(YES, MINUTE)
    assert ended(driven) == (Outcome.PROMOTED, ())


def test_an_approval_ends_by_itself_when_its_time_is_over() -> None:
    driven = driver(SetWeight(1000), Approve(10 * MINUTE)).see(READY, SECOND)
    assert driven.asked[-1] == Await("an approval", SECOND + 10 * MINUTE)
    driven.wait()
    assert driven.end == End(Outcome.ROLLED_BACK, "the approval was not given in time")


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (NO, End(Outcome.ROLLED_BACK, "refused by ann")),
        (STOP, End(Outcome.ABORTED, "aborted by ann")),
        (Superseded("m:3"), End(Outcome.ABORTED, "superseded by m:3", superseded=True)),
    ],
)
def test_a_refusal_an_abort_and_a_newer_candidate_end_it_whatever_it_waits_for(said: Any, end: End) -> None:
    for step in (Pause(None), Pause(MINUTE), Approve(MINUTE), Smoke(3), Analyze(POLICY, 3), SetScale(2), TRIAL):
        assert driver(SetWeight(1000), step).see(READY).see(said).end == end, step
    assert driver(SetWeight(1000)).see(said).end == end  # while the replicas start


def test_criteria_come_before_the_person_and_a_criterion_not_met_names_what_it_rests_on() -> None:
    step = Approve(MINUTE, (RULE,))
    driven = driver(SetWeight(1000), step).see(READY)
    assert driven.asked[-1] == CallHook("criteria", step)
    asking = driven.see(HookAnswer("criteria", passed=True, reason="", because=(4,)))
    assert asking.asked[-1] == Await("an approval", MINUTE)
    refused = (
        driver(SetWeight(1000), step).see(READY).see(HookAnswer("criteria", passed=False, reason="no", because=(4,)))
    )
    assert ended(refused) == (Outcome.ROLLED_BACK, (4,))
    alone = driver(SetWeight(1000), Approve(None, (RULE,))).see(READY)
    assert ended(alone.see(HookAnswer("criteria", passed=True, reason=""))) == (Outcome.PROMOTED, ())


def test_a_promotion_that_is_ordered_leaves_out_the_rest_and_waits_for_replicas() -> None:
    early = driver(SetWeight(1000), Pause(None), SetWeight(5000), Pause(None)).see(NOW)
    assert [action for action in early.asked if isinstance(action, Want)] == [Want(split(0), REPLICAS)]
    early.see(READY, MINUTE)
    assert early.asked[-2:] == [Want(split(WHOLE), REPLICAS), End(Outcome.PROMOTED, "promoted by ann")]
    small = driver(SetScale(1), SetWeight(1000), Pause(None)).see(Ready(Role.CANDIDATE, 1, 1)).see(NOW)
    assert small.asked[-1] == Want(split(1000), REPLICAS)  # its full size comes before the traffic
    small.see(READY)
    assert small.asked[-2:] == [Want(split(WHOLE), REPLICAS), End(Outcome.PROMOTED, "promoted by ann")]
    kept = driver(*shadow_steps(2000, MINUTE), strategy="shadow", promote=False).see(READY).see(NOW)
    assert ended(kept) == (Outcome.PROMOTED, ())


# --- analyses ---------------------------------------------------------------------------------------------------------


def test_a_steps_own_analysis_keeps_it_until_it_is_done() -> None:
    driven = driver(SetWeight(1000), Analyze(POLICY, 3), SetWeight(5000), Pause(MINUTE)).see(READY)
    assert driven.asked[-1] == StartAnalysis(POLICY, 3)
    before = len(driven.asked)
    driven.see(replace(PASSED, done=False))
    assert len(driven.asked) == before
    driven.see(PASSED)
    assert driven.asked[before:][:2] == [StopAnalysis(inline=True), EnterStep(2, SetWeight(5000))]
    failed = driver(SetWeight(1000), Analyze(POLICY, 3)).see(READY).see(replace(FAILED, inline=True))
    assert failed.asked[-2:] == [StopAnalysis(inline=True), End(Outcome.ROLLED_BACK, "too many errors", (9,))]


def test_an_inconclusive_analysis_waits_for_a_person_who_has_it_all_looked_at_anew() -> None:
    driven = driver(SetWeight(1000), Analyze(POLICY, 3)).see(READY).see(replace(UNSURE, inline=True))
    assert driven.asked[-2:] == [
        StopAnalysis(inline=True), Await("the analysis is inconclusive (too few answers)", None),
    ]  # fmt: skip
    driven.see(YES, MINUTE)
    assert driven.asked[-2:] == [EnterStep(1, Analyze(POLICY, 3)), StartAnalysis(POLICY, 3)]

    paused = driver(SetWeight(1000), Pause(9 * MINUTE), analysis=POLICY).see(READY).see(UNSURE, 5 * MINUTE)
    paused.see(YES, 7 * MINUTE)
    assert paused.asked[-2:] == [StartAnalysis(), EnterStep(1, Pause(9 * MINUTE))]
    assert paused.wake == 16 * MINUTE


def test_what_an_inconclusive_analysis_broke_off_is_not_taken_for_done() -> None:
    """A test that has not decided, and a check that was not answered, are made again."""
    tested = driver(SetWeight(5000), TRIAL, strategy="ab_test", sticky=True, analysis=POLICY).see(READY).see(UNSURE)
    tested.see(YES, MINUTE)
    assert tested.end is None
    assert tested.asked[-1] == StartExperiment(TRIAL.experiment, MINUTE)
    checked = driver(SetWeight(5000), Smoke(3), SetWeight(WHOLE), analysis=POLICY).see(READY).see(UNSURE)
    checked.see(HookAnswer("smoke", passed=False, reason="none was answered")).see(YES)
    assert checked.asked[-1] == CallHook("smoke", Smoke(3))


def test_an_approval_keeps_its_time_limit_when_the_analysis_is_inconclusive() -> None:
    driven = driver(SetWeight(1000), Approve(10 * MINUTE), analysis=POLICY).see(READY).see(UNSURE, 5 * MINUTE)
    assert driven.wake == 10 * MINUTE
    driven.wait()
    assert ended(driven) == (Outcome.ROLLED_BACK, ())


def test_the_background_analysis_begins_with_the_step_that_it_is_to_begin_with() -> None:
    steps = (SetWeight(1000), Approve(MINUTE), Pause(MINUTE), SetWeight(5000), Pause(MINUTE))
    driven = driver(*steps, analysis=POLICY, analysis_from=2).see(READY)
    assert StartAnalysis() not in driven.asked
    driven.see(YES)
    assert driven.asked[-2:] == [StartAnalysis(), EnterStep(2, Pause(MINUTE))]
    assert driven.asked.count(StartAnalysis()) == 1
    unexposed = driver(Pause(MINUTE), SetMirror(1000), Pause(MINUTE), analysis=POLICY).see(READY)
    assert StartAnalysis() not in unexposed.asked
    unexposed.wait()
    assert unexposed.asked.count(StartAnalysis()) == 1


# --- checks, sizes, arms ----------------------------------------------------------------------------------------------


def test_smoke_tests_that_fail_end_it_before_any_user_is_answered() -> None:
    driven = driver(Smoke(3), SetWeight(1000)).see(READY)
    assert driven.asked[-1] == CallHook("smoke", Smoke(3))
    driven.see(HookAnswer("smoke", passed=False, reason="2 of 3", because=(5,)))
    assert ended(driven) == (Outcome.ROLLED_BACK, (5,))
    assert all(not want.weights[Role.CANDIDATE] for want in driven.asked if isinstance(want, Want))


def test_a_scale_is_waited_for_and_given_up_on_in_the_end() -> None:
    driven = driver(SetScale(1), SetWeight(1000), SetScale(None), SetWeight(5000), Pause(MINUTE))
    assert driven.asked == [Want(split(0), {Role.STABLE: 4, Role.CANDIDATE: 1})]
    driven.see(Ready(Role.CANDIDATE, 1, 1))
    assert driven.asked[-1] == Want(split(1000), REPLICAS)
    driven.see(Ready(Role.CANDIDATE, 3, 4))
    assert isinstance(driven.asked[-1], Want)
    late = driven.wake
    assert late == 600 * SECOND
    driven.see(READY, 300 * SECOND)
    assert driven.asked[-1] == EnterStep(4, Pause(MINUTE))


def test_the_way_back_goes_down_the_steps_and_an_abort_makes_it_end_at_once() -> None:
    steps = (SetWeight(1000), Pause(MINUTE), SetWeight(4000), Pause(MINUTE), SetWeight(8000), Pause(MINUTE))
    driven = driver(*steps, analysis=POLICY, stepwise_ns=30 * SECOND)
    driven = (
        driven.see(READY)
        .see(AnalysisPhase(Verdict.PASS, "", 1))
        .wait()
        .see(AnalysisPhase(Verdict.PASS, "", MINUTE + 1))
    )
    driven.see(AnalysisPhase(Verdict.PASS, "", 2 * MINUTE), 2 * MINUTE).see(Ready(Role.STABLE, 4, 4))
    driven.wait() if driven.wake else driven
    before = len(driven.asked)
    driven.see(FAILED)
    down = [want.weights[Role.CANDIDATE] for want in driven.asked[before:] if isinstance(want, Want)]
    while driven.end is None:
        driven.wait()
    down = [want.weights[Role.CANDIDATE] for want in driven.asked[before:] if isinstance(want, Want)]
    assert down == sorted(down, reverse=True)
    assert down
    assert ended(driven) == (Outcome.ROLLED_BACK, (9,))
    short = driver(*steps, stepwise_ns=30 * SECOND).see(READY).wait().see(NO)
    assert short.end is None
    assert short.see(NOW).end is None  # nothing turns it round
    assert short.see(STOP).end == End(Outcome.ROLLED_BACK, "refused by ann")


def test_the_way_back_does_not_wait_for_a_stable_that_is_down() -> None:
    steps = (SetWeight(1000), Pause(MINUTE), SetWeight(4000), Pause(MINUTE))
    driven = driver(*steps, stepwise_ns=30 * SECOND).see(READY).wait().see(Ready(Role.STABLE, 0, 4)).see(NO)
    assert driven.end == End(Outcome.ROLLED_BACK, "refused by ann")


def test_a_baseline_gets_as_much_as_the_candidate_and_is_waited_for() -> None:
    driven = driver(SetWeight(1000), Pause(MINUTE), baseline=True).see(READY)
    assert driven.asked == [Want(split(0, baseline=True), {**REPLICAS, Role.BASELINE: 4})]
    driven.see(Ready(Role.BASELINE, 4, 4))
    weights = next(a.weights for a in reversed(driven.asked) if isinstance(a, Want))
    assert weights == {Role.STABLE: 8000, Role.CANDIDATE: 1000, Role.BASELINE: 1000}


# --- the other strategies over steps ----------------------------------------------------------------------------------


def test_blue_green_is_tried_in_argos_order_and_switches_back_on_a_bad_analysis() -> None:
    before, after = replace(POLICY, failure_limit=1), replace(POLICY, failure_limit=2)
    steps = blue_green_steps(preview=1, smoke=2, before=(before, 2), approve=Approve(MINUTE), after=(after, 3))
    driven = driver(*steps, strategy="blue_green").see(Ready(Role.CANDIDATE, 1, 1))
    driven.see(HookAnswer("smoke", passed=True, reason="")).see(PASSED).see(YES).see(READY)
    entered = [str(action.step) for action in driven.asked if isinstance(action, EnterStep)]
    assert entered == [
        "scale 1", "2 smoke tests", "analysis of 2 looks", "approval within 1m", "full size", "weight 100%",
        "analysis of 3 looks",
    ]  # fmt: skip
    weights = [want.weights[Role.CANDIDATE] for want in driven.asked if isinstance(want, Want)]
    assert weights == [0, 0, WHOLE]
    driven.see(replace(FAILED, inline=True))
    assert ended(driven) == (Outcome.ROLLED_BACK, (9,))


@pytest.mark.parametrize(("promote", "outcome"), [(True, Outcome.PROMOTED), (False, Outcome.KEPT_STABLE)])
def test_a_shadow_is_shown_to_nobody_until_it_is_decided(promote: bool, outcome: Outcome) -> None:
    driven = driver(*shadow_steps(2000, MINUTE), strategy="shadow", promote=promote).see(READY).wait()
    wants = [want for want in driven.asked if isinstance(want, Want)]
    assert [(want.weights[Role.CANDIDATE], want.mirror) for want in wants] == [
        (0, 0), (0, 2000), *([(WHOLE, 0)] if promote else []),
    ]  # fmt: skip
    assert ended(driven) == (outcome, ())


@pytest.mark.parametrize(
    ("finding", "outcome"),
    [
        (Finding.BETTER, Outcome.PROMOTED),
        (Finding.WORSE, Outcome.KEPT_STABLE),
        (Finding.MISMATCH, Outcome.KEPT_STABLE),
    ],
)
def test_a_test_ends_with_its_finding_and_names_the_look(finding: Finding, outcome: Outcome) -> None:
    driven = driver(SetWeight(5000), TRIAL, strategy="ab_test", sticky=True).see(READY)
    assert driven.asked[-1] == StartExperiment(TRIAL.experiment, MINUTE)
    driven.see(ExperimentPhase(Finding.UNDECIDED, "too early", (3,)))
    assert driven.end is None
    driven.see(ExperimentPhase(finding, "found", (7,)))
    assert ended(driven) == (outcome, (7,))
    late = driver(SetWeight(5000), TRIAL, strategy="ab_test", sticky=True).see(READY)
    late.see(ExperimentPhase(Finding.UNDECIDED, "too early", (3,))).wait()
    assert ended(late) == (Outcome.KEPT_STABLE, (3,))
    assert StopAnalysis(inline=True) in late.asked


def test_a_better_candidate_that_is_down_is_promoted_once_it_is_up() -> None:
    driven = driver(SetWeight(5000), TRIAL, strategy="ab_test", sticky=True).see(READY).see(Ready(Role.CANDIDATE, 0, 4))
    driven.see(ExperimentPhase(Finding.BETTER, "found", (7,)))
    assert driven.end is None
    assert ended(driven.see(READY)) == (Outcome.PROMOTED, (7,))
