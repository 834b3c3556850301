"""Rolling update: replicas of the new revision take the place of the old ones a few at a time.

There is no router: traffic is spread over all ready replicas alike, so an arm's share is its share of them. Each batch
adds at most what may surge and takes at most what may be unavailable (Kubernetes' Deployment, and Argo Rollouts'
canary without a router: the arithmetic is `harness.strategies.counts`). Where the policy pauses after a batch, the
batch is judged before the next; what fails is undone in the same way, batch by batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.domain.analysis import NoData, Verdict
from harness.domain.model import Role
from harness.domain.rollout import (
    Action,
    AnalysisPhase,
    Await,
    Command,
    End,
    EnterStep,
    Hold,
    Horizon,
    Order,
    Outcome,
    Ready,
    RolloutPolicy,
    Rules,
    Seen,
    SetWeight,
    StartAnalysis,
    StopAnalysis,
    Superseded,
    Tick,
    Want,
)
from harness.domain.units import WHOLE, duration_text, share_text
from harness.strategies import again
from harness.strategies.codec import plain, restored
from harness.strategies.moves import Moves
from harness.strategies.state import Count, Phase, State, Transition


@dataclass(frozen=True, slots=True)
class Batches:
    """Where a rolling update stands."""

    state: State
    """``phase`` ROUTING: a batch is on its way; PAUSING, HOLDING: it is there and is judged; RETURNING: undoing."""
    since: Mapping[Role, tuple[int, ...]] = field(default_factory=dict)
    """When each ready replica became so, oldest first."""
    batch: int = 0
    goal: int = 0
    """Replicas of the candidate that there are to be once the batch is there."""
    progress_ns: int = 0
    """When there was progress last."""


def rolling(policy: RolloutPolicy, replicas: Mapping[Role, int]) -> "Rolling":
    """The machine of a rolling update."""
    return Rolling(policy, replicas)


@dataclass(frozen=True, slots=True)
class Rolling:
    """The machine for one policy and one size of the service."""

    policy: RolloutPolicy
    replicas: Mapping[Role, int]

    @property
    def rules(self) -> Rules:
        """Ready replicas never fall below what the policy allows, nor do wanted ones exceed it."""
        return self._moves.rules

    @property
    def _moves(self) -> Moves:
        return Moves.of(self.policy, self.replicas[Role.STABLE])

    def start(self, at_ns: int) -> Transition:
        """Begin with the first batch; stable stands at its full size."""
        state = State(Phase.ROUTING, index=0, spec=self._moves.at_rest)
        return self._batch(Batches(state, {Role.STABLE: (0,) * self._moves.size}, progress_ns=at_ns), at_ns)

    def next(self, batches: Batches, seen: Seen, at_ns: int) -> Transition:  # noqa: C901, PLR0911 - one for each thing seen
        """What to do now. After the end nothing changes any more."""
        state = batches.state
        if state.phase is Phase.ENDED:
            return Transition(batches)
        match seen:
            case Ready(role, ready, wanted):
                return self._ready(batches, role, Count(ready, wanted), at_ns)
            case Horizon():
                if state.phase is Phase.HOLDING:
                    reason = f"held after batch {batches.batch} when the horizon came ({state.waits})"
                    return self._end(batches, End(Outcome.PAUSED, reason))
                end = state.ending or End(Outcome.ERROR, f"the horizon came while batch {batches.batch} was under way")
                return self._end(batches, end)
            case Tick() if state.wake_ns is not None and at_ns >= state.wake_ns:
                return self._due(batches, at_ns)
            case _ if state.phase is Phase.RETURNING:
                return self._go(batches)
            case AnalysisPhase():
                return self._looked(batches, seen, at_ns)
            case Command(Order.ABORT, by):
                return self._undo(batches, End(Outcome.ABORTED, f"aborted by {by}"), at_ns)
            case Command(Order.REJECT, by):
                return self._undo(batches, End(Outcome.ROLLED_BACK, f"refused by {by}"), at_ns)
            case Command(Order.PROMOTE, by):
                return self._promoted(batches, End(Outcome.PROMOTED, f"promoted by {by}"), at_ns)
            case Command(Order.APPROVE) if state.phase is Phase.HOLDING:
                return self._resume(batches, at_ns)
            case Superseded(by):
                return self._undo(batches, End(Outcome.ABORTED, f"superseded by {by}", superseded=True), at_ns)
        return self._go(batches)

    def foreseen(self) -> tuple[tuple[int, int], ...]:
        """The share of the replicas after each batch, by its pause alone; how long replicas start is not known here."""
        goals = [0]
        while goals[-1] < self._moves.size:
            goals.append(self._goal(goals[-1]))
        pause_ns, size = self.policy.batch_pause_ns, self._moves.size
        points = [(batch * pause_ns, goal * WHOLE // size) for batch, goal in enumerate(goals[1:])]
        return (*points, (len(points) * pause_ns, WHOLE))

    # --- taken up again, after a crash ---

    def dump(self, batches: Batches) -> Mapping[str, Any]:
        """The state as plain values of JSON, without what is judged anew."""
        kept: Mapping[str, Any] = plain(replace(batches, state=again.lasting(batches.state)))
        return kept

    def restore(self, value: Any) -> Batches:
        """The state of what `dump` gave."""
        return restored(Batches, value)

    def taken_up(self, batches: Batches, ready: Sequence[Ready], at_ns: int) -> Transition:
        """Go on with the batch, with the replicas that there are now; what looked on begins anew."""
        since = {each.role: (batches.since.get(each.role, ()) + (at_ns,) * each.ready)[: each.ready] for each in ready}
        state = again.counted(batches.state, ready)
        now = replace(batches, state=state, since={**batches.since, **since}, progress_ns=at_ns)
        moved = self._move(now, at_ns) if state.phase in {Phase.ROUTING, Phase.RETURNING} else self._rest(now)
        looks: tuple[Action, ...] = (StartAnalysis(),) if state.analysing else ()
        return replace(moved, actions=(*looks, *moved.actions))

    # --- what each thing seen leads to ---

    def _ready(self, batches: Batches, role: Role, count: Count, at_ns: int) -> Transition:
        known = batches.since.get(role, ())
        since = known[: count.ready] + (at_ns,) * (count.ready - len(known))
        state = replace(batches.state, counts={**batches.state.counts, role: count})
        grown = count.ready > len(known)
        now = replace(
            batches,
            state=state,
            since={**batches.since, role: since},
            progress_ns=at_ns if grown else batches.progress_ns,
        )
        moved = self._move(now, at_ns) if state.phase in {Phase.ROUTING, Phase.RETURNING} else self._rest(now)
        start = (
            bool(self.policy.analysis)
            and not (state.analysing or state.broken)
            and state.phase is not Phase.RETURNING
            and role is Role.CANDIDATE
            and count.ready > 0
        )
        if not start:
            return moved
        after: Batches = moved.state
        if after.state.phase is Phase.ENDED:
            return moved
        analysing = replace(after, state=replace(after.state, analysing=True))
        return replace(moved, state=analysing, actions=(StartAnalysis(), *moved.actions))

    def _looked(self, batches: Batches, seen: AnalysisPhase, at_ns: int) -> Transition:
        if seen.verdict is Verdict.FAIL:
            return self._undo(batches, End(Outcome.ROLLED_BACK, seen.reason, seen.because), at_ns)
        if seen.verdict is Verdict.ERROR:
            return self._undo(batches, End(Outcome.ERROR, seen.reason, seen.because), at_ns)
        if seen.verdict is Verdict.INCONCLUSIVE:
            return self._inconclusive(batches, seen)
        judged = self._with(batches, passed_ns=seen.passed_ns, waits=seen.reason)
        if judged.state.phase is Phase.HOLDING and not self._waits(judged):
            return self._batch(judged, at_ns)
        return self._go(judged)

    def _due(self, batches: Batches, at_ns: int) -> Transition:
        if batches.state.phase is Phase.PAUSING:
            if self._waits(batches):
                held = self._with(batches, phase=Phase.HOLDING, wake_ns=None)
                return self._go(held, Hold(f"not every rule has passed on batch {batches.batch} ({held.state.waits})"))
            return self._batch(batches, at_ns)
        if at_ns >= batches.progress_ns + self.policy.ready_within_ns:
            limit = duration_text(self.policy.ready_within_ns)
            if batches.state.ending:
                return self._end(batches, batches.state.ending)  # settling takes over, and verifies
            return self._undo(batches, End(Outcome.ROLLED_BACK, f"there was no progress for {limit}"), at_ns)
        return self._move(batches, at_ns)

    def _inconclusive(self, batches: Batches, seen: AnalysisPhase) -> Transition:
        """Wait for a person once the batch is there; then it is all looked at anew."""
        told = Await(f"the analysis is inconclusive ({seen.reason})", None)
        broken = self._with(batches, analysing=False, passed_ns=None, waits=seen.reason, broken=batches.state.phase)
        if broken.state.phase is Phase.PAUSING:
            broken = self._with(broken, phase=Phase.HOLDING, wake_ns=None)
        return self._go(broken, StopAnalysis(), told)

    def _resume(self, batches: Batches, at_ns: int) -> Transition:
        """A person says to go on: to the next batch, or with a new analysis of this one."""
        if not batches.state.broken:
            return self._batch(batches, at_ns)
        wake_ns = at_ns + self.policy.batch_pause_ns
        anew = self._with(batches, broken=None, analysing=True, phase=Phase.PAUSING, routed_ns=at_ns, wake_ns=wake_ns)
        return self._go(anew, StartAnalysis())

    def _promoted(self, batches: Batches, end: End, at_ns: int) -> Transition:
        """Leave out what pauses and looks are left; replicas are changed no faster for that."""
        decided = self._with(batches, promotion=end, broken=None, phase=Phase.ROUTING, wake_ns=None)
        return self._move(replace(decided, goal=self._moves.size, progress_ns=at_ns), at_ns)

    # --- batches ---

    def _goal(self, before: int) -> int:
        """Where the next batch leads: to the end where nothing pauses, else as far as may be changed at a time."""
        moves = self._moves
        batch = max(moves.limits.surge + moves.limits.unavailable, 1)
        return min(before + batch, moves.size) if self.policy.batch_pause_ns else moves.size

    def _batch(self, batches: Batches, at_ns: int) -> Transition:
        """Begin the next batch; after the last one the candidate is promoted."""
        if batches.goal >= self._moves.size:
            return self._end(batches, End(Outcome.PROMOTED, "every batch was passed"))
        goal = self._goal(batches.goal)
        state = replace(batches.state, phase=Phase.ROUTING, wake_ns=None)
        begun = replace(batches, state=state, batch=batches.batch + 1, goal=goal, progress_ns=at_ns)
        moved = self._move(begun, at_ns)
        entered = EnterStep(begun.batch - 1, SetWeight(goal * WHOLE // self._moves.size))
        return replace(moved, actions=(entered, *moved.actions))

    def _move(self, batches: Batches, at_ns: int) -> Transition:
        """Change what may be changed now; a batch is there when all that it asked for has been ready long enough."""
        moves, ripe = self._moves, self._ripe(batches, at_ns)
        spec = moves.toward(moves.of_candidates(batches.goal), ripe)
        moved = self._with(batches, spec=spec)
        if spec != batches.state.spec:
            moved = replace(moved, progress_ns=at_ns)
        moved = self._with(moved, wake_ns=self._wake(moved, at_ns))
        want = self._want(moved)
        if not moves.arrived(moves.of_candidates(moved.goal), replace(ripe, spec=spec)):
            return self._go(moved, want)
        if moved.state.ending:
            return self._end(moved, moved.state.ending, want)
        if moved.state.promotion:
            return self._end(moved, moved.state.promotion, want)
        wake_ns = at_ns + self.policy.batch_pause_ns
        paused = self._with(moved, phase=Phase.PAUSING, routed_ns=at_ns, wake_ns=wake_ns)
        if paused.state.broken:
            paused = self._with(paused, phase=Phase.HOLDING, wake_ns=None)
        return self._go(paused, want)

    def _rest(self, batches: Batches) -> Transition:
        """Between batches only traffic follows what is ready."""
        return self._go(batches, self._want(batches))

    def _undo(self, batches: Batches, end: End, at_ns: int) -> Transition:
        """Go back as it came: stable's replicas take the place of the candidate's, batch by batch."""
        stop: tuple[Action, ...] = (StopAnalysis(),) if batches.state.analysing else ()
        back = self._with(batches, phase=Phase.RETURNING, ending=end, analysing=False, wake_ns=None)
        moved = self._move(replace(back, goal=0, progress_ns=at_ns), at_ns)
        told = Hold(f"undone batch by batch, from {share_text(self._want(batches).weights[Role.CANDIDATE])}")
        return replace(moved, actions=(*stop, told, *moved.actions))

    def _end(self, batches: Batches, end: End, *before: Action) -> Transition:
        stop: tuple[Action, ...] = (StopAnalysis(),) if batches.state.analysing else ()
        ended = self._with(batches, phase=Phase.ENDED, wake_ns=None, analysing=False)
        return self._go(ended, *before, *stop, end)

    # --- what holds now ---

    def _ripe(self, batches: Batches, at_ns: int) -> State:
        """The state with only those replicas counted as ready that have been for long enough."""
        ripe = {
            role: Count(sum(t + self.policy.min_ready_ns <= at_ns for t in times), batches.state.spec.get(role, 0))
            for role, times in batches.since.items()
        }
        return replace(batches.state, counts={**batches.state.counts, **ripe})

    def _wake(self, batches: Batches, at_ns: int) -> int:
        """When the next replica has been ready long enough, or it has taken too long."""
        ripens = [t + self.policy.min_ready_ns for times in batches.since.values() for t in times]
        return min([t for t in ripens if t > at_ns] + [batches.progress_ns + self.policy.ready_within_ns])

    def _waits(self, batches: Batches) -> bool:
        analysis, state = self.policy.analysis, batches.state
        if analysis is None or analysis.no_data is not NoData.HOLD or not state.analysing:
            return False
        return state.passed_ns is None or state.passed_ns <= state.routed_ns

    def _want(self, batches: Batches) -> Want:
        state = batches.state
        return Want(self._moves.weights(state), state.spec, sticky=self.policy.sticky)

    def _with(self, batches: Batches, **changes: object) -> Batches:
        return replace(batches, state=replace(batches.state, **changes))  # type: ignore[arg-type]

    def _go(self, batches: Batches, *actions: Action) -> Transition:
        return Transition(batches, actions, batches.state.wake_ns)
