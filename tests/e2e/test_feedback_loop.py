"""The whole loop on Elec2: what was promoted falls behind as the market moves, and a challenger takes its place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import app
from harness.analysis.conditions import parse
from harness.domain.analysis import AnalysisPolicy
from harness.domain.event import (
    Alarmed,
    AliasSet,
    Evaluated,
    GateChecked,
    Observed,
    Promoted,
    Registered,
    Retrained,
    RolloutStarted,
    Routed,
    RunEnded,
    StageStarted,
    TrafficStarted,
)
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm, RetrainPlan
from harness.domain.model import Role, TrainPlan
from harness.domain.rollout import Outcome, Pause, SetWeight
from harness.domain.scenario import Scenario
from harness.domain.units import HOUR, MINUTE, WHOLE
from harness.errors import InputError
from harness.log import Events, digest

ROOT = Path(__file__).parents[2]
TRAINING_ROWS = 22_656
STEPS = (SetWeight(1000), Pause(15 * MINUTE), SetWeight(5000), Pause(15 * MINUTE))
LOGISTIC = RetrainPlan(TrainPlan("logistic_regression", {}, 5 * MINUTE), rows=4000, gates=(parse("accuracy > stable"),))


def monitor(bound: str = "60%") -> Monitor:
    """Alarms when a promoted model answers fewer rightly, at three looks."""
    policy = AnalysisPolicy((parse(f"accuracy >= {bound}"),), 5 * MINUTE, 15 * MINUTE, 500, failure_limit=2)
    return Monitor("quality", policy, OnAlarm.RETRAIN)


def elec2(retrain: RetrainPlan, monitor: Monitor, **care: Any) -> Scenario:
    """Boosting is promoted in its good months, early in a walk of four hours through sixteen months."""
    base = app.load_scenario(str(ROOT / "scenarios/drift_gradual.yaml"))
    aftercare = Aftercare((monitor,), for_ns=5 * HOUR, retrain=retrain, **care)
    return replace(
        base, name="elec2-loop", rollout=replace(base.rollout, steps=STEPS), aftercare=aftercare, expect=(), text=""
    )


def rehearse(scenario: Scenario, reports: Path) -> Events:
    return Events(app.rehearse(scenario, app.Options(reports=reports)).log.events)


def accuracy(events: Events, role: Role, from_ns: int, to_ns: int) -> float:
    """What users of an arm got, as the monitor saw it, over a stretch of time: the mean of its looks."""
    looks = [event.arms[role] for event in events.of(Observed) if from_ns <= event.at_ns < to_ns]
    figures = [arm.figures["accuracy"] for arm in looks if arm.labelled >= 500]
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known)


def test_decay_is_found_and_a_retrained_challenger_is_promoted(tmp_path: Path) -> None:
    scenario = elec2(LOGISTIC, monitor(), cool_down_ns=20 * MINUTE)
    events = rehearse(scenario, tmp_path)
    first, second = events.of(Promoted)
    alarm, retrained, again = events.only(Alarmed), events.only(Retrained), events.only(RolloutStarted)
    assert (first.version, second.version) == (2, 3)
    assert first.at_ns < alarm.at_ns < retrained.at_ns <= again.at_ns < second.at_ns
    assert (alarm.monitor, alarm.leads_to) == ("quality", "retrain")
    assert retrained.at_ns == alarm.at_ns + 5 * MINUTE
    assert again.adopted
    assert (again.stable, again.candidate) == ("electricity-price:2", "electricity-price:3")

    # It learned from four fifths of the window, none of it later than what users had been told by the alarm.
    walked = (alarm.at_ns - events.only(TrafficStarted).at_ns - 5 * MINUTE) / (4 * HOUR)
    assert retrained.better
    assert retrained.rows == 3200
    assert TRAINING_ROWS < retrained.newest < TRAINING_ROWS + walked * TRAINING_ROWS
    (gate,) = [gate for gate in events.of(GateChecked) if gate.at_ns == retrained.at_ns]
    judged = {event.role: event for event in events.of(Evaluated) if event.at_ns == retrained.at_ns}
    assert {event.rows for event in judged.values()} == {800}
    assert gate.passed
    assert gate.value == judged[Role.CANDIDATE].metrics["accuracy"]
    assert gate.stable == judged[Role.STABLE].metrics["accuracy"]

    # A rollout like the first: a tenth, half, all; the arm of the challenger is that of the candidate.
    routed = [event.weights[Role.CANDIDATE] for event in events.of(Routed) if event.at_ns > again.at_ns]
    assert routed == [1000, 5000, WHOLE, WHOLE]
    assert events.of(Registered)[-1].version == 3
    assert {alias.alias: alias.version for alias in events.of(AliasSet)} == {"stable": 3, "candidate": 3, "previous": 2}
    assert events.last(RunEnded).outcome is Outcome.PROMOTED

    # Rows that came after are what counts: the challenger beat the champion on those that both were asked, and users
    # got better answers than before the alarm.
    challenger, champion = (accuracy(events, role, again.at_ns, second.at_ns) for role in (Role.CANDIDATE, Role.STABLE))
    assert challenger > champion
    after = accuracy(events, Role.CANDIDATE, second.at_ns, events.only(TrafficStarted).at_ns + 4 * HOUR)
    assert after > accuracy(events, Role.CANDIDATE, alarm.at_ns - 15 * MINUTE, alarm.at_ns + 1) + 0.1

    # Again, with models that were trained the first time: the same events.
    assert digest(rehearse(scenario, tmp_path)) == digest(events)


def test_a_challenger_that_is_no_better_is_dropped_and_the_champion_watched_on(tmp_path: Path) -> None:
    # In its good months boosting answers seven of ten rightly; a monitor that asks for more alarms without cause.
    events = rehearse(elec2(replace(LOGISTIC, at_most=1), monitor("75%"), cool_down_ns=4 * HOUR), tmp_path)
    retrained = events.only(Retrained)
    (gate,) = [gate for gate in events.of(GateChecked) if gate.at_ns == retrained.at_ns]
    assert not retrained.better
    assert not gate.passed
    assert gate.value is not None
    assert gate.stable is not None
    assert gate.value <= gate.stable
    assert not events.of(RolloutStarted)
    assert len(events.of(Registered)) == 2, "a challenger that is dropped is no version"
    assert events.only(Promoted).version == 2
    assert len([look for look in events.of(Observed) if look.at_ns > retrained.at_ns]) > 20
    ended = events.last(RunEnded)
    assert ended.outcome is Outcome.PROMOTED
    assert ended.weights == {Role.STABLE: 0, Role.CANDIDATE: WHOLE}


def test_no_more_challengers_are_trained_than_the_plan_allows(tmp_path: Path) -> None:
    majority = RetrainPlan(TrainPlan("majority", {}), at_most=2, apart_ns=30 * MINUTE)
    events = rehearse(elec2(majority, monitor("95%")), tmp_path)
    first, second = events.of(Retrained)
    assert second.at_ns >= first.at_ns + 30 * MINUTE
    assert len(events.of(Alarmed)) > 4
    assert [alarm.at_ns for alarm in events.of(Alarmed) if alarm.at_ns == second.at_ns]
    assert max(alarm.at_ns for alarm in events.of(Alarmed)) > second.at_ns + HOUR
    assert len([stage for stage in events.of(StageStarted) if stage.stage == "retrain"]) == 2
    assert not events.of(RolloutStarted)


def test_a_horizon_that_comes_during_training_leaves_the_champion(tmp_path: Path) -> None:
    slow = replace(LOGISTIC, source=TrainPlan("logistic_regression", {}, 3 * HOUR))
    events = rehearse(elec2(slow, monitor()), tmp_path)
    assert events.only(Alarmed)
    assert not events.of(Retrained)
    ended = events.last(RunEnded)
    assert (ended.outcome, ended.at_ns) == (Outcome.PROMOTED, 5 * HOUR)


def test_a_scenario_that_cannot_tell_what_is_known_is_refused_before_it_runs(tmp_path: Path) -> None:
    scenario = elec2(LOGISTIC, monitor())
    data = scenario.model.data
    assert data
    at_random = replace(scenario, model=replace(scenario.model, data=replace(data, walk_ns=None)))
    for refused, told in ((at_random, "walk"), (replace(scenario, labels=None), "labels")):
        with pytest.raises(InputError, match=told):
            app.rehearse(refused, app.Options(reports=tmp_path))
    assert not list(tmp_path.glob("elec2-loop"))
