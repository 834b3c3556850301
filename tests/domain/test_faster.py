"""A scenario in less time: every wait of the policy is shortened alike, and nothing else is touched."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import app
from harness.domain.faster import LEAST_NS, TimeScaled, faster, thin
from harness.domain.lifecycle import Aftercare, Monitor, RetrainPlan, ScriptedOrder
from harness.domain.model import TrainPlan
from harness.domain.rollout import Analyze, Approve, Order, Outcome, Pause, SetWeight
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Labels, Process, Traffic
from harness.domain.units import HOUR, MINUTE, SECOND
from tests.build import analysis, policy, rehearse, scenario
from tests.shipped import SCENARIOS

WAITS = {
    "duration_ns", "every_ns", "window_ns", "within_ns", "at_most_ns", "batch_pause_ns", "stepwise_ns",
    "retire_after_ns", "at_ns", "ramp_ns", "until_ns", "delay_ns", "for_ns", "cool_down_ns", "keep_previous_ns",
    "apart_ns", "walk_ns",
    "repeat_ns", "period_ns", "phase_ns",
}  # fmt: skip
LEFT = {"staging", "load", "service", "real", "attempts", "stable", "candidate", "source", "drift"}
"""Parts in which a duration is the machine's."""


def durations(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every duration or point in time of a scenario, by where it stands."""
    if is_dataclass(value) and not isinstance(value, type):
        inside = {each.name: getattr(value, each.name) for each in fields(value)}
    elif isinstance(value, tuple | list):
        inside = {str(place): each for place, each in enumerate(value)}
    elif isinstance(value, dict):
        inside = {str(key): each for key, each in value.items()}
    else:
        return {path: value} if path[-1].endswith("_ns") or (len(path) > 1 and path[-2] == "at_ns") else {}
    return {place: each for name, found in inside.items() for place, each in durations(found, (*path, name)).items()}


def full() -> Scenario:
    """All that there is to wait for."""
    steps = (SetWeight(1000), Pause(10 * MINUTE), Analyze(analysis(), 3), Approve(HOUR), Pause(None), SetWeight(5000))
    made = policy(scenario(), steps=steps, batch_pause_ns=MINUTE, stepwise_ns=2 * MINUTE, retire_after_ns=HOUR)
    retrain = RetrainPlan(TrainPlan("none", {}), apart_ns=HOUR)
    care = Aftercare((Monitor("m", analysis()),), HOUR, 5 * MINUTE, 2 * HOUR, retrain)
    return replace(
        made,
        labels=Labels(15 * MINUTE, 0.5),
        orders=(ScriptedOrder(20 * MINUTE, Order.APPROVE, "ann"),),
        aftercare=care,
        traffic=Traffic("ramp", Process.POISSON, Knots((0, 10 * MINUTE), (10.0, 50.0), HOUR)),
    )


@pytest.mark.parametrize("name", ["canary_regression", "blue_green", "drift_retrain", "superseded", None])
def test_each_wait_is_shortened_and_nothing_else(name: str | None) -> None:
    before = app.load_scenario(SCENARIOS / f"{name}.yaml", quick=True) if name else full()
    after = faster(before, 10)
    was, now = durations(before), durations(after)
    assert was.keys() == now.keys()
    shortened = 0
    for place, value in was.items():
        wait = place[-1] in WAITS or place[-2:-1] == ("at_ns",)
        if value is None or not wait or LEFT & set(place):
            assert now[place] == value, place
            continue
        assert now[place] == value / 10 or now[place] == min(value, LEAST_NS), place
        shortened += value > 0
    assert shortened > 3
    assert replace(after, **{each: getattr(before, each) for each in ("model", "traffic", "labels", "rollout", "faults",
                   "orders", "successors", "aftercare", "time_scale")}) == before  # fmt: skip
    assert [step.__class__ for step in after.rollout.steps] == [step.__class__ for step in before.rollout.steps]


@given(st.floats(1, 100), st.floats(1, 100))
def test_factors_multiply(first: float, second: float) -> None:
    twice, once = durations(faster(faster(full(), first), second)), durations(faster(full(), first * second))
    for place, value in once.items():
        assert value is None or abs(twice[place] - value) <= 2, place


def test_one_changes_nothing() -> None:
    assert faster(full(), 1) == full()


def test_a_rehearsal_in_a_tenth_of_the_time_comes_to_the_same_and_says_so() -> None:
    slow, fast = rehearse(scenario()), rehearse(faster(policy(scenario(), analysis=analysis(min_requests=5)), 10))
    assert slow[0] is fast[0] is Outcome.PROMOTED
    assert slow[1].of(TimeScaled) == []
    assert fast[1].only(TimeScaled).factor == 10
    took = [events[-1].at_ns - 30 * SECOND for _, events in (slow, fast)]  # less what the replicas take
    assert took[1] < took[0] / 8


def test_a_window_that_can_hold_too_few_requests_is_told() -> None:
    assert list(thin(scenario())) == []  # 50/s, 10 %, a minute: 300 for the 100 that are asked for
    (told,) = thin(faster(scenario(), 60))
    assert "a window of 1s holds about 5 requests of the candidate (50/s, 10%), and min_requests is 100" in told
