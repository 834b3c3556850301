"""What must hold of every run, whatever the policy, the backends, the people and the environment do."""

from collections.abc import Callable, Iterator
from typing import Final

from harness import arrivals
from harness.domain.analysis import Verdict
from harness.domain.event import (
    Alarmed,
    Decided,
    Escalated,
    ExperimentLooked,
    Measured,
    Noticed,
    Observed,
    Promoted,
    Registered,
    RolledBack,
    RolloutStarted,
    Routed,
    RunEnded,
    Totalled,
    TrafficStarted,
)
from harness.domain.model import ARMS, Role
from harness.domain.rollout import AnalysisPhase, End, ExperimentPhase, Finding, Outcome, Want
from harness.domain.units import HOUR, WHOLE
from harness.seeds import stream
from harness.strategies.moves import Moves
from tests.properties.stories import Story

SETTLING_NS: Final = 3 * HOUR
"""No run goes on for longer than this after its horizon, whatever its backends do."""


def no_defect(story: Story) -> None:
    """Whatever a backend raises, it is told in the log: nothing comes out of the engine but a cancellation."""
    assert story.defect is None, repr(story.defect)
    ended = story.events[-1]
    assert isinstance(ended, RunEnded)
    assert "defect of the harness" not in ended.reason, ended.reason


def one_outcome(story: Story) -> None:
    """There is one end, it is the last thing, and it comes in time."""
    assert len(story.events.of(RunEnded)) == 1
    ended = story.events.last(RunEnded)
    assert ended is story.events[-1]
    assert story.outcome in {None, ended.outcome}
    assert ended.at_ns <= story.plan.scenario.horizon_ns + SETTLING_NS, ended.at_ns
    if not story.plan.troubles and not story.plan.cancel_at and ended.outcome is Outcome.ERROR:
        assert "horizon" in ended.reason, ended.reason  # nothing else can go wrong


def homes(story: Story) -> Iterator[tuple[int, Role]]:
    """Which arm runs what is stable, from which event on."""
    yield 0, Role.STABLE
    versions = {event.role: event.version for event in story.events.of(Registered)[:2]}
    home = Role.STABLE
    for number, event in enumerate(story.events):
        if isinstance(event, RolloutStarted):
            versions = {Role.STABLE: _version(event.stable), Role.CANDIDATE: _version(event.candidate)}
            home = Role.STABLE
        elif isinstance(event, Promoted):
            home = Role.CANDIDATE
            assert event.version == versions[home]
        elif isinstance(event, RolledBack):
            home = next(role for role, version in versions.items() if version == event.version)
        else:
            continue
        yield number, home


def _version(text: str) -> int:
    return int(text.rsplit(":", 1)[1])


def traffic_ends_where_it_should(story: Story) -> None:
    """Each outcome has a place for users' traffic, and that is where the router has it; or a person was called."""
    events, ended = story.events, story.events.last(RunEnded)
    if not events.of(TrafficStarted):
        assert _some(ended.weights) in ({}, {Role.STABLE: WHOLE}), ended  # it may have begun, and never been answered
        return
    home = list(homes(story))[-1][1]
    if ended.outcome is Outcome.FAILED:
        assert events.of(Escalated)
        return
    if ended.outcome is Outcome.PAUSED:
        assert dict(ended.weights) == dict((events.of(Routed) or events.of(TrafficStarted))[-1].weights)
    else:
        if ended.outcome is Outcome.PROMOTED:
            assert home is Role.CANDIDATE
        assert ended.weights.get(home) == WHOLE, (home, ended)
        assert sum(ended.weights.values()) == WHOLE
    if story.witness.routed:
        _, truth = story.witness.routed[-1]
        assert _some(truth.weights) == _some(ended.weights)
        if ended.outcome is not Outcome.PAUSED:
            assert not truth.routes
            assert not truth.mirror


def _some(weights: object) -> dict[Role, int]:
    return {role: share for role, share in dict(weights).items() if share}  # type: ignore[call-overload]


def way_back_is_finished(story: Story) -> None:
    """A rollback once begun is verified, or a person is called."""
    events = list(story.events)
    live = next((n for n, event in enumerate(events) if isinstance(event, TrafficStarted)), len(events))
    for number, event in enumerate(events):
        if not isinstance(event, Decided) or number < live or event.outcome in {Outcome.PROMOTED, Outcome.PAUSED}:
            continue
        if event.outcome is Outcome.REJECTED:  # of a newer candidate, before any of it was deployed
            continue
        after = events[number:]
        assert any(isinstance(each, RolledBack | Escalated) for each in after), event


def decisions_name_measurements(story: Story) -> None:
    """What a decision or an alarm rests on was measured before, and is named; it failed, where it is held against."""
    events = story.events
    for event in events:
        if isinstance(event, Decided | Alarmed):
            for number in event.because:
                assert events[number].at_ns <= event.at_ns
                assert type(events[number]).__name__ in {"Measured", "ExperimentLooked", "Checked"}
        if isinstance(event, Alarmed) and event.monitor != "a person":
            assert event.because, event
    for seen, transition in _steps(story):
        end = next((action for action in transition.actions if isinstance(action, End)), None)
        ending = end or getattr(getattr(transition.state, "state", transition.state), "ending", None)
        if isinstance(seen, AnalysisPhase) and seen.verdict in {Verdict.FAIL, Verdict.ERROR} and end:
            assert end.because or ending, end
        if isinstance(seen, ExperimentPhase) and seen.finding is not Finding.UNDECIDED and end:
            assert end.because
    decided = [event for event in events.of(Decided) if event.outcome is Outcome.ROLLED_BACK]
    for event in decided:
        if " on " in event.reason and " looks" in event.reason:
            failed = [events[n] for n in event.because]
            assert failed
            assert all(isinstance(each, Measured) and each.failures for each in failed)
    for event in events.of(Decided):
        if "is better" in event.reason:
            assert [type(events[n]) for n in event.because] == [ExperimentLooked]


def _steps(story: Story) -> Iterator[tuple[object, object]]:
    for each in story.machine.stories:
        for seen, _, transition in each:
            yield seen, transition


def no_look_into_the_future(story: Story) -> None:
    """A window ends no later than it is measured, and what it shows was seen before the verdict on it."""
    for start, stop, now in story.witness.windows:
        assert start <= stop <= now
    seen_ns = -1
    for event in story.events:
        if isinstance(event, Observed):
            seen_ns = event.at_ns
        if isinstance(event, Measured) and event.verdict is not Verdict.ERROR:
            assert 0 <= seen_ns <= event.at_ns


def wants_hold_the_rules(story: Story) -> None:
    """Every want of every rollout is whole, and within what its strategy promises."""
    for each in story.machine.stories:
        for _, _, transition in each:
            for action in transition.actions:
                if isinstance(action, Want):
                    assert sum(action.weights.values()) == WHOLE
                    assert min(action.weights.values()) >= 0
                    assert all(count >= 0 for count in action.replicas.values())
                    if story.machine.rules.exclusive:
                        assert set(action.weights.values()) <= {0, WHOLE}
                    if story.machine.rules.unexposed:
                        assert action.weights[Role.CANDIDATE] in {0, WHOLE}
                        assert not action.routes
    # The executor holds the rest of them: a violation is an `error`, which `one_outcome` does not allow.
    for _, want in story.witness.routed:
        assert sum(want.weights.values()) == WHOLE


def shadows_answer_nobody(story: Story) -> None:
    """The candidate of a shadow has no requests of users before it is promoted."""
    if story.plan.scenario.rollout.strategy != "shadow":
        return
    decided = [event for event in story.events if isinstance(event, Routed) and event.weights.get(Role.CANDIDATE)]
    machine = [
        action
        for _, transition in _steps(story)
        for action in transition.actions  # type: ignore[attr-defined]
        if isinstance(action, Want) and action.weights[Role.CANDIDATE]
    ]
    for want in machine:
        assert want.weights[Role.CANDIDATE] == WHOLE
        assert not want.mirror
    totals = story.events.of(Totalled)
    if totals and not decided and not story.plan.troubles:
        assert totals[-1].arms[Role.CANDIDATE].arrived == 0


def capacity_is_kept(story: Story) -> None:
    """While replicas stand for weights, nothing ready is given up below what is allowed, nor asked beyond it."""
    policy = story.plan.scenario.rollout
    if not policy.by_replicas or policy.strategy not in {"rolling", "canary"}:
        return
    limits = Moves.of(policy, story.plan.scenario.service[Role.STABLE].replicas).limits
    promoted = next((event.at_ns for event in story.events if isinstance(event, Promoted)), None)
    began = story.plan.scenario and (story.witness.started_ns or 0)
    live = next((event.at_ns for event in story.events if isinstance(event, TrafficStarted)), 0)
    for at_ns, wanted, before, after in story.witness.scaled:
        if promoted is not None and at_ns - began + live >= promoted:
            break  # going back to the version before is no rolling update
        was, now = (sum(ready for _, ready in stand.values()) for stand in (before, after))
        assert now >= min(was, limits.least), (at_ns, wanted, before, after, limits)
        asked = sum(wanted.values())
        assert asked <= max(limits.most, sum(count for count, _ in before.values())), (at_ns, wanted, limits)


def arrivals_are_open_loop(story: Story) -> None:
    """As many requests have come as the seed and the curve say, whatever was answered."""
    totals = story.events.of(Totalled)
    witness = story.witness
    if not totals or witness.started_ns is None:
        return
    live = story.events.first(TrafficStarted).at_ns if story.events.of(TrafficStarted) else None
    if live is None:
        return
    of = story.plan.scenario
    elapsed = totals[-1].at_ns - live
    if any(trouble.method in {"start", "totals"} for trouble in story.plan.troubles):
        return  # when exactly they were counted, or began, is not known then
    expected = len(arrivals.Reader(arrivals.of(of.traffic), stream(of.seed, "arrivals")).until(elapsed))
    arms = totals[-1].arms
    assert sum(arm.arrived for role, arm in arms.items() if role is not Role.SHADOW) == expected
    for arm in arms.values():
        assert arm.arrived == arm.succeeded + arm.failed + arm.in_flight


def machines_are_pure(story: Story) -> None:
    """The same things seen at the same times lead to the same states and actions."""
    for each in story.machine.stories:
        _, at_ns, first = each[0]
        again = story.machine.machine.start(at_ns)
        assert again == first
        for seen, at_ns, transition in each[1:]:
            assert seen is not None
            again = story.machine.machine.next(again.state, seen, at_ns)
            assert again == transition


def one_end_of_each_rollout(story: Story) -> None:
    """A machine ends once, and asks for nothing afterwards."""
    for each in story.machine.stories:
        actions = [action for _, _, transition in each for action in transition.actions]
        ends = [number for number, action in enumerate(actions) if isinstance(action, End)]
        assert ends in ([], [len(actions) - 1])


def whoever_is_to_be_told_is_told(story: Story) -> None:
    """What was escalated to a person stands in a message that was delivered, or told not to have been."""
    from harness.domain.event import Notified

    for event in story.events.of(Escalated):
        if "totals" not in event.reason:
            assert any(event.reason in each.what or each.what in event.reason for each in story.events.of(Notified))


def nothing_is_left_up(story: Story) -> None:
    """After a rollback or a promotion only what serves is up, unless a backend is to blame, which is told."""
    ended = story.events.last(RunEnded)
    if story.plan.troubles or ended.outcome in {Outcome.PAUSED, Outcome.FAILED} or not ended.weights:
        return
    if not story.witness.scaled or any(
        isinstance(event, Noticed) and event.kind == "left_undone" for event in story.events
    ):
        return
    *_, after = story.witness.scaled[-1]
    home = next(role for role, share in ended.weights.items() if share == WHOLE)
    assert {role for role, (wanted, _) in after.items() if wanted and role in (*ARMS, Role.BASELINE)} == {home}, after


INVARIANTS: Final[tuple[Callable[[Story], None], ...]] = (
    no_defect, one_outcome, traffic_ends_where_it_should, way_back_is_finished, decisions_name_measurements,
    no_look_into_the_future, wants_hold_the_rules, shadows_answer_nobody, capacity_is_kept, arrivals_are_open_loop,
    machines_are_pure, one_end_of_each_rollout, whoever_is_to_be_told_is_told, nothing_is_left_up,
)  # fmt: skip
