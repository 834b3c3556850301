"""Drives a rollout: feeds its machine with what is seen, and does what it asks for, until it ends."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from harness.clock import Phase, instant, now_ns, sleep_until
from harness.domain.analysis import AnalysisPolicy, Verdict
from harness.domain.event import AnalysisStarted, AnalysisStopped, Awaited, Commanded, Noticed, StepEntered, StepHeld
from harness.domain.model import Role
from harness.domain.order_event import Spoken
from harness.domain.resume_event import Checkpointed
from harness.domain.rollout import (
    Action,
    AnalysisPhase,
    Await,
    CallHook,
    Command,
    End,
    EnterStep,
    Hold,
    Horizon,
    Order,
    Ready,
    Seen,
    SetWeight,
    StartAnalysis,
    StartExperiment,
    StopAnalysis,
    Superseded,
    Tick,
    Want,
)
from harness.domain.units import SECOND
from harness.engine import hooks
from harness.engine.executor import Executor
from harness.engine.experiment import experiment
from harness.engine.inbox import listening
from harness.engine.looks import analyse, observe
from harness.engine.unready import named
from harness.errors import BackendError
from harness.protocols import Case, Readiness
from harness.strategies import Restorable, codec
from harness.strategies.state import Transition

LOOK_AFTER_S: Final = 1.0
"""From one look at real replicas to the next."""


def _precedence(seen: Seen) -> int:
    """What is fed first of what was seen at one instant: an abort beats a promotion, and time comes last."""
    match seen:
        case AnalysisPhase(verdict=Verdict.FAIL | Verdict.ERROR):
            return 0
        case Command(order=Order.ABORT | Order.REJECT) | Superseded():
            return 1
        case Command():  # the environment changes first, whichever timer was set first
            return 3
        case Tick():
            return 4
        case Horizon():
            return 5
        case _:
            return 2


def _superseding(before: tuple[Action, ...], then: tuple[Action, ...]) -> tuple[Action, ...]:
    """Both, less what was wanted before and is wanted otherwise now."""
    if any(isinstance(action, Want) for action in then):
        before = tuple(action for action in before if not isinstance(action, Want))
    return (*before, *then)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a rollout goes on that was cut off."""

    state: Any
    """Of the machine, as it restored it."""
    step: int
    """The last one that was told."""
    weight: int
    orders: tuple[Command, ...] = ()
    """What people have said since."""


class Rollout:
    """One rollout under way.

    Args:
        executor: of the run.
        case: the models, for what is asked of their held-out figures.
        successor: when a newer candidate comes (in the run's time), and how it is called; None: none does.
        checkpoint: where it goes on; None: it begins.
    """

    def __init__(
        self,
        executor: Executor,
        case: Case,
        successor: tuple[int, str] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.executor = executor
        self.case = case
        self.successor = successor
        self.machine = executor.parts.machine
        self.inbox: list[Seen] = []
        self.bell = anyio.Event()
        self.checkpoint = checkpoint
        self.weight, self.step = (checkpoint.weight, checkpoint.step) if checkpoint else (0, -1)
        self.kept: object = None
        """What was last kept of where the machine stands."""
        self.looks = 0
        self.looking: anyio.CancelScope | None = None
        self.apart: anyio.CancelScope | None = None
        """The step's own analysis, or A/B test."""
        self.tasks: TaskGroup | None = None

    async def drive(self) -> End:
        """Run to the machine's end; its tasks are gone when this returns."""
        async with anyio.create_task_group() as tasks:
            self.tasks = tasks
            tasks.start_soon(self._listen, name="notices")
            tasks.start_soon(self._orders, name="orders")
            if self.executor.parts.platform.realtime:
                tasks.start_soon(self._look_after, name="replicas")
            tasks.start_soon(self._look, None, self.looks, name="looks")
            if self.successor:
                tasks.start_soon(self._supersede, *self.successor, name="successor")
            with listening(self.executor, self._told):
                end = await self._steps()
            tasks.cancel_scope.cancel()
        return end

    async def _steps(self) -> End:
        self.executor.told = dict(self.executor.ready)
        transition = self._begun()
        self._keep(transition)
        end = await self._follow(transition.actions)
        while end is None:
            await self._something_seen(transition.wake_at_ns)
            batch = self._batch(transition.wake_at_ns)
            actions: tuple[Action, ...] = ()
            for seen, then in pairwise([*batch, None]):
                transition = self._shown(transition, seen)
                actions = _superseding(actions, transition.actions)
                if isinstance(seen, Ready) and isinstance(then, Ready):
                    continue  # what is wanted rests on where all arms stand
                self._keep(transition)
                end, actions = await self._follow(actions), ()
                if end:
                    break
        return end

    def _begun(self) -> Transition:
        """The first actions; of a rollout that was cut off, what follows from being taken up again."""
        if self.checkpoint is None or not isinstance(self.machine, Restorable):
            return self.machine.start(self._elapsed())
        ready = [Ready(role, state.ready, state.wanted) for role, state in self.executor.ready.items()]
        self.see(*ready, *self.checkpoint.orders)
        taken_up = self.machine.taken_up(self.checkpoint.state, ready, self._elapsed())
        told = self.checkpoint.step
        actions = tuple(each for each in taken_up.actions if not isinstance(each, EnterStep) or each.index != told)
        return Transition(taken_up.state, actions, taken_up.wake_at_ns)

    def _keep(self, transition: Transition) -> None:
        """Log where the machine stands, before anything is done about it: on real time, and where that has changed."""
        if not self.executor.log.durable or not isinstance(self.machine, Restorable):
            return
        end = next((action for action in transition.actions if isinstance(action, End)), None)
        kept = (None, codec.plain(end)) if end else (self.machine.dump(transition.state), None)
        if kept != self.kept:
            self.kept = kept
            self.executor.tell(Checkpointed, *kept)

    def _shown(self, transition: Transition, seen: Seen | None) -> Transition:
        assert seen is not None
        if isinstance(seen, Command):
            self.executor.tell(Commanded, seen.order.value, seen.by)
        if isinstance(seen, Ready):
            self.executor.told = {**self.executor.told, seen.role: Readiness(seen.wanted, seen.ready)}
        then = self.machine.next(transition.state, seen, self._elapsed())
        if isinstance(seen, Command) and self.executor.inbox:
            self.executor.inbox.heard(seen, effect=bool(then.actions) or then.state != transition.state)
        return then

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

    def see(self, *seen: Seen) -> None:
        """Have the machine told of something at the next decision."""
        self.inbox.extend(seen)
        self.bell.set()

    async def _follow(self, actions: Sequence[Action]) -> End | None:
        for action in actions:
            if isinstance(action, End):
                return named(self.executor, action)
            await self._act(action)
        return None

    async def _act(self, action: Action) -> None:
        tell = self.executor.tell
        match action:
            case Want():
                self.see(*await self.executor.make_so(action))
            case EnterStep(index, step):
                if isinstance(step, SetWeight):
                    self.weight = step.weight
                self.step = index
                tell(StepEntered, index, str(step), self.weight)
            case Hold(reason):
                tell(StepHeld, -1, reason)
            case Await(what, until_ns):
                tell(Awaited, what, until_ns)
                self.executor.notify(f"waiting for a person: {what}")
            case CallHook(hook, step):
                self.see(await hooks.answer(self.executor, self.case, hook, step))
            case _:
                self._looks(action)

    def _looks(self, action: Action) -> None:
        """Begin or end what looks on beside the steps."""
        tell, background = self.executor.tell, self.executor.scenario.rollout.analysis
        match action:
            case StartAnalysis(None, _):
                tell(AnalysisStarted)
                self._look_anew(background)
            case StartAnalysis(policy, looks):
                tell(AnalysisStarted, self.step)
                self._begin_apart(analyse, self.executor, policy, self.see, self.step, looks)
            case StartExperiment(what, every_ns):
                stable = self.case.models.get(Role.STABLE)
                held = stable.metrics.get(what.primary) if stable else None
                self._begin_apart(experiment, self.executor, what, every_ns, self.see, held)
            case StopAnalysis(inline=True):
                tell(AnalysisStopped, self.step)
                if self.apart:
                    self.apart.cancel()
            case StopAnalysis():
                tell(AnalysisStopped)
                self._look_anew(None)

    # --- what goes on beside the steps ---

    def _look_anew(self, policy: AnalysisPolicy | None) -> None:
        self.looks += 1
        if self.looking:
            self.looking.cancel()
        if self.tasks:
            self.tasks.start_soon(self._look, policy, self.looks, name="looks")

    async def _look(self, policy: AnalysisPolicy | None, number: int) -> None:
        if number != self.looks:  # before it could begin, others were to take its place
            return
        with anyio.CancelScope() as self.looking:
            if policy:
                await analyse(self.executor, policy, self.see)
            else:
                await observe(self.executor)

    def _begin_apart(self, work: object, *args: object) -> None:
        if self.apart:
            self.apart.cancel()
        if self.tasks:
            self.tasks.start_soon(self._apart, work, args, name="the step's own looks")

    async def _apart(self, work: object, args: Sequence[object]) -> None:
        with anyio.CancelScope() as self.apart:
            await work(*args)  # type: ignore[operator]

    async def _listen(self) -> None:
        async for notice in self.executor.parts.platform.serving.notices():
            self.executor.tell(Noticed, notice.kind, notice.on, notice.text)
            if notice.kind.startswith("replica"):
                self.see(*await self.executor.readiness())

    async def _look_after(self) -> None:
        """Real replicas are looked at without a notice too: one that came too early must not be waited for for ever."""
        while True:
            await anyio.sleep(LOOK_AFTER_S)
            with contextlib.suppress(BackendError):
                seen = await self.executor.readiness()
                if any(self.executor.told.get(role) != state for role, state in self.executor.ready.items()):
                    self.see(*seen)

    async def _orders(self) -> None:
        """What people say: those that the scenario scripts, counted from the start of traffic."""
        async for scripted in self.executor.orders():
            self.see(Command(scripted.order, scripted.by))

    def _told(self, spoken: Spoken) -> None:
        """What they say from another terminal."""
        self.see(Command(spoken.order, spoken.by, spoken.number))

    async def _supersede(self, at_ns: int, name: str) -> None:
        await sleep_until(self.executor.live_ns + at_ns)
        self.see(Superseded(name))
