"""After a promotion: what was promoted is watched, and an alarm leads back, to a retraining, or to people."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

import anyio

from harness.analysis.conditions import comparisons
from harness.analysis.measure import judge_gate
from harness.clock import Phase, instant, now_ns, sleep_until
from harness.domain.analysis import Absolute, Verdict
from harness.domain.event import Alarmed, Checked, Commanded, Escalated, Noticed, RolledBack
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm
from harness.domain.model import Revision, Role
from harness.domain.order_event import Spoken
from harness.domain.rollout import AnalysisPhase, Command, End, Order, Outcome
from harness.domain.units import SECOND
from harness.engine import settle
from harness.engine.calls import answered
from harness.engine.executor import Executor
from harness.engine.inbox import listening
from harness.engine.looks import analyse, observe, observed
from harness.engine.stages import alias, mark, unalias
from harness.errors import BackendError, NotRegistered

AGAIN_S: Final = 1.0
"""From one look at replicas that are starting to the next."""
MEASURE_S: Final = 60.0
"""How long one look at what a rollback has led to takes."""
LOOKS: Final = 3
"""Looks of which one must be good."""
BACK_OFF_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0, 60.0)
"""Waits before each attempt to verify a version that has to be started anew."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What was heard, and what it asks for."""

    monitor: str
    reason: str
    leads_to: OnAlarm
    because: tuple[int, ...]


class Watch:
    """Watches one promoted version, until its time is over, an alarm asks for something, or something newer comes.

    Args:
        executor: of the run.
        policy: what is watched, and for how long.
        promoted_ns: the loop's time of the promotion; the watch's length counts from there.
        deaf_until_ns: alarms are not heard before this time of the loop.
        until_ns: the loop's time at which something newer comes, if it does.
    """

    def __init__(
        self,
        executor: Executor,
        policy: Aftercare,
        promoted_ns: int,
        deaf_until_ns: int = 0,
        until_ns: int | None = None,
    ) -> None:
        self.executor = executor
        self.policy = policy
        self.promoted_ns = promoted_ns
        self.deaf_until_ns = deaf_until_ns
        horizon_ns = executor.origin_ns + executor.scenario.horizon_ns
        self.ends_ns = min(promoted_ns + policy.for_ns, horizon_ns, *([until_ns] if until_ns is not None else []))
        self.alarms: list[Alarm] = []
        self.bell = anyio.Event()

    async def run(self) -> Alarm | None:
        """What was heard first; None: nothing that asks for anything."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, name="notices")
            tasks.start_soon(self._retire, name="retirement")
            tasks.start_soon(self._orders, name="orders")
            tasks.start_soon(observe if not self.policy.monitors else self._monitors, self.executor, name="looks")
            with listening(self.executor, self._told) if self.executor.home is Role.CANDIDATE else nullcontext():
                alarm = await self._heard()
            tasks.cancel_scope.cancel()
        return alarm

    async def _heard(self) -> Alarm | None:
        while True:
            with anyio.move_on_after(max(self.ends_ns - now_ns(), 0) / SECOND):
                while not self.alarms:
                    await self.bell.wait()
            await instant(Phase.DECIDE)
            if not self.alarms:
                return None
            self.bell = anyio.Event()
            alarms, self.alarms = self.alarms, []
            for alarm in sorted(alarms, key=lambda heard: list(OnAlarm).index(heard.leads_to)):
                self.executor.tell(Alarmed, alarm.monitor, alarm.reason, alarm.leads_to.value, alarm.because)
                self.executor.notify(f"alarm of {alarm.monitor}: {alarm.reason}; {alarm.leads_to}")
                if alarm.leads_to is not OnAlarm.NOTIFY:
                    return alarm
            self.deaf_until_ns = now_ns() + self.policy.cool_down_ns

    async def _monitors(self, executor: Executor) -> None:
        async with anyio.create_task_group() as tasks:
            for number, monitor in enumerate(self.policy.monitors):
                tasks.start_soon(self._monitor, executor, monitor, number, name=f"monitor {monitor.name}")

    async def _monitor(self, executor: Executor, monitor: Monitor, number: int) -> None:
        def report(phase: AnalysisPhase) -> None:
            if phase.verdict in {Verdict.FAIL, Verdict.ERROR} and now_ns() >= self.deaf_until_ns:
                # That a monitor cannot measure is for people: it says nothing against the model.
                leads_to = monitor.on_alarm if phase.verdict is Verdict.FAIL else OnAlarm.NOTIFY
                self.alarms.append(Alarm(monitor.name, phase.reason, leads_to, phase.because))
                self.bell.set()

        while True:  # after an alarm that leads to nothing but words, it counts anew
            with anyio.CancelScope() as scope:
                heard = len(self.alarms)

                def once(phase: AnalysisPhase, scope: anyio.CancelScope = scope, heard: int = heard) -> None:
                    report(phase)
                    if len(self.alarms) > heard or phase.verdict in {Verdict.FAIL, Verdict.ERROR}:
                        scope.cancel()

                await analyse(executor, monitor.policy, once, step=-1 - number)

    async def _listen(self) -> None:
        async for notice in self.executor.parts.platform.serving.notices():
            self.executor.tell(Noticed, notice.kind, notice.on, notice.text)
            if notice.kind.startswith("replica"):
                await self.executor.readiness()

    async def _orders(self) -> None:
        """A person may order the promoted version back, as an alarm does."""
        async for scripted in self.executor.orders():
            self.executor.tell(Commanded, scripted.order.value, scripted.by)
            if scripted.order in {Order.ABORT, Order.REJECT}:
                self.alarms.append(Alarm("a person", f"ordered back by {scripted.by}", OnAlarm.ROLLBACK, ()))
                self.bell.set()

    def _told(self, spoken: Spoken) -> str | None:
        """The same, from another terminal."""
        if spoken.order in {Order.APPROVE, Order.PROMOTE}:
            return "the candidate is promoted already, and is being watched; nothing waits for that"
        self.executor.tell(Commanded, spoken.order.value, spoken.by)
        self.alarms.append(Alarm("a person", f"ordered back by {spoken.by}", OnAlarm.ROLLBACK, ()))
        self.bell.set()
        if self.executor.inbox:
            command = Command(spoken.order, spoken.by, spoken.number)
            self.executor.inbox.heard(command, effect=True, told="going back to the version before")
        return None

    async def _retire(self) -> None:
        """Take down what was stable before, and later archive it."""
        executor = self.executor
        await sleep_until(self.promoted_ns + executor.scenario.rollout.retire_after_ns)
        await settle.retire(executor, executor.home)
        keep_ns = self.policy.keep_previous_ns
        if keep_ns is None:
            return
        await sleep_until(self.promoted_ns + keep_ns)
        name = executor.scenario.model.name

        async def archive() -> None:
            previous = await answered("the registry", executor.parts.registry.resolve(name, settle.PREVIOUS))
            await unalias(executor, name, settle.PREVIOUS)
            await mark(executor, previous, "archived")

        await settle.tidy(executor, "archiving the version before", archive)


async def back(
    executor: Executor, promoted: Revision, alarm: Alarm, before: Revision | None = None, *, measured: bool = True
) -> tuple[End, Revision | None]:
    """Go back from a promoted version to the one before it: its traffic, its aliases, its data version.

    Traffic stays where it is if there is no way back, and a person is called. ``before`` is the version before, by the
    run's own log, for a registry that has forgotten it. With ``measured`` false nobody asks who could tell whether that
    does any better.

    Returns:
        What the run ends as, and the version that is stable again; None: there is none.
    """
    reason = f"{alarm.reason} ({alarm.monitor})"
    previous = await _previous(executor, promoted)
    if isinstance(previous, str) and before is not None:
        previous = before
    if isinstance(previous, str):
        return _stranded(executor, alarm, f"{reason}; and {previous}: traffic stays"), None
    other = Role.STABLE if executor.home is Role.CANDIDATE else Role.CANDIDATE
    arms = {**executor.replicas, other: executor.scenario.service[other].replicas}
    if not executor.scaled or dict(executor.replicas) != arms:
        await settle.attempts(lambda: executor.scale(arms))
    await ready(executor, other)
    if not await settle.verify(executor, other, BACK_OFF_S):
        # Nothing is gained by an arm that does not serve: what is worse than it should be serves at least.
        await settle.verify(executor, executor.home)
        told = f"{reason}; and {previous} could not be verified: traffic stays on {promoted}"
        return _stranded(executor, alarm, told), None
    executor.home = other
    if said := await settle.attempts(lambda: alias(executor, previous, Role.STABLE.value)):
        told = f"{reason}; traffic is on {previous}, but the registry still names {promoted} stable: {said}"
        executor.tell(Escalated, told)
        executor.notify(told)
    await settle.forget(executor, promoted.name, promoted)
    executor.tell(RolledBack, previous.name, previous.version, await _data_of(executor, previous))
    executor.notify(f"rolled back from {promoted} to {previous}: {reason}")
    if measured and (failing := await _measured(executor, other)):
        told = f"{reason}; rolled back to {previous}, and that does no better ({failing}): traffic stays on it"
        return _stranded(executor, alarm, told), previous
    await settle.retire(executor, other)
    return End(Outcome.ROLLED_BACK, reason, alarm.because), previous


def _stranded(executor: Executor, alarm: Alarm, told: str) -> End:
    """The way back is not there, or leads to nothing good: a person is called."""
    told = f"{told}, a person must look"
    executor.tell(Escalated, told)
    executor.notify(told)
    return End(Outcome.FAILED, told, alarm.because)


async def _previous(executor: Executor, promoted: Revision) -> Revision | str:
    """The version before, or why there is no way back to it; a registry that does not answer is asked again."""
    found: list[Revision | str] = []

    async def ask() -> None:
        asked = executor.parts.registry.resolve(promoted.name, settle.PREVIOUS)
        try:
            found.append(await answered("the registry", asked))
        except NotRegistered as error:
            found.append(f"there is no previous version to go back to ({error})")

    said = await settle.attempts(ask)
    return f"the registry could not be asked for the previous version ({said})" if said else found[-1]


async def _data_of(executor: Executor, revision: Revision) -> str | None:
    """The digest of the data that a version was trained with, as far as the registry knows: it goes back with it."""
    found: list[str | None] = []

    async def ask() -> None:
        listed = await answered("the registry", executor.parts.registry.versions(revision.name))
        found.extend(each.data_digest for each in listed if each.revision == revision)

    await settle.attempts(ask)
    return found[-1] if found else None


async def _measured(executor: Executor, role: Role) -> str:
    """Verify by metrics what a rollback has led to: every rule with a bound of its own must hold on one of some looks.

    Rules against ``stable`` have nothing left to be compared with. What cannot be measured calls nobody.

    Returns:
        What does not hold; empty where all does.
    """
    care = executor.scenario.aftercare
    rules = [rule for monitor in care.monitors for rule in monitor.policy.rules] if care else []
    alone = [rule for rule in rules if all(isinstance(each.bound, Absolute) for each in comparisons(rule.condition))]
    failing: list[str] = []
    for _ in range(LOOKS if alone else 0):
        await anyio.sleep(MEASURE_S)
        try:
            sample = await observed(executor, round(MEASURE_S * SECOND))
        except BackendError:
            return ""
        figures = {Role.CANDIDATE: sample[role].figures()}
        found = [judge_gate(rule, figures) for rule in alone]
        for rule, each in zip(alone, found, strict=True):
            passed = each.passed or each.value is None
            executor.tell(Checked, "rollback", rule.text, passed, each.value, each.bound, each.reason)
        failing = [each.reason for each in found if not each.passed and each.value is not None]
        if not failing:
            return ""
    return "; ".join(reason.removeprefix("gate ") for reason in failing)


async def ready(executor: Executor, role: Role) -> None:
    """Wait until an arm that was taken down is up again, as long as it may take; users stay where they are."""
    deadline = now_ns() + executor.scenario.rollout.ready_within_ns
    while True:
        said = await settle.attempts(executor.readiness)
        state = executor.ready.get(role)
        if (not said and state and 0 < state.wanted <= state.ready) or now_ns() >= deadline:
            return
        await anyio.sleep(AGAIN_S)
