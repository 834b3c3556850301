"""A run that was cut off, taken up by another process: carried on from its last checkpoint, or made safe.

What happened stands in its log (`Stood`). Models are made again by the stages, which find them in the cache; what is
registered is looked up and not registered again; what runs is attached to. Whatever cannot go on is rolled back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import anyio

from harness.clock import now_ns
from harness.domain.event import Escalated, Noticed, RolledBack, TrafficStarted
from harness.domain.lifecycle import Aftercare, OnAlarm
from harness.domain.model import ARMS, Revision, Role, TrainedModel
from harness.domain.resume_event import FoundRunning, Resumed
from harness.domain.rollout import Command, End, Outcome, Routing
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.engine import aftercare, settle
from harness.engine.calls import answered
from harness.engine.executor import Executor, Parts
from harness.engine.known import again_in_memory, same
from harness.engine.rollout import Checkpoint
from harness.engine.run import Header, Lifecycle, led
from harness.engine.stages import alias, register, unalias
from harness.engine.stood import STABLE, Stood, baselines, ending_of
from harness.errors import BackendError, HarnessError, LeaseLost, ServingError
from harness.log import EventLog
from harness.protocols import Case
from harness.realtime import Attachable, Standing
from harness.strategies import Restorable

ATTACH_S = 300.0
"""A platform that has not been taken up by then is given up on."""
LOADED_S = 20.0
"""All models that are read from the registry; who runs one needs none, and traffic does not wait for it."""
CUT_OFF = "the harness was cut off"


@dataclass(frozen=True, slots=True)
class Cut:
    """How the run was cut off, and what is asked of its resumption."""

    rollback: bool = False
    """Whatever could go on is rolled back."""
    torn: int = 0
    """Bytes of a line that was not written to its end."""
    away_s: float = 0.0
    """Real time since the last line."""


async def resume(
    scenario: Scenario,
    parts: Parts,
    log: EventLog,
    header: Header,
    cut: Cut = Cut(),
    stopped_by: Callable[[], str] = lambda: "a cancellation",
) -> Outcome:
    """Bring a run that was cut off to its end; the log goes on where it stopped.

    Args:
        scenario: of the run.
        parts: with the same ``run_id``; its platform is placed where the run's was.
        log: reopened.
        header: of the process that takes it up.
        cut: how it was cut off.
        stopped_by: as of `engine.run`.

    Raises:
        LogError: the log is not that of a run, or cannot be written.
        InputError: a data or model file cannot be used any more; traffic has been made safe all the same.
    """
    stood = Stood.of(log.events)
    if stood.ended:
        return stood.ended.outcome
    executor = Executor(scenario, parts, log, origin_ns=now_ns() - stood.at_ns)
    lifecycle = Resumption(executor, stood, cut)
    executor.tell(Resumed, stood.where, lifecycle.doing, cut.away_s, cut.torn, header.program)
    return await led(lifecycle, header, stopped_by)


class Resumption(Lifecycle):
    """The lifecycle of a run that was cut off, from there on."""

    def __init__(self, executor: Executor, stood: Stood, cut: Cut) -> None:
        super().__init__(executor)
        self.stood, self.cut = stood, cut
        self.case = self.case.having(revisions=dict(stood.revisions))
        self.number = stood.number
        self.attached = not stood.deploying
        self.models: dict[str, TrainedModel] = {}
        """Made again, by digest."""
        self.rebuilt = False
        """The stages have run again."""
        executor.intents, executor.begun = stood.intents, stood.reusable
        executor.last = len(executor.log.events) - 1
        executor.said = _said(executor.scenario, stood.spoken)
        executor.live, executor.home = stood.deploying, stood.home
        executor.live_ns = executor.origin_ns + (stood.at_ns if stood.traffic_ns is None else stood.traffic_ns)
        executor.weights, executor.replicas = dict(stood.weights), dict(stood.replicas)
        analysis = executor.scenario.rollout.analysis
        executor.baselines = baselines(
            executor.log.events, analysis.min_requests if analysis else 1, stood.traffic_ns or 0
        )
        if stood.number > 1:
            self.successors.clear()

    @property
    def doing(self) -> str:
        """In words, what is about to be done."""
        if self.stood.where in {"preparing", "deploying"}:
            return "prepared once more" if not self.stood.interrupted else "ended: it had been interrupted"
        if self.stood.where == "rollout":
            return (
                "rolled back" if self.stood.interrupted or self._given_up() else "carried on from its last checkpoint"
            )
        return "brought to its end" if self.stood.where == "settled" else "settled as it was decided"

    async def run(self) -> End:
        """From where it stood to its end."""
        stood = self.stood
        if stood.settled:
            return await self._safe()
        if stood.decided:
            return await self._settle_decided(End(stood.decided.outcome, stood.decided.reason, stood.decided.because))
        if stood.interrupted:
            return End(Outcome.ABORTED, f"stopped by {stood.interrupted}")
        if stood.traffic_ns is None:
            return await super().run()
        end = await self._carried_on()
        return await self._onward(end) if stood.number == 1 else end

    # --- before users' traffic ---

    async def _registered(self, case: Case) -> Case:
        """Versions that the log names are looked up; what is missing is registered under the same intent."""
        executor, stood = self.executor, self.stood
        if other := _others(case, stood.revisions):
            raise BackendError(other)
        await again_in_memory(executor, stood, self._by_digest(case))
        for role in ARMS:
            if role not in stood.revisions:
                case = await register(executor, case, (role,))
                continue
            revision = stood.revisions[role]
            case = case.having(revisions={**case.revisions, role: revision})
            if str(revision) in stood.registered and stood.aliases.get(role.value) != revision.version:
                await alias(executor, revision, role.value)
        return case

    async def _staged(self, case: Case) -> Case:
        return case if self.stood.deploying else await super()._staged(case)

    async def _deploy(self) -> None:
        """As ever, or, where that had begun, with what was started then."""
        executor = self.executor
        if not self.stood.deploying or not isinstance(executor.parts.platform, Attachable):
            self.attached = True
            await super()._deploy()
            return
        executor.live_ns = now_ns()
        await self._attach()
        await aftercare.ready(executor, Role.STABLE)
        if not (state := executor.ready.get(Role.STABLE)) or state.ready < state.wanted:
            raise ServingError("the replicas of stable were not ready in time")
        await executor.route(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        executor.tell(TrafficStarted, executor.weights)

    # --- the rollout ---

    async def _carried_on(self) -> End:
        """The rollout that was under way, from its last checkpoint; rolled back where that cannot be.

        One that is given up is brought home before any stage runs: a candidate keeps no share for a training.
        """
        given_up = self._given_up()
        why = "" if given_up and self._outlived else await self._rebuilt_in_time()
        standing = await self._attach()
        why = given_up or why or await self._lacking(standing)
        if why:
            return End(Outcome.ROLLED_BACK, f"{CUT_OFF}; {why}")
        kept = self.stood.checkpoint
        if kept and kept.ending:
            return await self._verified(End(**ending_of({**kept.ending, "outcome": Outcome(kept.ending["outcome"])})))
        try:
            checkpoint = self._checkpoint()
        except Exception as error:  # noqa: BLE001 - of a third party's machine
            return End(Outcome.ROLLED_BACK, f"{CUT_OFF}; its checkpoint cannot be used: {error!r}")
        async with self._stage("rollout"):
            end = await self._driven(checkpoint)
        return await self._verified(end)

    def _checkpoint(self) -> Checkpoint | None:
        """Where the machine goes on; None: it had not begun."""
        stood, machine = self.stood, self.executor.parts.machine
        if stood.checkpoint is None or not isinstance(machine, Restorable):
            return None
        return Checkpoint(machine.restore(stood.checkpoint.state), stood.step, stood.weight, tuple(stood.orders))

    def _given_up(self) -> str:
        """Why the rollout is not carried on, whatever runs; empty: it may be."""
        stood = self.stood
        if self.cut.rollback:
            return "it was to be rolled back"
        if stood.number > 1:
            return f"rollout {stood.number} of a run is not carried on"
        if not isinstance(self.executor.parts.platform, Attachable):
            return "its platform ended with it"
        if stood.checkpoint is None and stood.acted:
            return "its strategy keeps no checkpoints"
        return ""

    async def _lacking(self, standing: Standing) -> str:
        """What of the run did not outlive it and does not come back; empty: all is as it was, or comes to be."""
        executor = self.executor
        share = standing.routing.weights.get(Role.CANDIDATE, 0) if standing.routing else 0
        if share and not standing.replicas.get(Role.CANDIDATE):
            return "no replica of the candidate outlived it"
        for role in [role for role, count in self.stood.replicas.items() if count]:
            await aftercare.ready(executor, role)
            if role not in executor.ready or not executor.ready[role].ready:
                return f"the replicas of {role} did not come back"
        return ""

    # --- what was decided, and what was settled ---

    async def _settle_decided(self, end: End) -> End:
        """Settle a rollout as it was decided; a promotion only if the candidate still serves all traffic."""
        stood, executor = self.stood, self.executor
        promoting = end.outcome is Outcome.PROMOTED and not self.cut.rollback
        if promoting or not self._outlived:  # what does not leave traffic where it is brings it home first
            await self._rebuilt_in_time()
        await self._attach()
        if stood.promoted:
            return await self._back_again(end)
        self.decided = end
        if end.outcome is Outcome.PROMOTED:
            if self.cut.rollback:
                return End(Outcome.ROLLED_BACK, f"{CUT_OFF}; it was to be rolled back")
            await aftercare.ready(executor, Role.CANDIDATE)
            end = await self._verified(end)
        return await self._onward(end) if stood.number == 1 else end

    async def _back_again(self, end: End) -> End:
        """The way back from what was promoted, after an alarm, or after the run was told to stop."""
        stood, executor = self.stood, self.executor
        self.decided = end
        if stood.home is Role.CANDIDATE and stood.alarm and end.outcome is Outcome.ROLLED_BACK:
            alarm = aftercare.Alarm(stood.alarm.monitor, stood.alarm.reason, OnAlarm.ROLLBACK, stood.alarm.because)
            promoted = stood.revisions[Role.CANDIDATE]
            self.settled, _ = await aftercare.back(
                executor, promoted, alarm, stood.revisions.get(Role.STABLE), measured=self.rebuilt
            )
            return self.settled
        if stood.home is Role.CANDIDATE:
            return end
        ended = await self._made_safe(end)
        if ended is end:
            promoted, previous = stood.revisions[Role.CANDIDATE], stood.revisions[Role.STABLE]
            await settle.forget(executor, promoted.name, promoted)
            executor.tell(RolledBack, previous.name, previous.version)
        return ended

    async def _safe(self) -> End:
        """What was settled before it was cut off: its home is verified once more, and the run ends."""
        decided = self.stood.refused or self.stood.decided
        assert decided is not None
        end = self.decided = self.settled = End(decided.outcome, decided.reason, decided.because)
        if not self.stood.deploying:
            return end
        if decided.outcome is Outcome.PROMOTED and not self.stood.promoted:
            told = f"{decided.reason}; and the promotion could not be carried out"
            end = self.settled = End(Outcome.ERROR, told, decided.because)
        if not self._outlived:
            await self._rebuilt_in_time()
        await self._attach()
        return end if decided.outcome is Outcome.PAUSED else await self._made_safe(end)

    async def _made_safe(self, end: End) -> End:
        """All traffic at home, verified, and the other arm down; or a person is called."""
        executor = self.executor
        await aftercare.ready(executor, executor.home)
        if await settle.verify(executor, executor.home, aftercare.BACK_OFF_S):
            await settle.retire(executor, executor.home)
            self.settled = end
            return end
        reason = f"{end.reason}; {CUT_OFF}, and {executor.home} could not be verified again: a person must look"
        executor.tell(Escalated, reason)
        executor.notify(reason)
        self.settled = End(Outcome.FAILED, reason, end.because)
        return self.settled

    def _care(self) -> Aftercare | None:
        """Nothing is watched after a later rollout that was cut off."""
        return super()._care() if self.stood.number == 1 else None

    async def conclude(self, end: End, interrupted: str | None = None) -> Outcome:
        """As of any run; what was not attached to yet is so first, for it has to be made safe."""
        if not self.attached:
            with anyio.CancelScope(shield=True):
                try:
                    await self._attach()
                except LeaseLost:
                    raise
                except Exception as error:  # noqa: BLE001 - settling finds out what is left, and calls a person
                    told = f"what the run left could not be attached to: {str(error) or repr(error)}"
                    self.executor.tell(Noticed, "left_undone", (), told)
        return await super().conclude(end, interrupted)

    async def _settled(self, end: End) -> End:
        """A promotion that had begun and is not carried out leaves the registry as it was."""
        settled, stood, executor = await super()._settled(end), self.stood, self.executor
        stable = self.case.revisions.get(Role.STABLE)
        begun = stood.decided is not None and stood.decided.outcome is Outcome.PROMOTED and not stood.promoted
        if begun and stable and settled.outcome is not Outcome.PROMOTED:
            await settle.tidy(executor, "alias", lambda: alias(executor, stable, STABLE))
            if stood.aliases.get(settle.PREVIOUS) == stable.version:
                await settle.tidy(executor, "alias", lambda: unalias(executor, stable.name, settle.PREVIOUS))
        return settled

    # --- what there is ---

    @property
    def _outlived(self) -> bool:
        """Servers may have outlived the process that began them: users are asking them now."""
        return isinstance(self.executor.parts.platform, Attachable)

    async def _next(self) -> End | None:
        """The next candidate is rolled out beside the models of what is in service: made now, if not before."""
        if self.successors and not self.rebuilt:
            why = await self._rebuilt_in_time()
            if why or self.executor.home not in self.case.models:
                told = f"no newer candidate is rolled out: {why or 'the model in service could not be made again'}"
                self.executor.tell(Noticed, "left_undone", (), told)
                self.successors.clear()
        return await super()._next()

    async def _rebuilt_in_time(self) -> str:
        """As `_rebuilt`, and no longer than until the run's horizon."""
        why = ""

        async def work() -> None:
            nonlocal why
            why = await self._rebuilt()

        late = await self._in_time(work)
        if late:
            self._finish("error", late.reason)
            self.case = self.case.having(revisions=dict(self.stood.revisions), refusals=())
        return late.reason if late else why

    async def _rebuilt(self) -> str:
        """Run the stages for the models; why the rollout cannot go on with them, empty where it can."""
        executor, why, self.rebuilt = self.executor, "", True
        try:
            for stage in executor.parts.stages:
                async with self._stage(stage.name):
                    self.case = await self._tried(stage, self.case)
        except LeaseLost:
            raise
        except HarnessError as error:
            why = f"its models could not be made again: {error}"
            self._finish("error", str(error))
        self.models = self._by_digest(self.case)
        if self.stood.number == 1:
            why = why or _others(self.case, self.stood.revisions)
        self.case = self.case.having(revisions=dict(self.stood.revisions), refusals=())
        try:
            await again_in_memory(executor, self.stood, self.models)
        except BackendError as error:
            why = why or str(error)
        return why

    def _by_digest(self, case: Case) -> dict[str, TrainedModel]:
        return {model.artifact_digest: model for model in case.models.values()}

    async def _attach(self) -> Standing:
        """Take up what runs; where nothing can have outlived the process, it is started anew."""
        executor, stood = self.executor, self.stood
        self.attached = True
        self.case = self.case.having(models=await self._deployed())
        full = {role: executor.scenario.service[role].replicas for role in ARMS}
        wanted = {Role.STABLE: full[Role.STABLE], Role.CANDIDATE: 0, **stood.replicas}
        wanted[stood.home] = max(wanted.get(stood.home, 0), settle.size(executor, stood.home))
        if executor.scenario.rollout.by_replicas and not stood.decided:
            wanted = dict(stood.replicas) or wanted
        self._inform(self.case)
        standing = await self._taken_up(wanted)
        on_stable = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
        executor.routing = standing.routing
        executor.weights = dict(standing.routing.weights) if standing.routing else on_stable
        executor.replicas = wanted
        executor.tell(FoundRunning, standing.replicas, standing.routing.weights if standing.routing else None)
        await executor.readiness()
        return standing

    async def _taken_up(self, wanted: Mapping[Role, int]) -> Standing:
        platform, case = self.executor.parts.platform, self.case
        if isinstance(platform, Attachable):
            rows = case.population if set(ARMS) <= set(case.models) else None  # who asks knows what both answer
            attached = platform.attach(case.models, rows, wanted)
            return await answered("the platform", attached, ATTACH_S)
        await answered("the platform", platform.start(case.models, case.population), ATTACH_S)
        await answered("the change of replicas", platform.serving.apply(wanted))
        return Standing()

    async def _deployed(self) -> dict[Role, TrainedModel]:
        """The models of the versions that were deployed: made again, or loaded from the registry."""
        found = dict(self.case.models) if not self.stood.revisions else {}
        loaded: dict[Role, TrainedModel] = {}
        with anyio.move_on_after(LOADED_S):
            for role, revision in self.stood.revisions.items():
                if revision.digest not in self.models and (model := await self._loaded(revision)):
                    loaded[role] = model
        for role, revision in self.stood.revisions.items():
            model = self.models.get(revision.digest) or loaded.get(role)
            if model is None and same(self.case.models.get(role), revision):
                model = self.case.models[role]
            if model is not None:
                found[role] = replace(model, role=role)
        return found

    async def _loaded(self, revision: Revision) -> TrainedModel | None:
        try:
            return await answered("the registry", self.executor.parts.registry.load(revision))
        except BackendError:  # who runs it needs no model; who does not cannot be started, and says so
            return None


def _said(scenario: Scenario, spoken: Sequence[Command]) -> int:
    """How many of the orders that the scenario scripts were given."""
    scripted = [Command(order.order, order.by) for order in scenario.orders]
    said = 0
    for command in spoken:
        said += said < len(scripted) and command == scripted[said]
    return said


def _others(case: Case, revisions: Mapping[Role, Revision]) -> str:
    """Which models are others than those that were registered; empty: none is."""
    other = [f"{role} ({each})" for role, each in revisions.items() if not same(case.models.get(role), each)]
    return f"made again, these models are others than before: {', '.join(other)}" if other else ""
