"""Settling: the promotion, and the way back to stable; verified, retried with back-off, escalated to a person.

A candidate is verified with all traffic before it is decided to promote it; until then a cancellation goes back to
stable. From the decision on everything runs shielded from cancellation and within a bound: what has begun finishes or
escalates, whatever a backend raises.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import anyio

from harness.clock import now_ns
from harness.domain.event import (
    Escalated,
    InputsSeen,
    MonitoringSet,
    Noticed,
    Promoted,
    RolledBack,
    Totalled,
    Verified,
)
from harness.domain.model import ARMS, Revision, Role
from harness.domain.rollout import End, Outcome, Routing, Want
from harness.domain.units import SECOND, WHOLE
from harness.engine.calls import answered
from harness.engine.executor import Executor, check
from harness.engine.looks import DEFAULT_EVERY_NS
from harness.engine.stages import alias, mark, unalias
from harness.errors import LeaseLost
from harness.protocols import Readiness
from harness.realtime import Leavable
from harness.strategies.moves import Moves
from harness.strategies.state import Count, Phase, State
from harness.strategies.steps import split

LEAVE_S: Final = 10.0
"""A platform that was not let go of by then ends with the process."""
SETTLE_S: Final = 300.0
"""All of settling, retries included, takes no longer than this (and what replicas that are started anew may take)."""
STABLE_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
"""Waits before each attempt to verify stable: long enough in all for a replica that crashed to start anew."""
CANDIDATE_S: Final = (0.0, 1.0, 2.0)
"""The same for the candidate: users wait with it, and stable is there to go back to."""
AGAIN_S: Final = (0.0, 1.0, 4.0)
"""Waits before each attempt at what is asked of a backend once all is safe."""
PROBES: Final = 5
"""Requests of our own in each attempt; more than half must be answered well and in time."""

PREVIOUS: Final = "previous"
"""The alias of the version that was stable before."""


@dataclass(frozen=True, slots=True)
class Check:
    """Whether an arm really serves: weights in force, replicas ready, probes answered."""

    weights: bool
    ready: bool
    """All that are wanted."""
    probe: bool
    detail: str
    some: bool = False
    """At least one replica is ready."""

    @property
    def passed(self) -> bool:
        """All three held."""
        return self.weights and self.ready and self.probe


async def promote(executor: Executor, stable: Revision, candidate: Revision, end: End) -> End:
    """Make the candidate, verified already, the new stable; if the registry refuses, stable gets the traffic back.

    What was stable stays up: `retire` takes it down.
    """
    refused = await attempts(lambda: alias(executor, candidate, Role.STABLE.value))
    if refused:
        back = End(Outcome.ERROR, f"the registry could not name {candidate} stable: {refused}")
        settled = await restore(executor, back, stable)
        # A call that failed may have had its effect all the same.
        await tidy(executor, "alias", lambda: alias(executor, stable, Role.STABLE.value))
        return settled
    await tidy(executor, "alias", lambda: alias(executor, stable, PREVIOUS))
    await tidy(executor, "mark", lambda: mark(executor, candidate, "verified"))
    executor.tell(Promoted, candidate.name, candidate.version)
    executor.notify(f"{candidate} is the new stable")
    return end


async def watch(executor: Executor, promoted: Revision) -> None:
    """Set up the monitoring of what was promoted, where there is a system for it; users are served without it too."""
    system = executor.parts.monitoring
    if system is None:
        return

    async def set_up() -> None:
        made = await system.set_up(promoted, executor.baselines.figures)
        executor.tell(MonitoringSet, promoted.name, promoted.version, made.files, made.alerts)

    await tidy(executor, "monitoring", set_up)


async def retire(executor: Executor, home: Role) -> None:
    """Take down every arm but the one that users' traffic is at home on."""
    left = {role: size(executor, home) if role is home else 0 for role in executor.replicas}
    rollout = executor.scenario.rollout
    if rollout.by_replicas and home is Role.STABLE and sum(executor.replicas.values()) > left[home]:
        least = Moves.of(rollout, size(executor, home)).limits.least
        if (ready := executor.ready.get(home, Readiness(0, 0)).ready) < least:
            told = f"scale was left undone: only {ready} replicas of {home} are ready, and {least} are never given up"
            executor.tell(Noticed, "left_undone", (), told)
            return
    if not executor.scaled or left != dict(executor.replicas):
        await tidy(executor, "scale", lambda: executor.scale(left))


async def restore(executor: Executor, end: End, stable: Revision | None = None, home: Role = Role.STABLE) -> End:
    """Give stable all traffic, verify it, and take the candidate down; escalate where it can't be verified.

    Args:
        executor: of the run.
        end: what the rollout ended as.
        stable: the version that is stable; None: not known yet.
        home: the arm it runs in.
    """
    await rebuild(executor, home)
    if not await verify(executor, home):
        found = last_found(executor, home)
        besides = "" if found in end.reason else f" ({found})"
        reason = f"{end.reason}; and stable could not be verified with all traffic{besides}: a person must look"
        executor.tell(Escalated, reason)
        executor.notify(reason)
        return End(Outcome.FAILED, reason, end.because)
    if stable:
        executor.tell(RolledBack, stable.name, stable.version)
    await retire(executor, home)
    return end


def size(executor: Executor, role: Role) -> int:
    """Replicas that an arm has at its full size."""
    return executor.scenario.service[role.model].replicas


async def rebuild(executor: Executor, home: Role) -> None:
    """Bring an arm back to its full size that has lost replicas to the other one, while that gives up as many.

    Where counts of replicas stand for weights neither may ever be done before there is room, or capacity, for it. It
    ends where there is no progress for as long as replicas may take: what stands then has to do.
    """
    rollout, full = executor.scenario.rollout, size(executor, home)
    if not executor.replicas or (executor.scaled and executor.replicas.get(home, 0) >= full):
        return
    if not rollout.by_replicas or home is not Role.STABLE:
        await tidy(executor, "scale", lambda: executor.scale({**executor.replicas, home: full}))
        return
    moves, best, progress_ns = Moves.of(rollout, full), (-1, -1), now_ns()
    while now_ns() < progress_ns + rollout.ready_within_ns:
        said = await attempts(lambda: _move(executor, moves))
        if not said and moves.arrived(moves.of_candidates(0), _standing(executor)):
            return
        stands = (executor.replicas.get(home, 0), executor.ready.get(home, Readiness(0, 0)).ready)
        if stands > best:
            best, progress_ns = stands, now_ns()
        await anyio.sleep(AGAIN_S[1])


def _standing(executor: Executor) -> State:
    counts = {role: Count(executor.ready[role].ready, executor.ready[role].wanted) for role in ARMS}
    return State(Phase.RETURNING, counts=counts, spec={role: count.wanted for role, count in counts.items()})


async def _move(executor: Executor, moves: Moves) -> None:
    """Change as many replicas as may be changed now, and let traffic follow."""
    await executor.readiness()
    standing = _standing(executor)
    want = Want(moves.weights(standing), moves.toward(moves.of_candidates(0), standing))
    if dict(want.replicas) != {role: count.wanted for role, count in standing.counts.items()}:
        await executor.scale(want.replicas)
        await executor.readiness()
    if dict(want.weights) != dict(executor.weights):
        await executor.route(want.routing)


def bound_s(executor: Executor) -> float:
    """How long settling may take: what has to be started anew for it takes its own time."""
    rollout, full = executor.scenario.rollout, size(executor, Role.STABLE)
    lacking = full - executor.replicas.get(Role.STABLE, full) if rollout.by_replicas else 0
    return SETTLE_S + (lacking + 1) * rollout.ready_within_ns / SECOND if lacking > 0 else SETTLE_S


async def attempts(act: Callable[[], Awaitable[object]], waits_s: Sequence[float] = AGAIN_S) -> str:
    """Try until it is done; empty then, else what was said at the last attempt."""
    said = ""
    for wait_s in waits_s:
        await anyio.sleep(wait_s)
        try:
            await act()
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - a backend of a third party raises what it likes; it is told
            said = str(error) or repr(error)
        else:
            return ""
    return said


async def tidy(executor: Executor, what: str, act: Callable[[], Awaitable[object]]) -> None:
    """Do what can be left undone without harm to users; it changes no outcome."""
    said = await attempts(act)
    if said:
        executor.tell(Noticed, "left_undone", (), f"{what} was left undone: {said}")


async def forget(executor: Executor, name: str, bad: Revision) -> None:
    """A version that was rolled back is nobody's way back, and is known to be bad."""
    await tidy(executor, "alias", lambda: unalias(executor, name, PREVIOUS))
    await tidy(executor, "mark", lambda: mark(executor, bad, "bad"))


async def verify(executor: Executor, role: Role, waits_s: Sequence[float] | None = None) -> bool:
    """Route everything to that arm and see that it serves; tries again with back-off."""
    safest = role is executor.home
    if waits_s is None:
        waits_s = STABLE_S if safest else CANDIDATE_S
    for attempt, wait_s in enumerate(waits_s, start=1):
        await anyio.sleep(wait_s)
        found = await _attempt(executor, role)
        # Stable that serves below its full strength is where traffic is safest; a candidate so weak is not promoted.
        last = attempt == len(waits_s) and safest
        enough = found.passed or (last and found.weights and found.some and found.probe)
        executor.tell(Verified, role, enough, found.weights, found.ready, found.probe, attempt, found.detail)
        if enough:
            return True
    return False


def last_found(executor: Executor, role: Role) -> str:
    """What the last attempt to verify an arm found; empty where there was none."""
    tried = (event for event in reversed(executor.log.events) if isinstance(event, Verified) and event.role is role)
    return next((event.detail for event in tried), "")


async def _attempt(executor: Executor, role: Role) -> Check:
    want = split(WHOLE if role is Role.CANDIDATE else 0)
    platform = executor.parts.platform
    try:
        await executor.readiness()
        if role is not executor.home:  # the way back to stable is taken whatever state stable is in; this way is not
            check(Want(want, executor.replicas), executor.ready, executor.weights)
        # Applied again even where it is believed to be in force: what is verified is the router's own answer.
        await executor.route(Routing(want))
        good = sum([await answered("a probe", platform.serving.probe(role)) for _ in range(PROBES)])
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a backend raises, the next attempt may find it well
        return Check(weights=False, ready=False, probe=False, detail=str(error) or repr(error))
    state = executor.ready.get(role, Readiness(0, 0))
    return Check(
        weights=dict(executor.weights) == dict(want),
        ready=0 < state.wanted <= state.ready,
        probe=2 * good > PROBES,
        detail=f"{state.ready} of {state.wanted} replicas ready, {good} of {PROBES} probes answered",
        some=state.ready > 0,
    )


async def count_up(executor: Executor) -> None:
    """Log what each arm did over the whole run."""
    try:
        arms = await answered("the count of requests", executor.parts.metrics.totals())
        since = {
            role: None if arm.first_ns is None else arm.first_ns - executor.origin_ns for role, arm in arms.items()
        }
        executor.tell(Totalled, {role: replace(arm, first_ns=since[role]) for role, arm in arms.items()})
    except Exception as error:  # noqa: BLE001 - the run has ended safely; that its sum is missing is told
        executor.tell(Escalated, f"the run's totals could not be read: {str(error) or repr(error)}")


async def look_at_inputs(executor: Executor, decided_ns: int) -> None:
    """Log what was asked and answered in the last window before the decision.

    A source that can't tell is no failure of the run.

    Args:
        executor: of the run.
        decided_ns: the loop's time of the decision.
    """
    analysis = executor.scenario.rollout.analysis
    window_ns = analysis.window_ns if analysis else DEFAULT_EVERY_NS
    try:
        since_ns = max(executor.live_ns, decided_ns - window_ns)
        metrics = executor.parts.metrics
        columns = await answered("the look at the inputs", metrics.inputs(since_ns, decided_ns))
        predictions = await answered("the look at the answers", metrics.predictions(since_ns, decided_ns))
    except Exception as error:  # noqa: BLE001 - a picture that is missing
        executor.tell(Noticed, "left_undone", (), f"the inputs could not be looked at: {str(error) or repr(error)}")
        return
    if columns or predictions:
        executor.tell(InputsSeen, window_ns, columns, predictions)


async def stop(executor: Executor) -> None:
    """End traffic; that it could not be ended changes nothing of what became of the candidate."""
    executor.mine()
    await tidy(executor, "the platform's end", lambda: answered("the platform", executor.parts.platform.stop()))


async def leave(executor: Executor) -> None:
    """Let go of a platform that another harness drives now, and change nothing of it; nobody is told, in no log."""
    platform = executor.parts.platform
    if executor.live and isinstance(platform, Leavable):
        with anyio.move_on_after(LEAVE_S, shield=True), suppress(Exception):  # what is left ends with this process
            await platform.leave()
