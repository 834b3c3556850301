"""Drives a rollout: feeds its machine with what is seen, and does what it asks for, until it ends."""

import anyio
from anyio.abc import TaskGroup

from harness.clock import Phase, instant, now_ns
from harness.domain.analysis import AnalysisPolicy, Verdict
from harness.domain.event import AnalysisStarted, AnalysisStopped, Noticed, StepEntered, StepHeld
from harness.domain.rollout import (
    Action,
    AnalysisPhase,
    End,
    EnterStep,
    Hold,
    Horizon,
    Seen,
    SetWeight,
    StartAnalysis,
    StopAnalysis,
    Tick,
    Want,
)
from harness.domain.units import SECOND
from harness.engine.executor import Executor
from harness.engine.looks import analyse, observe
from harness.strategies.steps import Transition


def _precedence(seen: Seen) -> int:
    """What is fed first of what was seen at one instant: an abort beats a promotion, and time comes last."""
    match seen:
        case AnalysisPhase(verdict=Verdict.FAIL | Verdict.ERROR):
            return 0
        case Tick():
            return 2
        case Horizon():
            return 3
        case _:
            return 1


class Rollout:
    """One rollout under way."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.machine = executor.parts.machine
        self.inbox: list[Seen] = []
        self.bell = anyio.Event()
        self.weight = 0
        self.looking: anyio.CancelScope | None = None
        self.tasks: TaskGroup | None = None

    async def drive(self) -> End:
        """Run to the machine's end; its tasks are gone when this returns."""
        async with anyio.create_task_group() as tasks:
            self.tasks = tasks
            tasks.start_soon(self._listen, name="notices")
            tasks.start_soon(self._look, None, name="looks")
            end = await self._steps()
            tasks.cancel_scope.cancel()
        return end

    async def _steps(self) -> End:
        transition = self.machine.start(self._elapsed())
        end = await self._follow(transition)
        while end is None:
            await self._something_seen(transition.wake_at_ns)
            for seen in self._batch(transition.wake_at_ns):
                transition = self.machine.next(transition.state, seen, self._elapsed())
                end = await self._follow(transition)
                if end:
                    break
        return end

    def _elapsed(self) -> int:
        return now_ns() - self.executor.origin_ns

    def _horizon_ns(self) -> int:
        return self.executor.scenario.horizon_ns

    async def _something_seen(self, wake_at_ns: int | None) -> None:
        due = min(self._horizon_ns(), wake_at_ns if wake_at_ns is not None else self._horizon_ns())
        with anyio.move_on_after(max(0, due - self._elapsed()) / SECOND):
            while not self.inbox:
                await self.bell.wait()
        await instant(Phase.DECIDE)

    def _batch(self, wake_at_ns: int | None) -> list[Seen]:
        self.bell = anyio.Event()
        batch, self.inbox = self.inbox, []
        if wake_at_ns is not None and self._elapsed() >= wake_at_ns:
            batch.append(Tick())
        if self._elapsed() >= self._horizon_ns():
            batch.append(Horizon())
        return sorted(batch, key=_precedence)

    def _see(self, *seen: Seen) -> None:
        self.inbox.extend(seen)
        self.bell.set()

    async def _follow(self, transition: Transition) -> End | None:
        for action in transition.actions:
            if isinstance(action, End):
                return action
            await self._act(action)
        return None

    async def _act(self, action: Action) -> None:
        tell = self.executor.tell
        match action:
            case Want():
                self._see(*await self.executor.make_so(action))
            case EnterStep(index, step):
                if isinstance(step, SetWeight):
                    self.weight = step.weight
                tell(StepEntered, index, str(step), self.weight)
            case Hold(reason):
                tell(StepHeld, -1, reason)
            case StartAnalysis():
                tell(AnalysisStarted)
                self._look_anew(self.executor.scenario.rollout.analysis)
            case StopAnalysis():
                tell(AnalysisStopped)
                self._look_anew(None)

    # --- what goes on beside the steps ---

    def _look_anew(self, policy: AnalysisPolicy | None) -> None:
        if self.looking:
            self.looking.cancel()
        if self.tasks:
            self.tasks.start_soon(self._look, policy, name="looks")

    async def _look(self, policy: AnalysisPolicy | None) -> None:
        with anyio.CancelScope() as self.looking:
            if policy:
                await analyse(self.executor, policy, self._see)
            else:
                await observe(self.executor)

    async def _listen(self) -> None:
        async for notice in self.executor.parts.platform.serving.notices():
            self.executor.tell(Noticed, notice.kind, notice.on, notice.text)
            if notice.kind.startswith("replica"):
                self._see(*await self.executor.readiness())
