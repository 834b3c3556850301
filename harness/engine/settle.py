"""Settling: the promotion, and the way back to stable; verified, retried with back-off, escalated to a person.

A candidate is verified with all traffic before it is decided to promote it; until then a cancellation goes back to
stable. From the decision on everything runs shielded from cancellation and within a bound: what has begun finishes or
escalates, whatever a backend raises.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio

from harness.domain.event import Escalated, InputsSeen, Noticed, Promoted, RolledBack, Totalled, Verified
from harness.domain.model import Revision, Role
from harness.domain.rollout import End, Outcome, Want
from harness.domain.units import WHOLE
from harness.engine.executor import Executor, check
from harness.engine.looks import DEFAULT_EVERY_NS
from harness.engine.stages import alias
from harness.protocols import Readiness
from harness.strategies.steps import split

SETTLE_S: Final = 300.0
"""All of settling, retries included, takes no longer than this."""
STABLE_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
"""Waits before each attempt to verify stable: long enough in all for a replica that crashed to start anew."""
CANDIDATE_S: Final = (0.0, 1.0, 2.0)
"""The same for the candidate: users wait with it, and stable is there to go back to."""
AGAIN_S: Final = (0.0, 1.0, 4.0)
"""Waits before each attempt at what is asked of a backend once all is safe."""
PROBES: Final = 5
"""Requests of our own in each attempt; more than half must be answered well and in time."""


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
    """Make the candidate, verified already, the new stable; if the registry refuses, stable gets the traffic back."""
    refused = await _attempts(lambda: alias(executor, candidate, Role.STABLE.value))
    if refused:
        back = End(Outcome.ERROR, f"the registry could not name {candidate} stable: {refused}")
        settled = await restore(executor, back, stable)
        # A call that failed may have had its effect all the same.
        await _tidy(executor, "alias", lambda: alias(executor, stable, Role.STABLE.value))
        return settled
    executor.tell(Promoted, candidate.name, candidate.version)
    await _tidy(executor, "scale", lambda: executor.scale({**executor.replicas, Role.STABLE: 0}))
    return end


async def restore(executor: Executor, end: End, stable: Revision | None = None) -> End:
    """Give stable all traffic, verify it, and take the candidate down; escalate where it can't be verified."""
    if not await verify(executor, Role.STABLE):
        reason = f"{end.reason}; and stable could not be verified with all traffic: a person must look"
        executor.tell(Escalated, reason)
        return End(Outcome.FAILED, reason, end.because)
    if stable:
        executor.tell(RolledBack, stable.name, stable.version)
    if executor.replicas.get(Role.CANDIDATE):
        await _tidy(executor, "scale", lambda: executor.scale({**executor.replicas, Role.CANDIDATE: 0}))
    return end


async def _attempts(act: Callable[[], Awaitable[object]], waits_s: Sequence[float] = AGAIN_S) -> str:
    """Try until it is done; empty then, else what was said at the last attempt."""
    said = ""
    for wait_s in waits_s:
        await anyio.sleep(wait_s)
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - a backend of a third party raises what it likes; it is told
            said = str(error) or repr(error)
        else:
            return ""
    return said


async def _tidy(executor: Executor, what: str, act: Callable[[], Awaitable[object]]) -> None:
    """Do what can be left undone without harm to users; it changes no outcome."""
    said = await _attempts(act)
    if said:
        executor.tell(Noticed, "left_undone", (), f"{what} was left undone: {said}")


async def verify(executor: Executor, role: Role) -> bool:
    """Route everything to that arm and see that it serves; tries again with back-off."""
    waits_s = STABLE_S if role is Role.STABLE else CANDIDATE_S
    for attempt, wait_s in enumerate(waits_s, start=1):
        await anyio.sleep(wait_s)
        found = await _attempt(executor, role)
        # Stable that serves below its full strength is where traffic is safest; a candidate so weak is not promoted.
        last = attempt == len(waits_s) and role is Role.STABLE
        enough = found.passed or (last and found.weights and found.some and found.probe)
        executor.tell(Verified, role, enough, found.weights, found.ready, found.probe, attempt, found.detail)
        if enough:
            return True
    return False


async def _attempt(executor: Executor, role: Role) -> Check:
    want = split(WHOLE if role is Role.CANDIDATE else 0)
    platform = executor.parts.platform
    try:
        await executor.readiness()
        if role is Role.CANDIDATE:  # the way back to stable is taken whatever state stable is in; this way is not
            check(Want(want, executor.replicas), executor.ready, executor.weights)
        # Applied again even where it is believed to be in force: what is verified is the router's own answer.
        await executor.route(want)
        answered = sum([await platform.serving.probe(role) for _ in range(PROBES)])
    except Exception as error:  # noqa: BLE001 - whatever a backend raises, the next attempt may find it well
        return Check(weights=False, ready=False, probe=False, detail=str(error) or repr(error))
    state = executor.ready.get(role, Readiness(0, 0))
    return Check(
        weights=dict(executor.weights) == dict(want),
        ready=0 < state.wanted <= state.ready,
        probe=2 * answered > PROBES,
        detail=f"{state.ready} of {state.wanted} replicas ready, {answered} of {PROBES} probes answered",
        some=state.ready > 0,
    )


async def count_up(executor: Executor) -> None:
    """Log what each arm did over the whole run."""
    try:
        arms = await executor.parts.metrics.totals()
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
        columns = await executor.parts.metrics.inputs(since_ns, decided_ns)
        predictions = await executor.parts.metrics.predictions(since_ns, decided_ns)
    except Exception as error:  # noqa: BLE001 - a picture that is missing
        executor.tell(Noticed, "left_undone", (), f"the inputs could not be looked at: {str(error) or repr(error)}")
        return
    if columns or predictions:
        executor.tell(InputsSeen, window_ns, columns, predictions)


async def stop(executor: Executor) -> None:
    """End traffic; that it could not be ended changes nothing of what became of the candidate."""
    await _tidy(executor, "the platform's end", executor.parts.platform.stop)
