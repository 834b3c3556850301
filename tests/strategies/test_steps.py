"""The machine of steps: what it asks for, driven by hand; and what holds whatever it is shown."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.analysis import Absolute, AnalysisPolicy, Comparison, NoData, Op, Rule, Verdict
from harness.domain.model import ARMS, Role
from harness.domain.rollout import (
    Action,
    AnalysisPhase,
    End,
    EnterStep,
    Hold,
    Horizon,
    Outcome,
    Pause,
    Ready,
    RolloutPolicy,
    Routed,
    Seen,
    SetWeight,
    StartAnalysis,
    StopAnalysis,
    Tick,
    Want,
)
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.strategies import canary
from harness.strategies.steps import Steps, Transition, split

REPLICAS = {Role.STABLE: 4, Role.CANDIDATE: 4}
RULE = Rule("error_rate <= 1%", Comparison("error_rate", Op.LE, Absolute(0.01)))
STEPS = (SetWeight(1000), Pause(30 * MINUTE), SetWeight(5000), Pause(30 * MINUTE))
READY = Ready(Role.CANDIDATE, 4, 4)


def machine(no_data: NoData | None = NoData.HOLD, steps: Sequence[SetWeight | Pause] = STEPS) -> Steps:
    analysis = AnalysisPolicy((RULE,), no_data=no_data) if no_data else None
    return canary(RolloutPolicy("canary", tuple(steps), analysis), REPLICAS)


class Driver:
    """Shows a machine things at times, and keeps what it asked for."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.now = 0
        self.asked: list[Action] = []
        self._take(steps.start(0))

    def _take(self, transition: Transition) -> None:
        self.state, self.wake = transition.state, transition.wake_at_ns
        self.asked += transition.actions

    def see(self, seen: Seen, at_ns: int | None = None) -> "Driver":
        self.now = self.now if at_ns is None else at_ns
        before = len(self.asked)
        self._take(self.steps.next(self.state, seen, self.now))
        wants = [action for action in self.asked[before:] if isinstance(action, Want)]
        return self.see(Routed(wants[-1].weights)) if wants else self

    def wait(self) -> "Driver":
        assert self.wake is not None
        return self.see(Tick(), self.wake)

    @property
    def end(self) -> End | None:
        return next((action for action in self.asked if isinstance(action, End)), None)


def judged(at_ns: int) -> AnalysisPhase:
    return AnalysisPhase(Verdict.PASS, "", passed_ns=at_ns)


def test_a_canary_waits_for_replicas_then_climbs_and_is_promoted() -> None:
    driver = Driver(machine(None))
    assert driver.asked == [Want(split(0), REPLICAS)]
    driver.see(Ready(Role.CANDIDATE, 3, 4), 10 * SECOND)
    assert driver.asked == [Want(split(0), REPLICAS)]
    driver.see(READY, 30 * SECOND)
    assert driver.asked[1:] == [EnterStep(0, STEPS[0]), Want(split(1000), REPLICAS), EnterStep(1, STEPS[1])]
    assert driver.wake == 30 * SECOND + 30 * MINUTE
    driver.wait().wait()
    assert driver.asked[-2:] == [Want(split(WHOLE), REPLICAS), End(Outcome.PROMOTED, "every step was passed")]


def test_analysis_begins_with_the_first_weight_and_a_failure_ends_it_at_once() -> None:
    driver = Driver(machine()).see(READY)
    assert StartAnalysis() in driver.asked
    driver.see(AnalysisPhase(Verdict.FAIL, "error_rate is 9%", because=(7,)), MINUTE)
    assert driver.asked[-2:] == [StopAnalysis(), End(Outcome.ROLLED_BACK, "error_rate is 9%", (7,))]
    assert driver.steps.next(driver.state, Tick(), MINUTE).actions == ()


def test_replicas_that_do_not_come_are_a_rollback() -> None:
    driver = Driver(machine())
    assert driver.wake == 600 * SECOND
    driver.wait()
    assert driver.end is not None
    assert driver.end.outcome is Outcome.ROLLED_BACK


def test_a_step_that_nobody_could_judge_is_held_until_somebody_can() -> None:
    driver = Driver(machine()).see(READY).wait()
    assert isinstance(driver.asked[-1], Hold)
    driver.see(AnalysisPhase(Verdict.PASS, ""), 40 * MINUTE)
    assert isinstance(driver.asked[-1], Hold)
    driver.see(judged(41 * MINUTE), 41 * MINUTE)
    assert driver.asked[-1] == EnterStep(3, STEPS[3])


def test_a_judgement_from_an_earlier_step_does_not_count_for_this_one() -> None:
    driver = Driver(machine()).see(READY).see(judged(29 * MINUTE), 29 * MINUTE).wait()
    assert driver.asked[-1] == EnterStep(3, STEPS[3])
    driver.wait()
    assert isinstance(driver.asked[-1], Hold)


def test_no_step_is_left_on_the_heels_of_a_failure_that_is_still_allowed() -> None:
    driver = Driver(machine()).see(READY).see(judged(10 * MINUTE), 10 * MINUTE)
    driver.see(AnalysisPhase(Verdict.PASS, "error_rate <= 1%: it was 3%", passed_ns=None), 30 * MINUTE).wait()
    assert driver.asked[-1] == Hold("not every rule has passed at 10% (error_rate <= 1%: it was 3%)")
    driver.see(judged(31 * MINUTE), 31 * MINUTE)
    assert driver.asked[-1] == EnterStep(3, STEPS[3])


@pytest.mark.parametrize("no_data", [NoData.IGNORE, NoData.FAIL])
def test_a_policy_that_does_not_hold_goes_on(no_data: NoData) -> None:
    assert Driver(machine(no_data)).see(READY).wait().asked[-1] == EnterStep(3, STEPS[3])


def test_at_the_horizon_what_is_held_waits_for_a_person_and_what_moves_is_an_error() -> None:
    held = Driver(machine()).see(READY).wait().see(Horizon(), 4 * 60 * MINUTE)
    assert held.end is not None
    assert held.end.outcome is Outcome.PAUSED
    moving = Driver(machine()).see(READY).see(Horizon(), MINUTE)
    assert moving.end is not None
    assert moving.end.outcome is Outcome.ERROR


def test_what_is_foreseen_is_what_an_undisturbed_rollout_does() -> None:
    assert machine().foreseen() == ((0, 1000), (30 * MINUTE, 5000), (60 * MINUTE, WHOLE))


WEIGHTS = st.lists(st.integers(1, WHOLE), min_size=1, max_size=5, unique=True).map(sorted)
SEEN = st.one_of(
    st.just(Tick()),
    st.builds(Ready, st.sampled_from(ARMS), st.integers(0, 4), st.just(4)),
    st.builds(Routed, st.integers(0, WHOLE).map(split)),
    st.builds(AnalysisPhase, st.sampled_from(Verdict), st.just("because"), st.none() | st.integers(0, 10**13)),
)


@given(WEIGHTS, st.sampled_from(NoData), st.lists(st.tuples(SEEN, st.integers(0, 3600)), max_size=60))
def test_whatever_it_sees_its_wants_are_whole_and_it_ends_at_most_once(
    weights: list[int], no_data: NoData, story: list[tuple[Seen, int]]
) -> None:
    steps = machine(no_data, [s for weight in weights for s in (SetWeight(weight), Pause(MINUTE))])
    transition, now, asked = steps.start(0), 0, list(steps.start(0).actions)
    for seen, seconds in story:
        now += seconds * SECOND
        transition = steps.next(transition.state, seen, now)
        asked += transition.actions
    wants = [action.weights for action in asked if isinstance(action, Want)]
    assert all(sum(want.values()) == WHOLE and min(want.values()) >= 0 for want in wants)
    candidate = [want[Role.CANDIDATE] for want in wants]
    assert candidate == sorted(candidate), "weight only ever rises; the way back is the executor's"
    ends = [index for index, action in enumerate(asked) if isinstance(action, End)]
    assert ends in ([], [len(asked) - 1])


@given(WEIGHTS, st.data())
def test_a_failed_analysis_always_wins_over_what_is_due_at_the_same_instant(
    weights: list[int], data: st.DataObject
) -> None:
    driver = Driver(machine(NoData.IGNORE, [s for weight in weights for s in (SetWeight(weight), Pause(MINUTE))]))
    driver.see(READY, SECOND)
    for _ in range(data.draw(st.integers(0, len(weights) - 1))):
        driver.wait()
    assert driver.wake is not None
    driver.see(AnalysisPhase(Verdict.FAIL, "no"), driver.wake).see(Tick())
    assert driver.end is not None
    assert driver.end.outcome is Outcome.ROLLED_BACK


def test_a_step_waits_for_an_arm_that_is_down_and_gives_up_after_as_long_as_the_first_may_take() -> None:
    driver = Driver(machine(None)).see(READY).see(Ready(Role.CANDIDATE, 0, 4), MINUTE)
    before = len(driver.asked)
    driver.wait()
    assert driver.asked[before:] == [Hold("no replica of candidate is ready")]
    before = len(driver.asked)
    driver.see(Ready(Role.CANDIDATE, 1, 4), 31 * MINUTE)
    assert driver.asked[before:][:2] == [EnterStep(2, STEPS[2]), Want(split(5000), REPLICAS)]

    lost = Driver(machine(None)).see(READY).see(Ready(Role.STABLE, 0, 4), MINUTE).wait()
    assert lost.wake == 40 * MINUTE
    lost.wait()
    assert lost.end == End(Outcome.ROLLED_BACK, "the replicas of stable were not ready within 10m")
