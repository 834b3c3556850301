"""Taking a rollout by steps up again, in another process, from where its last checkpoint left it.

What was asked for is asked for again (a `Want` is the whole desired state, so nothing is done twice), what was looking
on begins to look anew, and what time is left of a pause goes on. Rules have to pass anew: what they were judged on is
not there any more.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.domain.rollout import (
    Action,
    Analyze,
    Approve,
    Await,
    CallHook,
    Decide,
    EnterStep,
    Ready,
    RolloutPolicy,
    Smoke,
    StartAnalysis,
    StartExperiment,
    Step,
    Want,
)
from harness.strategies.codec import plain, restored
from harness.strategies.state import UNJUDGED, Count, Phase, State, Transition, go


def lasting(state: State) -> State:
    """The state without what is judged anew; so it changes with steps, and not with each look."""
    waits = state.waits if state.phase is Phase.AWAITING else UNJUDGED
    return replace(state, passed_ns=None, waits=waits, because=())


def kept(state: State) -> Mapping[str, Any]:
    """What lasts of it, as plain values."""
    found: Mapping[str, Any] = plain(lasting(state))
    return found


def brought_back(value: Any) -> State:
    """The state that `kept` gave."""
    return restored(State, value)


def counted(state: State, ready: Iterable[Ready]) -> State:
    """The state, knowing how many replicas there are now."""
    return replace(state, counts={**state.counts, **{each.role: Count(each.ready, each.wanted) for each in ready}})


def taken_up(
    policy: RolloutPolicy,
    state: State,
    at_ns: int,
    want: Callable[[State], Want],
    move: Callable[[State, int], Transition],
) -> Transition:
    """What follows from being taken up again.

    Args:
        policy: that the machine goes by.
        state: as it was kept, with the replicas that there are now.
        at_ns: now.
        want: what is asked for in a state.
        move: the next change of counts of replicas that stand for weights.
    """
    if state.phase in {Phase.STARTING, Phase.SCALING, Phase.ROUTING}:  # replicas may have to start anew
        state = replace(state, wake_ns=at_ns + policy.ready_within_ns)
    step = policy.steps[state.index] if 0 <= state.index < len(policy.steps) else None
    entered = (EnterStep(state.index, step),) if step is not None else ()
    looks: tuple[Action, ...] = (StartAnalysis(),) if state.analysing else ()
    if policy.by_replicas and state.phase in {Phase.ROUTING, Phase.RETURNING}:
        moved = move(state, at_ns)
        return replace(moved, actions=(*entered, *looks, *moved.actions))
    return go(state, *entered, want(state), *looks, *_waited_for(state, step))


def _waited_for(state: State, step: Step | None) -> tuple[Action, ...]:
    """What the phase waits for, begun once more."""
    match state.phase, step:
        case Phase.ANALYSING, Analyze(policy, looks):
            return (StartAnalysis(policy, looks),)
        case Phase.DECIDING, Decide(experiment, every_ns):
            return (StartExperiment(experiment, every_ns),)
        case Phase.TESTING, Smoke():
            return (CallHook("smoke", step),)
        case Phase.TESTING, Approve():
            return (CallHook("criteria", step),)
        case Phase.AWAITING, _:
            return (Await(state.waits, state.wake_ns),)
    return ()
