"""What comes after a promotion, who comes next, and whom it is told: whole runs, from their events."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from harness.domain.event import Alarmed, Decided, Escalated, Marked, Notified, Promoted, RolledBack, RunEnded
from harness.domain.fault import Errors, Fault
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm, RetrainPlan, Successor
from harness.domain.model import ARMS, Role, TrainPlan
from harness.domain.rollout import Outcome, Pause, SetWeight
from harness.domain.units import MINUTE, WHOLE
from tests.build import analysis, fault, policy, scenario
from tests.properties.stories import Plan, Story, play
from tests.properties.troubles import Trouble

LATE = fault(Errors(0.5), at_ns=6 * MINUTE)
"""The candidate errs once it is promoted."""
PLAN = TrainPlan("none", {})


def care(on_alarm: OnAlarm = OnAlarm.ROLLBACK, **changes: Any) -> Aftercare:
    watch = Monitor("errors", analysis("error_rate <= 10%", failure_limit=0), on_alarm)
    return Aftercare((watch,), for_ns=20 * MINUTE, **changes)


def lived(after: Aftercare | None, *faults: Fault, troubles: tuple[Trouble, ...] = (), **changes: Any) -> Story:
    of = policy(scenario(), steps=(SetWeight(5000), Pause(3 * MINUTE)), analysis=None)
    return play(
        Plan(replace(of, aftercare=after, faults=faults, **changes), troubles, better=changes.get("better", True))
    )


def home(story: Story) -> int:
    aliases = {alias: kept.revision.version for kept in story.world.store.kept("m") for alias in kept.aliases}
    return aliases["stable"]


def test_an_alarm_after_the_promotion_leads_back_to_the_version_before() -> None:
    story = lived(care(), LATE)
    assert story.outcome is Outcome.ROLLED_BACK
    assert home(story) == 1
    assert story.events.last(RunEnded).weights[Role.STABLE] == WHOLE
    assert story.events.only(Alarmed).because
    assert (story.events.last(Marked).version, story.events.last(Marked).status) == (2, "bad")


def test_without_a_version_before_traffic_stays_and_a_person_is_called() -> None:
    story = lived(care(keep_previous_ns=MINUTE), LATE)
    assert story.outcome is Outcome.FAILED
    assert "no previous version" in story.events.only(Escalated).reason
    assert story.events.last(RunEnded).weights[Role.CANDIDATE] == WHOLE
    assert home(story) == 2


def test_a_version_before_that_does_not_come_up_is_not_gone_back_to() -> None:
    down = fault(Errors(1.0), on=frozenset({Role.STABLE}), at_ns=5 * MINUTE)
    story = lived(care(), LATE, down)
    assert story.outcome is Outcome.FAILED
    assert story.events.last(RunEnded).weights[Role.CANDIDATE] == WHOLE
    assert not story.events.of(RolledBack)


def test_two_bad_versions_in_a_row_end_on_the_last_verified_one() -> None:
    """And it does not go from one to the other and back."""
    newer = Successor(20 * MINUTE, PLAN, (fault(Errors(0.5), at_ns=26 * MINUTE),), "next")
    story = lived(care(), LATE, successors=(newer,))
    assert [event.version for event in story.events.of(Promoted)] == [2, 3]
    assert [event.version for event in story.events.of(RolledBack)] == [1, 1]
    assert home(story) == 1
    assert {kept.revision.version: kept.status for kept in story.world.store.kept("m")}[3] == "bad"


def test_an_alarm_that_only_tells_is_not_repeated_while_it_cools_down() -> None:
    often, seldom = (lived(care(OnAlarm.NOTIFY, cool_down_ns=cool), LATE) for cool in (0, 8 * MINUTE))
    assert len(often.events.of(Alarmed)) > len(seldom.events.of(Alarmed)) >= 2
    heard = [event.at_ns for event in seldom.events.of(Alarmed)]
    assert min(b - a for a, b in pairwise(heard)) >= 8 * MINUTE
    assert seldom.outcome is Outcome.PROMOTED


def test_what_was_stable_stays_up_for_a_while_and_the_way_back_is_instant() -> None:
    of = policy(scenario(), steps=(SetWeight(5000), Pause(3 * MINUTE)), analysis=None, retire_after_ns=15 * MINUTE)
    story = play(Plan(replace(of, aftercare=care(), faults=(LATE,))))
    alarm, back = story.events.only(Alarmed), story.events.only(RolledBack)
    assert back.at_ns == alarm.at_ns
    started_anew = lived(care(), LATE)
    assert started_anew.events.only(RolledBack).at_ns - started_anew.events.only(Alarmed).at_ns == 30_000_000_000


@pytest.mark.parametrize("better", [True, False])
def test_a_retraining_promotes_a_better_challenger_and_keeps_the_champion_else(better: bool) -> None:
    plan = RetrainPlan(PLAN, at_most=1, apart_ns=0)
    of = policy(scenario(), steps=(SetWeight(5000), Pause(3 * MINUTE)), analysis=None)
    story = play(Plan(replace(of, aftercare=care(OnAlarm.RETRAIN, retrain=plan), faults=(LATE,)), better=better))
    assert story.outcome is Outcome.PROMOTED
    assert [event.version for event in story.events.of(Promoted)] == ([2, 3] if better else [2])
    assert home(story) == (3 if better else 2)


def test_a_newer_candidate_supersedes_the_one_under_way_and_one_that_comes_later_follows() -> None:
    mid = lived(None, successors=(Successor(2 * MINUTE, PLAN, (), "next"),))
    assert [event.outcome for event in mid.events.of(Decided)] == [Outcome.ABORTED, Outcome.PROMOTED]
    later = lived(None, successors=(Successor(30 * MINUTE, PLAN, (), "next"),))
    assert [event.version for event in later.events.of(Promoted)] == [2, 3]
    assert (home(mid), home(later)) == (3, 3)


@pytest.mark.parametrize("trouble", [
    Trouble("notifier", "notify", 0, None, hang_s=float("inf")),
    Trouble("notifier", "notify", 0, None, error=ConnectionError("no route")),
], ids=["hangs", "raises"])  # fmt: skip
def test_a_channel_that_takes_nothing_delays_nothing_and_is_told(trouble: Trouble) -> None:
    well, ill = lived(care(), LATE), lived(care(), LATE, troubles=(trouble,))
    assert [event.at_ns for event in ill.events.of(RolledBack)] == [event.at_ns for event in well.events.of(RolledBack)]
    told = ill.events.of(Notified)
    assert not any(event.delivered for event in told)
    assert sorted(event.what for event in told) == sorted(event.what for event in well.events.of(Notified))


@pytest.mark.parametrize(("side", "method"), [("router", "apply"), ("serving", "apply"), ("platform", "start")])
def test_a_backend_that_hangs_for_ever_ends_the_run(side: str, method: str) -> None:
    first = 0 if side == "platform" else 1
    story = lived(None, troubles=(Trouble(side, method, first, None, hang_s=float("inf")),))
    assert story.defect is None
    assert story.events.last(RunEnded).outcome in {Outcome.FAILED, Outcome.ERROR, Outcome.PROMOTED}
    assert set(ARMS) >= set(story.events.last(RunEnded).weights)
