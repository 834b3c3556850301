"""One run, from its first event to its last, whatever happens in between."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from harness.clock import Phase, instant, is_virtual, now_ns, wall_ns
from harness.domain.event import (
    LOG_VERSION,
    Decided,
    Interrupted,
    RunEnded,
    RunStarted,
    StageFinished,
    StageStarted,
    TrafficStarted,
)
from harness.domain.model import Role
from harness.domain.rollout import End, Outcome
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND, WHOLE
from harness.engine import settle
from harness.engine.executor import Executor, Parts
from harness.engine.rollout import Rollout
from harness.engine.stages import gate, register
from harness.errors import ClockError, HarnessError, InputError, Rejected
from harness.log import EventLog
from harness.protocols import Case


@dataclass(frozen=True, slots=True)
class Header:
    """What a log says of where and by what it was made; no part of its digest."""

    run: str = ""
    path: str = ""
    program: str = ""
    started: str = ""


async def run(
    scenario: Scenario,
    parts: Parts,
    log: EventLog,
    header: Header = Header(),
    stopped_by: Callable[[], str] = lambda: "a cancellation",
) -> Outcome:
    """Run a scenario to its end; the log is its product.

    Cancelled at any point, it first brings traffic back to stable, verifies that, and ends the log. ``stopped_by``
    then names who asked.

    Returns:
        What became of the candidate.

    Raises:
        ClockError: the platform waits for the outside world and time is virtual.
        InputError: a data or model file turned out to be unusable; the log has been ended all the same.
    """
    if is_virtual() and parts.platform.realtime:
        raise ClockError("this scenario's backends wait for the outside world; run it with `--clock real`")
    executor = Executor(scenario, parts, log, origin_ns=now_ns())
    lifecycle = Lifecycle(executor)
    executor.tell(_started, scenario, parts, header)
    try:
        end = await lifecycle.run()
    except anyio.get_cancelled_exc_class():
        by = stopped_by()
        await lifecycle.conclude(End(Outcome.ABORTED, f"stopped by {by}"), interrupted=by)
        raise
    except Exception as defect:
        cause = _first(defect)
        if isinstance(cause, InputError):
            await lifecycle.conclude(_ending(cause))
            raise cause from None
        if isinstance(cause, HarnessError):
            return await lifecycle.conclude(_ending(cause))
        await lifecycle.conclude(End(Outcome.ERROR, f"a defect of the harness: {cause!r}"))
        raise
    return await lifecycle.conclude(end)


class Lifecycle:
    """The stages in order, and the conclusion that every run comes to."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.case = Case(executor.scenario)
        self.open: str | None = None
        self.began = self.first = wall_ns()

    async def run(self) -> End:
        """Every stage up to the rollout's end."""
        executor = self.executor
        remaining = executor.scenario.horizon_ns - (now_ns() - executor.origin_ns)
        with anyio.move_on_after(remaining / SECOND) as horizon:
            await self._prepare()
        if horizon.cancelled_caught:
            return End(Outcome.ERROR, f"the horizon came while stage {self.open} was under way")
        async with self._stage("rollout"):
            end = await Rollout(executor).drive()
        if end.outcome is not Outcome.PROMOTED:
            return end
        async with self._stage("verify"):  # the last in which a cancellation still goes back to stable
            verified = await settle.verify(executor, Role.CANDIDATE)
        await instant(Phase.DECIDE)  # a signal that has come by now still counts
        if verified:
            return end
        return End(Outcome.ROLLED_BACK, "the candidate could not be verified for promotion")

    async def _prepare(self) -> None:
        executor = self.executor
        for stage in executor.parts.stages:
            async with self._stage(stage.name):
                self.case = await stage.run(self.case, executor.tell)
        if self.case.scenario.model.gates:
            async with self._stage("gate"):
                gate(executor, self.case)
        async with self._stage("register"):
            self.case = await register(executor, self.case)
        async with self._stage("deploy"):
            await self._deploy()

    async def _deploy(self) -> None:
        executor = self.executor
        executor.live = True  # even a start that fails halfway must be settled
        executor.live_ns = now_ns()
        await executor.parts.platform.start(self.case.models, self.case.population)
        executor.weights = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
        executor.replicas = {Role.STABLE: executor.scenario.service[Role.STABLE].replicas, Role.CANDIDATE: 0}
        executor.tell(TrafficStarted, executor.weights)
        await executor.readiness()

    @asynccontextmanager
    async def _stage(self, name: str) -> AsyncIterator[None]:
        self.open = name
        self.executor.tell(StageStarted, name)
        self.began = wall_ns()
        yield
        self._finish("ok", "")

    def _finish(self, status: str, detail: str) -> None:
        if self.open:
            self.executor.tell(StageFinished, self.open, status, detail, (wall_ns() - self.began) / SECOND)
            self.open = None

    # --- the end ---

    async def conclude(self, end: End, interrupted: str | None = None) -> Outcome:
        """Make the end so, verify it, and log it: shielded from cancellation, and bounded in time."""
        executor = self.executor
        with anyio.CancelScope(shield=True):
            if interrupted:
                executor.tell(Interrupted, interrupted)
            self._finish(end.outcome.value, end.reason)
            executor.tell(Decided, end.outcome, end.reason, end.because)
            if executor.live:
                end = await self._settled(end)
            executor.tell(RunEnded, end.outcome, end.reason, executor.weights, (wall_ns() - self.first) / SECOND)
        return end.outcome

    async def _settled(self, end: End) -> End:
        executor, stable = self.executor, self.case.revisions.get(Role.STABLE)
        settled, decided_ns = None, now_ns()
        with anyio.move_on_after(settle.SETTLE_S):
            try:
                if end.outcome is Outcome.PROMOTED:
                    revisions = self.case.revisions
                    async with self._stage("promote"):
                        settled = await settle.promote(executor, revisions[Role.STABLE], revisions[Role.CANDIDATE], end)
                elif end.outcome is Outcome.PAUSED:
                    settled = end
                else:
                    async with self._stage("rollback"):
                        settled = await settle.restore(executor, end, stable)
            except Exception as error:  # noqa: BLE001 - the log must have its end, and a person must hear of it
                settled = self._escalate(end, str(error) or repr(error))
        if settled is None:
            settled = self._escalate(end, f"settling took more than {settle.SETTLE_S:g} s")
        with anyio.move_on_after(settle.SETTLE_S):
            await settle.look_at_inputs(executor, decided_ns)
            await settle.count_up(executor)
            await settle.stop(executor)
        return settled

    def _escalate(self, end: End, what: str) -> End:
        from harness.domain.event import Escalated

        reason = f"{end.reason}; and it could not be made safe: {what}; a person must look"
        self.executor.tell(Escalated, reason)
        self._finish(Outcome.FAILED.value, what)
        return End(Outcome.FAILED, reason, end.because)


def _started(at_ns: int, scenario: Scenario, parts: Parts, header: Header) -> RunStarted:
    analysis = scenario.rollout.analysis
    return RunStarted(
        at_ns,
        version=LOG_VERSION,
        scenario=scenario.name,
        description=scenario.description,
        seed=scenario.seed,
        clock=scenario.clock.value,
        horizon_ns=scenario.horizon_ns,
        strategy=scenario.rollout.strategy,
        steps=tuple(str(step) for step in scenario.rollout.steps),
        plan=parts.machine.foreseen(),
        rules=tuple(rule.text for rule in analysis.rules) if analysis else (),
        every_ns=analysis.every_ns if analysis else 0,
        window_ns=analysis.window_ns if analysis else 0,
        expect=tuple(rule.text for rule in scenario.expect),
        faults=tuple(fault.text for fault in scenario.faults),
        text=scenario.text,
        overrides=scenario.overrides,
        run=header.run,
        path=header.path,
        program=header.program,
        started=header.started,
    )


def _first(error: BaseException) -> BaseException:
    """The first cause in a group, however deep (task groups wrap what their tasks raise)."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _ending(error: HarnessError) -> End:
    outcome = Outcome.REJECTED if isinstance(error, Rejected) else Outcome.ERROR
    return End(outcome, str(error))
