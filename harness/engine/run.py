"""One run, from its first event to its last, whatever happens in between."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import anyio

from harness.analysis.measure import Baselines
from harness.clock import Phase, instant, is_virtual, now_ns, wall_ns
from harness.domain.attempts import StageRetried
from harness.domain.event import (
    LOG_VERSION,
    Decided,
    Escalated,
    Interrupted,
    Noticed,
    Notified,
    RolloutStarted,
    RunEnded,
    RunStarted,
    StageFinished,
    StageStarted,
    TrafficStarted,
)
from harness.domain.faster import TimeScaled
from harness.domain.fault import Fault
from harness.domain.lifecycle import Aftercare, OnAlarm, Successor
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.rollout import End, Outcome, Routing
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND, WHOLE, duration_text
from harness.engine import aftercare, lineage, settle
from harness.engine.attempts import tried
from harness.engine.calls import answered
from harness.engine.executor import Executor, Parts
from harness.engine.herald import Herald
from harness.engine.inbox import Inbox
from harness.engine.notices import overheard
from harness.engine.rollout import Checkpoint, Rollout
from harness.engine.stages import gate, register
from harness.errors import ClockError, HarnessError, InputError, LeaseLost, Rejected, UnreadyError
from harness.log import EventLog
from harness.protocols import Case, Stage
from harness.realtime import Placed
from harness.seeds import stream


@dataclass(frozen=True, slots=True)
class Header:
    """What a log says of where and by what it was made; no part of its digest."""

    run: str = ""
    path: str = ""
    program: str = ""
    started: str = ""
    folder: str = ""


async def run(
    scenario: Scenario,
    parts: Parts,
    log: EventLog,
    header: Header = Header(),
    stopped_by: Callable[[], str] = lambda: "a cancellation",
) -> Outcome:
    """Run a scenario to its end; the log is its product.

    Cancelled at any point, it first brings traffic back to what is stable, verifies that, and ends the log.
    ``stopped_by`` then names who asked.

    Returns:
        What became of the candidate; of the last one, where there were several.

    Raises:
        ClockError: the platform waits for the outside world and time is virtual.
        InputError: a data or model file turned out to be unusable; the log has been ended all the same.
    """
    waits = parts.platform.realtime or any(getattr(stage, "realtime", False) for stage in parts.staging)
    if is_virtual() and waits:
        raise ClockError("this scenario's backends wait for the outside world; run it with `--clock real`")
    executor = Executor(scenario, parts, log, origin_ns=now_ns())
    executor.tell(_started, scenario, parts, header)
    if scenario.time_scale != 1:
        executor.tell(TimeScaled, scenario.time_scale)
    return await led(Lifecycle(executor), header, stopped_by)


async def led(lifecycle: "Lifecycle", header: Header, stopped_by: Callable[[], str]) -> Outcome:
    """A lifecycle from where it stands to its end, while people are told."""
    try:
        return await _told(lifecycle, header, stopped_by)
    except LeaseLost:
        await settle.leave(lifecycle.executor)
        raise


async def _told(lifecycle: "Lifecycle", header: Header, stopped_by: Callable[[], str]) -> Outcome:
    executor = lifecycle.executor
    herald = executor.herald = _herald(executor, header)
    if orders := executor.parts.inbox:
        executor.inbox = Inbox(executor, orders, lambda: lifecycle.open)
    outcome, error = Outcome.ERROR, None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(herald.run, name="herald")
            tasks.start_soon(overheard, executor, name="notices of the router")
            if executor.inbox:
                tasks.start_soon(executor.inbox.run, name="inbox")
            try:
                outcome = await _through(lifecycle, stopped_by)
            except Exception as raised:  # noqa: BLE001 - raised again below: a task group would wrap it
                error = raised
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # the herald found that the log cannot be written
        raise _first(group) from None
    except anyio.get_cancelled_exc_class():  # who renews the lease has it cancelled, where it was lost
        if isinstance(error, LeaseLost):
            raise error from None
        raise
    if error:
        raise error
    return outcome


async def _through(lifecycle: "Lifecycle", stopped_by: Callable[[], str]) -> Outcome:
    inbox = lifecycle.executor.inbox
    try:
        end = await (inbox.unless_aborted(lifecycle.run) if inbox else lifecycle.run())
    except anyio.get_cancelled_exc_class():
        if failure := lifecycle.executor.log.failure:  # found by a task beside this one, which is cancelled for it
            await lifecycle.conclude(_ending(failure))
            raise
        by = stopped_by()
        await lifecycle.conclude(End(Outcome.ABORTED, f"stopped by {by}"), interrupted=by)
        raise
    except Exception as defect:
        cause = _first(defect)
        if isinstance(cause, LeaseLost):  # another harness has the rollout: to settle it is its affair
            raise cause from None
        if isinstance(cause, InputError):
            await lifecycle.conclude(_ending(cause))
            raise cause from None
        if isinstance(cause, HarnessError):
            return await lifecycle.conclude(_ending(cause))
        await lifecycle.conclude(End(Outcome.ERROR, f"a defect of the harness: {cause!r}"))
        raise
    return await lifecycle.conclude(end)


class Lifecycle:
    """The stages in order, one rollout or several, and the conclusion that every run comes to."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.case = Case(executor.scenario)
        self.open: str | None = None
        self.began = self.first = wall_ns()
        self.number = 1
        self.successors = list(executor.scenario.successors)
        self.settled: End | None = None
        """What the last rollout has come to, if that is settled already."""
        self.decided: End | None = None
        """What is in the log already as a decision, of a run that was cut off before it was settled."""
        self.retrained: list[int] = []
        """The loop's times of retrainings."""

    async def run(self) -> End:
        """Every stage up to the last rollout's end."""
        if late := await self._in_time(self._prepare):
            return late
        return await self._onward(await self._rollout())

    async def _onward(self, end: End) -> End:
        """What comes after a rollout, and after that, until nothing does."""
        while following := await self._following(end):
            end = following
        return self.settled or end

    async def _in_time(self, work: Callable[[], Awaitable[object]]) -> End | None:
        """Do what has no end of its own; what the run ends as if its horizon comes first."""
        remaining = self.executor.scenario.horizon_ns - (now_ns() - self.executor.origin_ns)
        with anyio.move_on_after(max(remaining, 0) / SECOND) as horizon:
            await work()
        if horizon.cancelled_caught:
            return End(Outcome.ERROR, f"the horizon came while stage {self.open} was under way")
        return None

    async def _rollout(self) -> End:
        """One candidate's rollout; one that is not promoted is settled when the run concludes, or goes on."""
        self.settled = None
        async with self._stage("rollout"):
            end = await self._driven()
        return await self._verified(end)

    async def _driven(self, checkpoint: Checkpoint | None = None) -> End:
        newer = self.successors[0] if self.successors else None
        successor = (newer.at_ns, newer.name) if newer else None
        return await Rollout(self.executor, self.case, successor, checkpoint).drive()

    async def _verified(self, end: End) -> End:
        """What it comes to: a candidate that is to be promoted must serve, with all traffic."""
        if end.outcome is not Outcome.PROMOTED:
            return end
        async with self._stage("verify"):  # the last in which a cancellation still goes back to stable
            verified = await settle.verify(self.executor, Role.CANDIDATE)
        await instant(Phase.DECIDE)  # a signal that has come by now still counts
        if verified:
            return end
        found = settle.last_found(self.executor, Role.CANDIDATE)
        return End(Outcome.ROLLED_BACK, f"the candidate could not be verified for promotion: {found}")

    async def _following(self, end: End) -> End | None:
        """What comes after a rollout: watching what it promoted, and the next candidate; None: nothing does."""
        if end.outcome in {Outcome.PAUSED, Outcome.FAILED, Outcome.ERROR}:
            return None
        if end.outcome is Outcome.ABORTED and not end.superseded:
            return None
        care = self._care() if end.outcome is Outcome.PROMOTED else None
        if care is None and not self.successors:
            return None
        if end is not self.settled:
            end = await self._settle_now(end)
            if end.outcome in {Outcome.FAILED, Outcome.ERROR}:
                return end
        if care is not None and (after := await self._watch(care)):
            return after
        return await self._next()

    def _care(self) -> Aftercare | None:
        """What is to happen after a promotion; what is kept up for a while is watched for as long."""
        scenario = self.executor.scenario
        if scenario.aftercare or not scenario.rollout.retire_after_ns:
            return scenario.aftercare
        return Aftercare(for_ns=scenario.rollout.retire_after_ns)

    async def _settle_now(self, end: End) -> End:
        """Decide and settle a rollout that is not the last thing to happen."""
        with anyio.CancelScope(shield=True):
            end = self._decide(end)
            settled = self.settled = await self._settled(end)
            await lineage.record(self.executor, self.case, self.number, settled)
        return settled

    async def _watch(self, care: Aftercare) -> End | None:
        """Watch what was promoted; what an alarm has led to, or None where there was none."""
        executor, promoted_ns = self.executor, now_ns()
        deaf_ns = promoted_ns
        while True:
            newer = executor.live_ns + self.successors[0].at_ns if self.successors else None
            async with self._stage("monitor"):
                alarm = await aftercare.Watch(executor, care, promoted_ns, deaf_ns, newer).run()
            if alarm is None:
                return None
            if alarm.leads_to is OnAlarm.ROLLBACK:
                return await self._back(alarm)
            if (following := await self._retrain(alarm)) is not None:
                return following
            deaf_ns = now_ns() + care.cool_down_ns  # the champion stays; it is watched on

    async def _back(self, alarm: aftercare.Alarm) -> End:
        """From what was promoted to the version before it."""
        executor = self.executor
        with anyio.CancelScope(shield=True):
            executor.tell(Decided, Outcome.ROLLED_BACK, f"{alarm.reason} ({alarm.monitor})", alarm.because)
            ended, previous = await aftercare.back(executor, self.case.revisions[Role.CANDIDATE], alarm)
            self.settled = ended
            await lineage.record(executor, self.case, self.number, ended)
            if previous is None:
                self.successors.clear()
        return ended

    async def _retrain(self, alarm: aftercare.Alarm) -> End | None:
        """Train a challenger and roll it out; None where there may be none, or it is no better."""
        executor = self.executor
        plan = executor.scenario.aftercare.retrain if executor.scenario.aftercare else None
        retrainer = executor.parts.retrainer
        if plan is None or retrainer is None:
            return None
        soonest = self.retrained[-1] + plan.apart_ns if self.retrained else 0
        if len(self.retrained) >= plan.at_most or now_ns() < soonest:
            done = f"{len(self.retrained)} of {plan.at_most} were done"
            told = f"no retraining after the alarm of {alarm.monitor}: {done}"
            executor.tell(Noticed, "not_retrained", (), f"{told}, the next one {duration_text(plan.apart_ns)} apart")
            executor.notify(told)
            return None
        self.retrained.append(now_ns())
        taken = False

        async def challenge() -> None:
            nonlocal taken
            champion = self.case.having(models=self._champion())
            async with self._stage("retrain"):
                asked = retrainer.challenge(champion, self._known(), executor.tell)
                challenged = await answered("the retraining", asked, math.inf)
            if challenged is None:
                return
            revisions = {Role.STABLE: self._home_revision()}
            async with self._stage("register"):
                case = await register(executor, challenged.having(revisions=revisions), (Role.CANDIDATE,))
            try:
                case = await self._staged(case)
            except Rejected as refusal:  # the champion stays
                self._finish("rejected", str(refusal))
                executor.notify(f"the challenger is not rolled out: {refusal}")
                return
            await self._succeed(case, ())
            taken = True

        if late := await self._in_time(challenge):
            return late
        return await self._rollout() if taken else None

    def _known(self) -> float:
        """How much of the rows that users ask in their order is known by now, labels and all."""
        scenario = self.executor.scenario
        walk_ns = scenario.model.data.walk_ns if scenario.model.data else None
        if walk_ns is None:
            return 1.0
        delay_ns = scenario.labels.delay_ns if scenario.labels else 0
        return min(max((now_ns() - self.executor.live_ns - delay_ns) / walk_ns, 0.0), 1.0)

    async def _next(self) -> End | None:
        """The rollout of the next candidate; None where there is none."""
        if not self.successors:
            return None
        executor, newer = self.executor, self.successors.pop(0)
        at_ns = executor.live_ns + newer.at_ns
        if at_ns >= executor.origin_ns + executor.scenario.horizon_ns:
            return None
        if at_ns > now_ns():
            async with self._stage("wait"):
                alarm = await aftercare.Watch(executor, Aftercare(for_ns=at_ns - now_ns()), now_ns()).run()
            if alarm and executor.home is Role.CANDIDATE:
                return await self._back(alarm)

        async def deploy() -> None:
            await self._succeed(await self._prepared(newer), newer.faults)

        try:
            late = await self._in_time(deploy)
        except Rejected as refusal:
            self.settled = End(Outcome.REJECTED, str(refusal))
            executor.tell(Decided, Outcome.REJECTED, str(refusal), ())
            self._finish("rejected", str(refusal))
            return self.settled
        return late or await self._rollout()

    async def _prepared(self, newer: Successor) -> Case:
        """A newer candidate, trained, evaluated, judged by the gates and registered; stable stays what it is."""
        executor = self.executor
        model = replace(executor.scenario.model, candidate=newer.candidate)
        scenario = replace(executor.scenario, model=model, faults=newer.faults)
        stable = {Role.STABLE: self._home_revision()}
        case = self.case.having(scenario=scenario, models=self._champion(), revisions=stable)
        for stage in executor.parts.stages:
            if stage.name == "validate":
                continue
            async with self._stage(stage.name):
                case = await self._tried(stage, case)
        if scenario.model.gates or case.refusals:
            async with self._stage("gate"):
                gate(executor, case)
        async with self._stage("register"):
            case = await register(executor, case, (Role.CANDIDATE,))
        case = await self._staged(case)
        return case.having(scenario=executor.scenario)

    async def _succeed(self, case: Case, injected: tuple[Fault, ...]) -> None:
        """Put the next candidate in the place of the one before."""
        executor = self.executor
        adopt = executor.home is Role.CANDIDATE
        async with self._stage("deploy"):
            self._inform(case)
            replaced = executor.parts.platform.replace(case.models, case.population, adopt=adopt, injected=injected)
            await answered("the platform", replaced, math.inf)
            self.case, self.number = case, self.number + 1
            stable, executor.home = executor.replicas[executor.home], Role.STABLE
            executor.replicas, executor.scaled = {Role.STABLE: stable, Role.CANDIDATE: 0}, True
            executor.weights = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
            executor.routing, executor.baselines = Routing(executor.weights), Baselines()
            revisions = {role: str(revision) for role, revision in case.revisions.items()}
            executor.tell(RolloutStarted, self.number, revisions[Role.STABLE], revisions[Role.CANDIDATE], adopt)
            await executor.readiness()

    def _home_revision(self) -> Revision:
        return self.case.revisions[self.executor.home]

    def _champion(self) -> dict[Role, TrainedModel]:
        """The models of the next rollout, as far as they are there: what is at home is stable."""
        return {Role.STABLE: replace(self.case.models[self.executor.home], role=Role.STABLE)}

    async def _prepare(self) -> None:
        executor = self.executor
        for stage in executor.parts.stages:
            async with self._stage(stage.name):
                self.case = await self._tried(stage, self.case)
        if self.case.scenario.model.gates or self.case.refusals:
            async with self._stage("gate"):
                gate(executor, self.case)
        async with self._stage("register"):
            self.case = await self._registered(self.case)
        self.case = await self._staged(self.case)
        async with self._stage("deploy"):
            await self._deploy()

    async def _registered(self, case: Case) -> Case:
        return await register(self.executor, case)

    async def _staged(self, case: Case) -> Case:
        """A registered candidate that has stood what it must before any of it reaches production."""
        for stage in self.executor.parts.staging:
            async with self._stage(stage.name):
                case = await self._tried(stage, case)
        return case

    async def _tried(self, stage: Stage, case: Case) -> Case:
        """What a stage finds, as often as it may be tried and in the time that it may take."""
        executor = self.executor
        attempts = executor.scenario.attempts.get(stage.name)
        if attempts is None:
            return await stage.run(case, executor.tell)

        def again(number: int, error: Exception, waits_ns: int) -> None:
            executor.tell(StageRetried, stage.name, number, attempts.retries + 1, str(error), waits_ns)

        draws = stream(executor.scenario.seed, f"attempts/{stage.name}")
        return await tried(f"stage {stage.name}", lambda: stage.run(case, executor.tell), attempts, draws, again=again)

    async def _deploy(self) -> None:
        executor = self.executor
        executor.live = True  # even a start that fails halfway must be settled
        executor.live_ns = now_ns()
        self._inform(self.case)
        await answered("the platform", executor.parts.platform.start(self.case.models, self.case.population), math.inf)
        executor.weights = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
        executor.routing = Routing(executor.weights)
        executor.replicas = {Role.STABLE: executor.scenario.service[Role.STABLE].replicas, Role.CANDIDATE: 0}
        executor.tell(TrafficStarted, executor.weights)
        await executor.readiness()

    def _inform(self, case: Case) -> None:
        """Tell a platform that asks for it what its models are called."""
        platform = self.executor.parts.platform
        if isinstance(platform, Placed):
            platform.inform(case.revisions)

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
            if end is self.settled and end.outcome is Outcome.PROMOTED:  # what was kept up for a while is so no more
                await settle.retire(executor, executor.home)
            if end is not self.settled:
                end = self._decide(end)
                if executor.live:
                    end = await self._settled(end)
                await lineage.record(executor, self.case, self.number, end)
            if executor.live:
                await self._close(now_ns())
            if executor.herald:
                await executor.herald.finish()
            executor.tell(RunEnded, end.outcome, end.reason, executor.weights, (wall_ns() - self.first) / SECOND)
        return end.outcome

    def _decide(self, end: End) -> End:
        """Log what was decided; what is to be settled: a promotion that stands in no log is none."""
        if end is self.decided:
            return end
        executor = self.executor
        executor.tell(Decided, end.outcome, end.reason, end.because)
        if end.outcome is not Outcome.PROMOTED or not (failure := executor.log.failure):
            return end
        end = End(Outcome.ERROR, f"{end.reason}; and no promotion is begun that is not in the log: {failure}")
        executor.tell(Decided, end.outcome, end.reason, end.because)
        return end

    async def _settled(self, end: End) -> End:
        executor = self.executor
        stable = self.case.revisions.get(executor.home)
        settled = None
        bound_s = settle.bound_s(executor)
        with anyio.move_on_after(bound_s):
            try:
                if end.outcome is Outcome.PROMOTED:
                    settled = await self._promoted(end)
                elif end.outcome is Outcome.PAUSED:
                    settled = end
                else:
                    async with self._stage("rollback"):
                        settled = await settle.restore(executor, end, stable, executor.home)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - the log must have its end, and a person must hear of it
                settled = self._escalate(end, str(error) or repr(error))
        if settled is None:
            settled = self._escalate(end, f"settling took more than {bound_s:g} s")
        executor.notify(f"{executor.scenario.name}: {settled.outcome}, {settled.reason}")
        return settled

    async def _promoted(self, end: End) -> End:
        executor, revisions = self.executor, self.case.revisions
        async with self._stage("promote"):
            settled = await settle.promote(executor, revisions[Role.STABLE], revisions[Role.CANDIDATE], end)
            if settled.outcome is Outcome.PROMOTED:
                executor.home = Role.CANDIDATE
                await settle.watch(executor, revisions[Role.CANDIDATE])
                if self._care() is None:
                    await settle.retire(executor, executor.home)
        return settled

    async def _close(self, decided_ns: int) -> None:
        with anyio.move_on_after(settle.SETTLE_S):
            await settle.look_at_inputs(self.executor, decided_ns)
            await settle.count_up(self.executor)
            await settle.stop(self.executor)

    def _escalate(self, end: End, what: str) -> End:
        reason = f"{end.reason}; and it could not be made safe: {what}; a person must look"
        self.executor.tell(Escalated, reason)
        self.executor.notify(reason)
        self._finish(Outcome.FAILED.value, what)
        return End(Outcome.FAILED, reason, end.because)


def _herald(executor: Executor, header: Header) -> Herald:
    def told(channel: str, text: str, delivered: bool, detail: str) -> None:
        executor.tell(Notified, channel, text, delivered, detail)

    scenario = executor.scenario
    about = {"scenario": scenario.name, "model": scenario.model.name, "run": header.run}
    return Herald(about, executor.parts.notifiers, told, executor.log.masked)


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
        run_id=parts.run_id,
        folder=header.folder,
    )


def _first(error: BaseException) -> BaseException:
    """The first cause in a group, however deep (task groups wrap what their tasks raise)."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _ending(error: HarnessError) -> End:
    if isinstance(error, UnreadyError):
        return End(Outcome.ROLLED_BACK, str(error))
    outcome = Outcome.REJECTED if isinstance(error, Rejected) else Outcome.ERROR
    return End(outcome, str(error))
