"""The machine of rollouts that go by steps: wait for replicas, then the steps in order, then the end.

It is pure: ``next(state, seen, at_ns)`` answers with the new state, the actions to take and when it wants to be woken.
The executor acts, and tells what came of it as the next thing seen. A background analysis that passes a limit ends the
rollout at once. It never blocks a step by itself, as in Argo Rollouts; but where the policy says ``hold`` (the default)
a step is not left before every rule has passed since the step's weight came into force, on the last look that could
judge it: a rollout that nobody could judge is not promoted, and none is raised on the heels of a failed look.

Canary, blue-green, shadow and A/B are this machine over different steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.domain.analysis import NoData, Verdict
from harness.domain.model import Role
from harness.domain.rollout import (
    Action,
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
    Hold,
    HookAnswer,
    Horizon,
    Order,
    Outcome,
    Pause,
    Ready,
    RolloutPolicy,
    Routed,
    Rules,
    Seen,
    SetMirror,
    SetRoute,
    SetScale,
    SetWeight,
    Smoke,
    StartAnalysis,
    StartExperiment,
    Step,
    StopAnalysis,
    Superseded,
    Tick,
    Want,
    Weights,
)
from harness.domain.units import WHOLE, duration_text, share_text
from harness.strategies import again
from harness.strategies.foresight import foreseen
from harness.strategies.moves import Moves
from harness.strategies.state import Count, Phase, State, Transition, go, split

__all__ = ["Count", "Phase", "State", "Steps", "Transition", "split"]

NO_RULES = Rules()
PERSON = frozenset({Phase.AWAITING, Phase.HOLDING})
"""Phases in which a run ends `paused` when its horizon comes."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The machine for one policy and one size of each arm."""

    policy: RolloutPolicy
    replicas: Mapping[Role, int]
    rules: Rules = NO_RULES

    def start(self, at_ns: int) -> Transition:
        """Ask for the candidate's replicas while stable keeps all traffic."""
        first = self.policy.steps[0] if self.policy.steps else None
        scale = first.replicas if isinstance(first, SetScale) else None
        state = State(Phase.STARTING, scale=scale, wake_ns=at_ns + self.policy.ready_within_ns)
        if self.policy.by_replicas:  # none is wanted before the first weight
            state = replace(state, spec=self._moves.at_rest)
            return self._enter(replace(state, wake_ns=None), 0, at_ns)
        return go(state, self._want(state))

    def next(self, state: State, seen: Seen, at_ns: int) -> Transition:  # noqa: PLR0911 - one for each thing seen
        """What to do now. After the end nothing changes any more."""
        if state.phase is Phase.ENDED:
            return Transition(state)
        match seen:
            case Ready(role, ready, wanted):
                known = replace(state, counts={**state.counts, role: Count(ready, wanted)})
                return self._replicas(known, at_ns)
            case Horizon():
                return self._horizon(state)
            case _ if state.phase is Phase.RETURNING:
                return self._returning(state, seen, at_ns)
            case AnalysisPhase():
                return self._looked(state, seen, at_ns)
            case ExperimentPhase() if state.phase is Phase.DECIDING:
                return self._tested(state, seen, at_ns)
            case HookAnswer() if state.phase is Phase.TESTING:
                return self._checked(state, seen, at_ns)
            case Command():
                return self._told(state, seen, at_ns)
            case Superseded(by):
                end = End(Outcome.ABORTED, f"superseded by {by}", superseded=True)
                return self._give_up(state, end, at_ns)
            case Routed(weights) if state.phase is Phase.ROUTING and self._in_force(state, weights):
                return self._weight_in_force(state, at_ns)
            case Tick() if state.wake_ns is not None and at_ns >= state.wake_ns:
                return self._due(state, at_ns)
        return go(state)

    def foreseen(self) -> tuple[tuple[int, int], ...]:
        """The weights if all goes well: (nanoseconds after the first weight, candidate's weight), and the end."""
        return foreseen(self.policy)

    # --- taken up again, after a crash ---

    def dump(self, state: State) -> Mapping[str, Any]:
        """The state as plain values of JSON."""
        return again.kept(state)

    def restore(self, value: Any) -> State:
        """The state of what `dump` gave."""
        return again.brought_back(value)

    def taken_up(self, state: State, ready: Sequence[Ready], at_ns: int) -> Transition:
        """What follows from being taken up again, with so many replicas."""
        return again.taken_up(self.policy, again.counted(state, ready), at_ns, self._asked, self._move)

    def _asked(self, state: State) -> Want:
        if self.policy.by_replicas:
            return Want(self._moves.weights(state), state.spec, sticky=self.policy.sticky)
        return self._want(state)

    # --- what each thing seen leads to ---

    def _looked(self, state: State, seen: AnalysisPhase, at_ns: int) -> Transition:
        if seen.verdict is Verdict.FAIL:
            return self._give_up(state, End(Outcome.ROLLED_BACK, seen.reason, seen.because), at_ns)
        if seen.verdict is Verdict.ERROR:
            return self._give_up(state, End(Outcome.ERROR, seen.reason, seen.because), at_ns)
        if seen.verdict is Verdict.INCONCLUSIVE:
            return self._inconclusive(state, seen)
        if seen.inline:
            if seen.done and state.phase is Phase.ANALYSING:
                after = replace(state, inline=False, wake_ns=None)
                return _after(self._enter(after, state.index + 1, at_ns), StopAnalysis(inline=True))
            return go(state)
        judged = replace(state, passed_ns=seen.passed_ns, waits=seen.reason)
        if state.phase is Phase.HOLDING and not self._waits_for_judgement(judged):
            return self._enter(judged, state.index + 1, at_ns)
        return go(judged)

    def _inconclusive(self, state: State, seen: AnalysisPhase) -> Transition:
        """Wait for a person, who may have it all looked at anew (Argo Rollouts pauses likewise)."""
        until_ns = (
            state.wake_ns if state.phase is Phase.AWAITING else None
        )  # a person who is asked has as long as before
        stops = self._stops(state, background=not seen.inline)
        waiting = replace(
            state,
            phase=Phase.AWAITING,
            wake_ns=until_ns,
            waits=seen.reason,
            broken=state.broken or state.phase,
            analysing=state.analysing and seen.inline,
            inline=False,
        )
        return go(waiting, *stops, Await(f"the analysis is inconclusive ({seen.reason})", until_ns))

    def _tested(self, state: State, seen: ExperimentPhase, at_ns: int) -> Transition:
        match seen.finding:
            case Finding.UNDECIDED:
                return go(replace(state, waits=seen.reason, because=seen.because))
            case Finding.BETTER if self.policy.promote:
                return self._promoted(state, End(Outcome.PROMOTED, seen.reason, seen.because), at_ns)
            case _:
                return self._give_up(state, End(Outcome.KEPT_STABLE, seen.reason, seen.because), at_ns)

    def _checked(self, state: State, seen: HookAnswer, at_ns: int) -> Transition:
        if not seen.passed:
            return self._give_up(state, End(Outcome.ROLLED_BACK, seen.reason, seen.because), at_ns)
        step = self._step(state)
        if isinstance(step, Approve) and step.within_ns is not None:
            return go(*self._asking(state, at_ns + step.within_ns))
        return self._enter(state, state.index + 1, at_ns)

    def _asking(self, state: State, until_ns: int) -> tuple[State, Await]:
        waiting = replace(state, phase=Phase.AWAITING, wake_ns=until_ns, waits="no approval yet")
        return waiting, Await("an approval", until_ns)

    def _told(self, state: State, seen: Command, at_ns: int) -> Transition:
        match seen.order:
            case Order.ABORT:
                return self._give_up(state, End(Outcome.ABORTED, f"aborted by {seen.by}"), at_ns)
            case Order.REJECT:
                return self._give_up(state, End(Outcome.ROLLED_BACK, f"refused by {seen.by}"), at_ns)
            case Order.PROMOTE:
                return self._promoted(state, End(Outcome.PROMOTED, f"promoted by {seen.by}"), at_ns)
            case Order.APPROVE if state.phase in PERSON:
                return self._resume(replace(state, wake_ns=None), at_ns)
        return go(state)

    def _promoted(self, state: State, end: End, at_ns: int) -> Transition:
        """Leave out what steps are left, as soon as the candidate is there."""
        stop = self._stops(state, background=False)
        decided = replace(state, wake_ns=None, passed_ns=at_ns, inline=False, promotion=end)
        return _after(self._enter(decided, len(self.policy.steps), at_ns), *stop)

    def _resume(self, state: State, at_ns: int) -> Transition:
        """A person says to go on: to the next step, or through the present one anew where an analysis broke it off."""
        again = state.broken not in {None, Phase.AWAITING, Phase.STARTING}
        anew = replace(state, broken=None, passed_ns=state.passed_ns if state.analysing else None)
        return self._enter(anew, state.index if again else state.index + 1, at_ns)

    def _replicas(self, state: State, at_ns: int) -> Transition:
        match state.phase:
            case Phase.STARTING:
                if state.index < 0:
                    up = all(self._full(state, role) for role in self._wanted(state) if role is not Role.STABLE)
                else:
                    up = not self._lacking(state, self._next_weight(state))
                return self._enter(replace(state, wake_ns=None), state.index + 1, at_ns) if up else go(state)
            case Phase.SCALING if self._full(state, Role.CANDIDATE):
                return self._enter(replace(state, wake_ns=None), state.index + 1, at_ns)
            case Phase.ROUTING if self.policy.by_replicas:
                return self._move(state, at_ns)
        return go(state)

    def _due(self, state: State, at_ns: int) -> Transition:
        match state.phase:
            case Phase.STARTING | Phase.SCALING | Phase.ROUTING:
                limit = duration_text(self.policy.ready_within_ns)
                lacking = self._lacking(state, self._next_weight(state)) or [Role.CANDIDATE]
                reason = f"the replicas of {lacking[0]} were not ready within {limit}"
                return self._give_up(state, End(Outcome.ROLLED_BACK, reason), at_ns)
            case Phase.AWAITING:
                return self._give_up(state, End(Outcome.ROLLED_BACK, "the approval was not given in time"), at_ns)
            case Phase.DECIDING:
                reason = f"the test came to no decision in its time ({state.waits})"
                return self._give_up(state, End(Outcome.KEPT_STABLE, reason, state.because), at_ns)
        return self._leave(replace(state, wake_ns=None), at_ns)

    def _leave(self, state: State, at_ns: int) -> Transition:
        """Go on to the next step, unless a rule has not passed yet on this one; a pause may always begin."""
        if self._next_weight(state) is not None and self._waits_for_judgement(state):
            held = replace(state, phase=Phase.HOLDING, wake_ns=None)
            return go(held, Hold(f"not every rule has passed at {share_text(state.weight)} ({state.waits})"))
        return self._enter(state, state.index + 1, at_ns)

    def _weight_in_force(self, state: State, at_ns: int) -> Transition:
        routed = replace(state, routed_ns=at_ns, wake_ns=None)
        if state.index >= len(self.policy.steps):  # what is left, after the last step: the promotion itself
            return self._end(routed, self._promotion(state))
        start = self._looks_due(routed)
        left = self._leave(replace(routed, analysing=state.analysing or start), at_ns)
        return _after(left, StartAnalysis()) if start else left

    def _horizon(self, state: State) -> Transition:
        if state.phase in PERSON:
            what = "held" if state.phase is Phase.HOLDING else "waiting for a person"
            at = share_text(state.weight)
            return self._end(state, End(Outcome.PAUSED, f"{what} at {at} when the horizon came ({state.waits})"))
        if state.ending:
            return self._end(state, state.ending)
        return self._end(state, End(Outcome.ERROR, f"the horizon came while {self._doing(state)}"))

    # --- steps ---

    def _enter(self, state: State, index: int, at_ns: int) -> Transition:
        """Begin the step of that index; beyond the last one the candidate gets what is left, and is promoted."""
        before = replace(state, index=index - 1)
        if not self.policy.by_replicas and (lacking := self._lacking(state, self._next_weight(before))):
            # Nothing is routed to an arm that is down; the step waits for it, as long as the first one may.
            down = replace(before, phase=Phase.STARTING, wake_ns=at_ns + self.policy.ready_within_ns)
            return go(down, Hold(f"no replica of {lacking[0]} is ready"))
        if index >= len(self.policy.steps):
            if self.policy.promote or state.promotion:
                return self._finish(replace(state, index=index), at_ns)
            return self._give_up(state, End(Outcome.KEPT_STABLE, "every step was passed"), at_ns)
        step = self.policy.steps[index]
        entered = EnterStep(index, step)
        now = replace(state, index=index)
        match step:
            case SetWeight(weight):
                return _after(self._route(replace(now, weight=weight), at_ns), entered)
            case SetRoute(name, route):
                routes = (*(each for each in state.routes if each.name != name), *([route] if route else []))
                return _after(self._route(replace(now, routes=routes), at_ns), entered)
            case SetMirror(share):
                return _after(self._route(replace(now, mirror=share), at_ns), entered)
            case SetScale(count):
                return _after(self._scale(replace(now, scale=count), at_ns), entered)
        start = self._looks_due(now)
        begun = self._wait(replace(now, analysing=now.analysing or start), step, entered, at_ns)
        return _after(begun, StartAnalysis()) if start else begun

    def _looks_due(self, state: State) -> bool:
        """Whether the background analysis is to begin."""
        begins = bool(self.policy.analysis) and not state.analysing and self._exposed(state)
        return begins and state.index >= self.policy.analysis_from

    def _wait(self, now: State, step: Step, entered: EnterStep, at_ns: int) -> Transition:
        """Begin a step in which something is waited for."""
        match step:
            case Pause(None):
                waiting = replace(now, phase=Phase.AWAITING, waits="a pause without an end")
                return go(waiting, entered, Await("this pause ends when a person says so", None))
            case Pause(duration_ns):
                return go(replace(now, phase=Phase.PAUSING, wake_ns=at_ns + (duration_ns or 0)), entered)
            case Approve(int(within_ns), ()):
                waiting, asked = self._asking(now, at_ns + within_ns)
                return go(waiting, entered, asked)
            case Approve():
                return go(replace(now, phase=Phase.TESTING), entered, CallHook("criteria", step))
            case Analyze(policy, looks):
                analysing = replace(now, phase=Phase.ANALYSING, inline=True)
                return go(analysing, entered, StartAnalysis(policy, looks))
            case Decide(experiment, every_ns, at_most_ns):
                deciding = replace(
                    now, phase=Phase.DECIDING, wake_ns=at_ns + at_most_ns, waits="nothing was seen yet", because=()
                )
                return go(deciding, entered, StartExperiment(experiment, every_ns))
            case Smoke():
                return go(replace(now, phase=Phase.TESTING), entered, CallHook("smoke", step))
        raise AssertionError(f"no machine knows what to do at {step}")

    def _route(self, state: State, at_ns: int) -> Transition:
        routing = replace(state, phase=Phase.ROUTING)
        if self.policy.by_replicas:
            return self._move(replace(routing, wake_ns=at_ns + self.policy.ready_within_ns), at_ns)
        return go(routing, self._want(routing))

    def _scale(self, state: State, at_ns: int) -> Transition:
        scaling = replace(state, phase=Phase.SCALING, wake_ns=at_ns + self.policy.ready_within_ns)
        count = state.counts.get(Role.CANDIDATE)
        wanted = self._wanted(scaling)[Role.CANDIDATE]
        if count and count.wanted == wanted and count.ready >= wanted:
            return self._enter(replace(scaling, wake_ns=None), state.index + 1, at_ns)
        return go(scaling, self._want(scaling))

    def _finish(self, state: State, at_ns: int) -> Transition:
        """The promotion: the candidate at its full size, with all traffic, and nothing routed apart."""
        stop = self._stops(state, background=False)
        last = replace(state, index=len(self.policy.steps), weight=WHOLE, routes=(), mirror=0, inline=False)
        if state.weight == WHOLE and not (state.routes or state.mirror or state.scale or self.policy.by_replicas):
            return _after(self._end(last, self._promotion(state)), *stop)
        if state.scale is not None and not self.policy.by_replicas:
            growing = replace(state, index=last.index - 1, scale=None, inline=False)
            if not self._full(growing, Role.CANDIDATE):
                return _after(self._scale(growing, at_ns), *stop)
        return _after(self._route(replace(last, scale=None), at_ns), *stop)

    def _promotion(self, state: State) -> End:
        return state.promotion or End(Outcome.PROMOTED, "every step was passed")

    # --- the way back ---

    def _give_up(self, state: State, end: End, at_ns: int) -> Transition:
        """End without promotion: at once, or down the steps that it went up, if the policy says so."""
        stepwise = self.policy.stepwise_ns is not None and state.weight > 0 and not self.policy.by_replicas
        if not stepwise and not (self.policy.by_replicas and state.spec != self._moves.at_rest):
            return self._end(state, end)
        back = replace(state, phase=Phase.RETURNING, ending=end, analysing=False, inline=False, wake_ns=None)
        return _after(self._down(back, at_ns), *self._stops(state))

    def _down(self, state: State, at_ns: int) -> Transition:
        """One weight lower, of those that it went up by."""
        if self.policy.by_replicas:
            return self._move(replace(state, weight=0, wake_ns=at_ns + self.policy.ready_within_ns), at_ns)
        lower = [
            step.weight for step in self.policy.steps if isinstance(step, SetWeight) and step.weight < state.weight
        ]
        weight = max(lower, default=0)
        # Where an arm that would get more is down, settling takes over: it takes stable in whatever state it is.
        if state.ending and (not weight or self._lacking(state, weight)):
            return self._end(state, state.ending)
        down = replace(state, weight=weight, wake_ns=at_ns + (self.policy.stepwise_ns or 0))
        return go(down, self._want(down))

    def _returning(self, state: State, seen: Seen, at_ns: int) -> Transition:
        """Nothing turns a rollout round that is on its way back; a person may only have it end at once."""
        if state.ending and isinstance(seen, Command) and seen.order is Order.ABORT:
            return self._end(state, state.ending)
        if isinstance(seen, Tick) and state.wake_ns is not None and at_ns >= state.wake_ns:
            if self.policy.by_replicas and state.ending:  # it takes too long: settling takes over, and verifies
                return self._end(state, state.ending)
            return self._down(state, at_ns)
        return go(state)

    def _end(self, state: State, end: End) -> Transition:
        ended = replace(state, phase=Phase.ENDED, wake_ns=None, analysing=False, inline=False)
        return go(ended, *self._stops(state), end)

    def _stops(self, state: State, *, background: bool = True) -> tuple[Action, ...]:
        stops: tuple[Action, ...] = (StopAnalysis(),) if state.analysing and background else ()
        return (*stops, StopAnalysis(inline=True)) if state.inline or state.phase is Phase.DECIDING else stops

    # --- counts of replicas that stand for weights ---

    @property
    def _moves(self) -> Moves:
        return Moves.of(self.policy, self.replicas[Role.STABLE])

    def _move(self, state: State, at_ns: int) -> Transition:
        """Change as many replicas as may be changed now; the weight is in force when there are none left to change."""
        goal = self._moves.of_weight(state.weight)
        spec = self._moves.toward(goal, state)
        moved = replace(state, spec=spec, wake_ns=at_ns + self.policy.ready_within_ns) if spec != state.spec else state
        want = Want(self._moves.weights(moved), spec, sticky=self.policy.sticky)
        if not self._moves.arrived(goal, moved):
            return go(moved, want)
        if moved.phase is Phase.RETURNING and moved.ending:
            return _after(self._end(moved, moved.ending), want)
        return _after(self._weight_in_force(moved, at_ns), want)

    def _in_force(self, state: State, weights: Weights) -> bool:
        return not self.policy.by_replicas and dict(weights) == dict(self._weights(state))

    # --- what is asked for ---

    def _want(self, state: State) -> Want:
        wanted = self._wanted(state)
        return Want(self._weights(state), wanted, state.routes, state.mirror, self.policy.sticky)

    def _wanted(self, state: State) -> dict[Role, int]:
        full = self.replicas[Role.CANDIDATE]
        count = full if state.scale is None else state.scale
        baseline = {Role.BASELINE: count} if self.policy.baseline else {}
        return {Role.STABLE: self.replicas[Role.STABLE], Role.CANDIDATE: count, **baseline}

    def _weights(self, state: State) -> Weights:
        return split(state.weight, baseline=self.policy.baseline)

    def _full(self, state: State, role: Role) -> bool:
        """Whether an arm has all the replicas that are wanted of it."""
        count = state.counts.get(role)
        return count is not None and count.wanted == self._wanted(state)[role] <= count.ready

    def _exposed(self, state: State) -> bool:
        return bool(state.weight or state.mirror or state.routes)

    def _step(self, state: State) -> Step | None:
        return self.policy.steps[state.index] if 0 <= state.index < len(self.policy.steps) else None

    def _next_weight(self, state: State) -> int | None:
        """The weight that the next step sets, or that it needs the candidate for; None where it needs nobody."""
        index = state.index + 1
        if index >= len(self.policy.steps):
            return WHOLE if self.policy.promote or state.promotion else None
        step = self.policy.steps[index]
        if isinstance(step, SetMirror | SetRoute):
            return max(state.weight, 1)
        if not isinstance(step, SetWeight):
            return None
        return max(step.weight, 1) if state.routes or state.mirror else step.weight

    def _lacking(self, state: State, weight: int | None) -> list[Role]:
        """The arms that are to get traffic at that weight and have no replica ready."""
        shares = {} if weight is None else split(weight, baseline=self.policy.baseline)
        return [role for role, share in shares.items() if share and not state.ready(role)]

    def _waits_for_judgement(self, state: State) -> bool:
        analysis = self.policy.analysis
        if analysis is None or analysis.no_data is not NoData.HOLD or not state.analysing or not self._exposed(state):
            return False
        return state.passed_ns is None or state.passed_ns <= state.routed_ns

    def _doing(self, state: State) -> str:
        if state.phase in {Phase.STARTING, Phase.SCALING}:
            return "replicas were starting"
        step = self._step(state) or "the last weight"
        return f"step {state.index + 1} ({step}) was under way"


def _after(transition: Transition, *actions: Action) -> Transition:
    """The same, after some other actions."""
    return replace(transition, actions=(*actions, *transition.actions))
