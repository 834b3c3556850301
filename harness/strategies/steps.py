"""The machine of rollouts that go by steps: wait for replicas, then weights and pauses in order, then the end.

It is pure: ``next(state, seen, at_ns)`` answers with the new state, the actions to take and when it wants to be woken.
The executor acts, and tells what came of it as the next thing seen. A background analysis that passes a limit ends the
rollout at once. It never blocks a step by itself, as in Argo Rollouts; but where the policy says ``hold`` (the default)
a step is not left before every rule has passed since the step's weight came into force, on the last look that could
judge it: a rollout that nobody could judge is not promoted, and none is raised on the heels of a failed look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from harness.domain.analysis import NoData, Verdict
from harness.domain.model import Role
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
    Weights,
)
from harness.domain.units import WHOLE, duration_text, share_text


class Phase(Enum):
    """What the machine waits for."""

    STARTING = auto()
    """Replicas: the candidate's at first, and later those of an arm that has lost all and is to get traffic."""
    ROUTING = auto()
    """Weights to come into force."""
    PAUSING = auto()
    """Time to pass."""
    HOLDING = auto()
    """Rules to be judged, or a person."""
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class State:
    """Where a rollout by steps stands."""

    phase: Phase
    index: int = -1
    weight: int = 0
    routed_ns: int = 0
    """When the step's weight came into force."""
    wake_ns: int | None = None
    analysing: bool = False
    passed_ns: int | None = None
    waits: str = "nothing has been judged yet"
    """Which rule has not passed on this step, and why."""
    ready: frozenset[Role] = frozenset({Role.STABLE})
    """Arms with at least one replica ready, as last seen."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows from something seen."""

    state: State
    actions: tuple[Action, ...] = ()
    wake_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """The machine for one policy and one size of each arm."""

    policy: RolloutPolicy
    replicas: Mapping[Role, int]

    def start(self, at_ns: int) -> Transition:
        """Ask for the candidate's replicas while stable keeps all traffic."""
        deadline = at_ns + self.policy.ready_within_ns
        return _go(State(Phase.STARTING, wake_ns=deadline), self._want(0))

    def next(self, state: State, seen: Seen, at_ns: int) -> Transition:
        """What to do now. After the end nothing changes any more."""
        if state.phase is Phase.ENDED:
            return Transition(state)
        match seen:
            case AnalysisPhase():
                return self._looked(state, seen, at_ns)
            case Ready():
                return self._replicas(state, seen, at_ns)
            case Routed(weights) if state.phase is Phase.ROUTING and weights == split(state.weight):
                return self._weight_in_force(state, at_ns)
            case Horizon():
                return self._horizon(state)
            case Tick() if state.wake_ns is not None and at_ns >= state.wake_ns:
                return self._due(state, at_ns)
        return _go(state)

    def foreseen(self) -> tuple[tuple[int, int], ...]:
        """The weights if all goes well: (nanoseconds after the first weight, candidate's weight), and the end."""
        at_ns, weight, points = 0, 0, []
        for step in self.policy.steps:
            if isinstance(step, Pause):
                at_ns += step.duration_ns
            else:
                weight = step.weight
                points.append((at_ns, weight))
        return (*points, (at_ns, WHOLE))

    # --- what each thing seen leads to ---

    def _looked(self, state: State, seen: AnalysisPhase, at_ns: int) -> Transition:
        if seen.verdict is Verdict.FAIL:
            return _end(state, Outcome.ROLLED_BACK, seen.reason, seen.because)
        if seen.verdict is Verdict.ERROR:
            return _end(state, Outcome.ERROR, seen.reason, seen.because)
        judged = replace(state, passed_ns=seen.passed_ns, waits=seen.reason)
        if state.phase is Phase.HOLDING and not self._waits_for_judgement(judged):
            return self._enter(judged, state.index + 1, at_ns)
        return _go(judged)

    def _replicas(self, state: State, seen: Ready, at_ns: int) -> Transition:
        ready = state.ready | {seen.role} if seen.ready else state.ready - {seen.role}
        now = replace(state, ready=ready)
        first = state.index < 0 and seen.role is Role.CANDIDATE and seen.ready >= seen.wanted
        again = state.index >= 0 and not self._lacking(now, self._next_weight(now))
        if state.phase is Phase.STARTING and (first or again):
            return self._enter(replace(now, wake_ns=None), state.index + 1, at_ns)
        return _go(now)

    def _due(self, state: State, at_ns: int) -> Transition:
        if state.phase is Phase.STARTING:
            limit = duration_text(self.policy.ready_within_ns)
            lacking = self._lacking(state, self._next_weight(state)) or [Role.CANDIDATE]
            return _end(state, Outcome.ROLLED_BACK, f"the replicas of {lacking[0]} were not ready within {limit}")
        return self._leave(replace(state, wake_ns=None), at_ns)

    def _leave(self, state: State, at_ns: int) -> Transition:
        """Go on to the next step, unless a rule has not passed yet on this one; a pause may always begin."""
        if self._next_weight(state) is not None and self._waits_for_judgement(state):
            held = replace(state, phase=Phase.HOLDING, wake_ns=None)
            return _go(held, Hold(f"not every rule has passed at {share_text(state.weight)} ({state.waits})"))
        return self._enter(state, state.index + 1, at_ns)

    def _weight_in_force(self, state: State, at_ns: int) -> Transition:
        start = bool(self.policy.analysis) and not state.analysing and state.weight > 0
        routed = replace(state, routed_ns=at_ns, analysing=state.analysing or start)
        if state.index >= len(self.policy.steps):  # what is left, after the last step: the promotion itself
            return _end(routed, Outcome.PROMOTED, "every step was passed")
        left = self._leave(routed, at_ns)
        return replace(left, actions=((StartAnalysis(),) if start else ()) + left.actions)

    def _horizon(self, state: State) -> Transition:
        if state.phase is Phase.HOLDING:
            at = share_text(state.weight)
            return _end(state, Outcome.PAUSED, f"held at {at} when the horizon came ({state.waits})")
        return _end(state, Outcome.ERROR, f"the horizon came while {self._doing(state)}")

    def _enter(self, state: State, index: int, at_ns: int) -> Transition:
        """Begin the step of that index; beyond the last one the candidate gets what is left, and is promoted."""
        before = replace(state, index=index - 1)
        if self._lacking(state, self._next_weight(before)):
            # Nothing is routed to an arm that is down; the step waits for it, as long as the first one may.
            lacking = self._lacking(state, self._next_weight(before))[0]
            down = replace(before, phase=Phase.STARTING, wake_ns=at_ns + self.policy.ready_within_ns)
            return _go(down, Hold(f"no replica of {lacking} is ready"))
        if index >= len(self.policy.steps):
            if state.weight == WHOLE:
                return _end(state, Outcome.PROMOTED, "every step was passed")
            last = replace(state, phase=Phase.ROUTING, index=index, weight=WHOLE)
            return _go(last, self._want(WHOLE))
        step = self.policy.steps[index]
        if isinstance(step, SetWeight):
            routing = replace(state, phase=Phase.ROUTING, index=index, weight=step.weight)
            return _go(routing, EnterStep(index, step), self._want(step.weight))
        pausing = replace(state, phase=Phase.PAUSING, index=index, wake_ns=at_ns + step.duration_ns)
        return _go(pausing, EnterStep(index, step))

    def _next_weight(self, state: State) -> int | None:
        """The weight that the next step sets; None for a pause."""
        index = state.index + 1
        if index >= len(self.policy.steps):
            return WHOLE
        step = self.policy.steps[index]
        return step.weight if isinstance(step, SetWeight) else None

    def _lacking(self, state: State, weight: int | None) -> list[Role]:
        """The arms that are to get traffic at that weight and have no replica ready."""
        shares = {} if weight is None else split(weight)
        return [role for role, share in shares.items() if share and role not in state.ready]

    def _waits_for_judgement(self, state: State) -> bool:
        analysis = self.policy.analysis
        if analysis is None or analysis.no_data is not NoData.HOLD or not state.analysing:
            return False
        return state.passed_ns is None or state.passed_ns <= state.routed_ns

    def _want(self, weight: int) -> Want:
        return Want(split(weight), self.replicas)

    def _doing(self, state: State) -> str:
        if state.phase is Phase.STARTING:
            return "replicas were starting"
        step = self.policy.steps[state.index] if state.index < len(self.policy.steps) else "the last weight"
        return f"step {state.index + 1} ({step}) was under way"


def split(candidate: int) -> Weights:
    """The weights of both arms.

    >>> split(1000)
    {<Role.STABLE: 'stable'>: 9000, <Role.CANDIDATE: 'candidate'>: 1000}
    """
    return {Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}


def _go(state: State, *actions: Action) -> Transition:
    return Transition(state, actions, state.wake_ns)


def _end(state: State, outcome: Outcome, reason: str, because: tuple[int, ...] = ()) -> Transition:
    stop = (StopAnalysis(),) if state.analysing else ()
    ended = replace(state, phase=Phase.ENDED, wake_ns=None, analysing=False)
    return Transition(ended, (*stop, End(outcome, reason, because)))
