"""Replicas as processes of this machine (``serving: local``): started, watched, restarted, drained, found again.

Each runs `harness serve` in a session of its own and goes on where the harness is killed; `attach` takes it up again,
and `processes.clean` ends what nobody takes up. The router is told of a replica once it is ready, and lets go of it
before it ends: no request is lost over a rollout.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from harness import seeds
from harness.backends import local_faults, processes, procfs
from harness.backends.local_models import Loaded, command, match, noted, remembered, written
from harness.backends.local_probes import Probes
from harness.backends.local_replica import KIND, Replica, Surroundings, ended, strength
from harness.backends.processes import Note
from harness.clock import epoch_ns, now_ns
from harness.domain.model import ARMS, SERVING, Revision, Role, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.service import Service
from harness.domain.units import SECOND, duration_text
from harness.errors import ServingError
from harness.protocols import Notice, Readiness
from harness.realtime import Behind, Place, Point

NOTICES: Final = 10_000
LOOK_S: Final = 0.02
POINT_S: Final = 30.0
"""Over the drain: how long a router may take to be pointed elsewhere."""
AGAIN_S: Final = 1.0
"""Until a router that refused is told again."""
FOUND_S: Final = 5.0
"""How long a replica that was found may take to say that it is ready, before traffic goes on without it."""
GOING_S: Final = 2.0


class LocalFleet:
    """A `realtime.Fleet` of processes.

    Args:
        scenario: its `real.local`, services, faults and seed.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._plan = scenario.real.local
        self._place: Place | None = None
        self._revisions: dict[Role, Revision] = {}
        self._models: dict[Role, Loaded] = {}
        self._replicas: list[Replica] = []
        self._lives: dict[Replica, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wanted: dict[Role, int] = {}
        self._pointed: dict[Role, tuple[str, ...]] = {}
        self._faults = scenario.faults
        self._origin_ns = 0
        self._number = 0
        self._probes = Probes()
        self._trouble, self._last_told = "", ""
        self._broken: Exception | None = None
        self._around: Surroundings | None = None
        self._sender: MemoryObjectSendStream[Notice] | None = None
        self._receiver: MemoryObjectReceiveStream[Notice] | None = None

    def place(self, where: Place) -> None:
        """Where notes, logs and models go."""
        self._place = where

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called."""
        self._revisions = dict(revisions)

    # --- Fleet --------------------------------------------------------------------------------------------------------

    async def start(self, models: Mapping[Role, TrainedModel], stable: int, point: Point) -> None:
        """Bring stable up.

        Raises:
            ServingError: a model cannot be served, or replicas did not become ready in time.
        """
        self._begin(point)
        await self._load(models)
        await self.apply({Role.STABLE: stable, Role.CANDIDATE: 0})
        await self._until_ready(Role.STABLE)
        self._origin_ns = now_ns()
        with contextlib.suppress(OSError):  # a full disk ends no traffic
            self._began_file.write_text(json.dumps({"epoch_ns": epoch_ns()}))
        self._spawn(self._course(-1))

    async def attach(self, models: Mapping[Role, TrainedModel], wanted: Mapping[Role, int], point: Point) -> None:
        """Adopt what a killed run left.

        Raises:
            ServingError: a model cannot be served.
        """
        self._begin(point)
        await self._load(models)
        self._origin_ns = now_ns() - self._age_ns()
        found = [note for note in processes.notes(self._where.state, self._where.run) if note.kind == KIND]
        self._number = max((int(note.extra["number"]) for note in found), default=0)
        started = [(Role(note.arm or Role.STABLE).model, noted(note.command, note.extra)) for note in found]
        self._models |= remembered(self._revisions, started, self._models_folder, self._models)
        for note in found:
            await self._adopt(note)
        there = {*ARMS, *wanted, *(replica.arm for replica in self._replicas)}
        with anyio.move_on_after(FOUND_S):
            while not all(replica.settled for replica in self._replicas if replica.url):  # noqa: ASYNC110
                await anyio.sleep(LOOK_S)
        known = [role for role in SERVING if role in there and role.model in self._models]
        await self.apply(dict.fromkeys(there & set(SERVING), 0) | {role: wanted.get(role, 0) for role in known})
        self._spawn(self._course(self._elapsed()))
        with anyio.move_on_after(self._plan.drain_ns / SECOND):
            while self._pointed != self._behind() and not self._trouble:  # noqa: ASYNC110
                await anyio.sleep(LOOK_S)

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        """Want so many replicas of each arm.

        Raises:
            ServingError: a count is below 0, or of an arm that has no replicas here.
        """
        self._running  # noqa: B018 - raises where it is not
        if any(count < 0 for count in replicas.values()):
            raise ServingError(f"replicas {dict(replicas)}: a count cannot be below 0")
        if absent := [role for role, count in replicas.items() if count and role not in SERVING]:
            raise ServingError(f"replicas {dict(replicas)}: {absent[0]} has none of its own, copies go to others")
        self._wanted |= {role: count for role, count in replicas.items() if role in SERVING}
        for role, count in self._wanted.items():
            own = sorted(self._of(role), key=lambda each: (not each.ready, each.number))
            for replica in own[count:]:
                replica.leaving = True
            for _ in range(count - len(own)):
                self._add(role)
        self._turn.set()

    async def observe(self) -> Mapping[Role, Readiness]:
        """Wanted, and ready: those that the router sends requests to."""
        self._running  # noqa: B018 - raises where it is not
        arms = [role for role in SERVING if role in self._wanted]
        return {role: Readiness(self._wanted[role], len(self._serving(role))) for role in arms}

    async def probe(self, role: Role) -> bool:
        """Whether a replica of the arm answers a row in time: each in its turn."""
        within_s = self._service(role).timeout_ns / SECOND
        return await self._probes.probe(self._running.session, self._serving(role), within_s)

    async def example(self, role: Role) -> Any:
        """A row that the arm's model takes, as one of its replicas says; None: none says so."""
        return await self._probes.example(self._running.session, self._serving(role))

    async def notices(self) -> AsyncIterator[Notice]:
        """Faults and replicas as they come and go."""
        if self._receiver is None:
            raise ServingError("the local replicas are not running; `start` them first")
        with contextlib.suppress(anyio.ClosedResourceError):  # stopped while the last one was taken
            async for notice in self._receiver:
                yield notice

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        """Make room for another candidate; returns when the replicas that go are gone.

        Raises:
            ServingError: a model cannot be served, there is no candidate to adopt, or the router does not let go.
        """
        if adopt and not self._serving(Role.CANDIDATE):
            raise ServingError("the candidate has no replica that is ready, and cannot become stable")
        await self._load(models)
        goes = {Role.BASELINE, Role.STABLE if adopt else Role.CANDIDATE}
        for replica in self._replicas:
            if replica.arm in goes:
                replica.leaving = True
            elif not replica.leaving:
                replica.serve(Role.STABLE)
        if adopt:
            self._wanted[Role.STABLE] = self._wanted[Role.CANDIDATE]
        self._wanted |= {role: 0 for role in self._wanted if role is not Role.STABLE}
        self._faults = local_faults.inherited(self._faults, adopt=adopt)
        self._other_faults.set()
        self._turn.set()
        with anyio.move_on_after(2 * (self._plan.drain_ns / SECOND + POINT_S)):
            while any(replica.leaving for replica in self._replicas):  # noqa: ASYNC110 - tasks take them down
                await anyio.sleep(LOOK_S)
            return
        raise ServingError(f"replicas that should be gone are still there{self._trouble and f': {self._trouble}'}")

    async def stop(self) -> None:
        """Take every replica down, and forget all."""
        if self._around is None:
            return
        await ended([*self._tasks, *self._lives.values()])
        with anyio.move_on_after(GOING_S), contextlib.suppress(Exception):  # a router that is gone already refuses
            if any(self._pointed.values()):
                await self._point(dict.fromkeys(self._pointed, ()))
        said = await asyncio.gather(*(each.end() for each in self._replicas), return_exceptions=True)
        await self._forget(self._around)
        for error in said:
            if isinstance(error, BaseException):
                raise error

    async def leave(self) -> None:
        """Look after the replicas no more, and leave them as they are."""
        if self._around is None:
            return
        await ended([*self._tasks, *self._lives.values()])
        await self._forget(self._around)

    async def _forget(self, around: Surroundings) -> None:
        await around.session.close()
        self._around = None
        self._tasks, self._lives, self._replicas, self._pointed = [], {}, [], {}
        if self._sender and self._receiver:
            self._sender.close()
            self._receiver.close()

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where the replicas tell their metrics."""
        return {
            f"{each.url}/metrics": {"arm": each.arm.value, "revision": str(each.loaded.revision)}
            for each in self._replicas if each.url
        }  # fmt: skip

    # --- replicas -----------------------------------------------------------------------------------------------------

    def _begin(self, point: Point) -> None:
        procfs.check()
        if self._around is not None:
            raise ServingError("the local replicas are running already; `stop` them first")
        where, self._point = self._where, point
        self._turn, self._other_faults = asyncio.Event(), asyncio.Event()
        self._sender, self._receiver = anyio.create_memory_object_stream[Notice](NOTICES)
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        faults = local_faults.ordered(self._faults)
        within_ns = self._scenario.rollout.ready_within_ns
        self._around = Surroundings(where, self._plan, within_ns, session, faults, self._tell, self._turn.set)
        self._spawn(self._keep_pointed())

    async def _load(self, models: Mapping[Role, TrainedModel]) -> None:
        """Write each model to its file; in a thread, for a large one takes seconds."""
        folder = self._models_folder
        folder.mkdir(parents=True, exist_ok=True)
        for role, model in models.items():
            known = self._revisions.get(role, Revision(model.name, 1, model.artifact_digest))
            self._models[role] = await anyio.to_thread.run_sync(
                written, model, known, role, folder, self._scenario
            )  # fmt: skip

    def _add(self, role: Role) -> None:
        if role.model not in self._models:
            raise ServingError(f"no model of {role} is known any more: a replica of it cannot be started")
        loaded = self._models[role.model]
        self._number += 1
        self._take(Replica(
            f"{role}-v{loaded.revision.version}-{self._number}", self._number, role, loaded,
            self._command(role, loaded), self._running,
        ))  # fmt: skip

    async def _adopt(self, note: Note) -> None:
        """Take up a replica that lives; one whose model is no arm's goes once the router has let go of it."""
        if not processes.alive(note):
            await processes.stop(note)
            return
        was = Role(note.arm or Role.STABLE)
        role = match(str(note.extra["digest"]), was.model.value, self._models.items())
        arm = was if role in {None, was.model} else Role(role or was)
        note = processes.amend(processes.take_over(note), arm=arm.value)
        loaded = self._models[arm.model]
        replica = Replica(
            note.name, int(note.extra["number"]), arm, loaded, self._command(arm, loaded), self._running, note
        )
        replica.leaving = role is None
        self._take(replica)

    def _take(self, replica: Replica) -> None:
        self._befall(replica)
        self._replicas.append(replica)
        self._lives[replica] = asyncio.create_task(replica.live(), name=f"replica {replica.name}")

    def _command(self, role: Role, loaded: Loaded) -> tuple[str, ...]:
        return command(loaded, self._plan, self._service(role), faults=self._running.faults)

    def _service(self, role: Role) -> Service:
        services = self._scenario.service
        return services.get(role, services[role.model])

    def _of(self, role: Role) -> list[Replica]:
        return [each for each in self._replicas if each.arm is role and not each.leaving]

    def _serving(self, role: Role) -> list[Replica]:
        """Those that are ready and that the router knows."""
        return [each for each in self._of(role) if each.ready and each.url in self._pointed.get(role, ())]

    async def _until_ready(self, role: Role) -> None:
        within_ns = self._scenario.rollout.ready_within_ns
        with anyio.move_on_after(within_ns / SECOND):
            while len(self._serving(role)) < self._wanted[role]:
                if any(replica.down for replica in self._of(role)):
                    raise ServingError(f"{role} cannot be served: {self._last_told}")
                await anyio.sleep(LOOK_S)
            return
        why = self._trouble or self._last_told or "see the logs of the processes"
        raise ServingError(f"{role} was not ready within {duration_text(within_ns)}: {why}")

    # --- the router ---------------------------------------------------------------------------------------------------

    def _behind(self) -> dict[Role, tuple[str, ...]]:
        return {
            role: tuple(each.url for each in self._of(role) if each.ready and each.url)
            for role in SERVING if role in self._wanted
        }  # fmt: skip

    async def _keep_pointed(self) -> None:
        """Whenever something has changed: tell the router, then end those that it has let go of."""
        while True:
            await self._turn.wait()
            self._turn.clear()
            behind = self._behind()
            if behind != self._pointed and not await self._pointed_to(behind):
                await anyio.sleep(AGAIN_S)
                self._turn.set()
                continue
            for replica in [each for each in self._replicas if each.leaving and each in self._lives]:
                self._spawn(self._end(replica, self._lives.pop(replica)))

    async def _pointed_to(self, behind: Behind) -> bool:
        try:
            with anyio.fail_after(self._plan.drain_ns / SECOND + POINT_S):
                await self._point(behind)
        except Exception as error:  # noqa: BLE001 - a task has no caller: told, and tried again
            if not self._trouble:
                text = f"the router was not pointed at {behind}: {str(error) or repr(error)}"
                self._tell(Notice("router_refused", tuple(behind), text))
            self._trouble = str(error) or repr(error)
            return False
        before, self._pointed, self._trouble = self._pointed, dict(behind), ""
        # Told only now: who looks because of it finds it among those that serve.
        for each in self._replicas:
            if each.url in behind.get(each.arm, ()) and each.url not in before.get(each.arm, ()):
                self._tell(Notice("replica_ready", (each.arm,), f"replica {each.name} of {each.arm} is ready"))
        return True

    async def _end(self, replica: Replica, life: "asyncio.Task[None]") -> None:
        await ended([life])
        await replica.end()
        self._replicas.remove(replica)  # not where that was broken off: `stop` sees to it

    # --- faults -------------------------------------------------------------------------------------------------------

    async def _course(self, before_ns: int) -> None:
        """Have faults begin, grow and end in their time."""
        while True:
            at_ns = self._elapsed()
            for notice in local_faults.told(self._faults, before_ns, at_ns):
                self._tell(notice)
            for fault, role, count in local_faults.crashes(self._faults, before_ns, at_ns):
                if not self._kill(role, count):
                    self._tell(Notice("fault_missed", (role,), f"{role} has no replica to crash: {fault.text}"))
            for replica in self._replicas:
                self._befall(replica)
            await asyncio.gather(*(replica.send() for replica in self._replicas if replica.url))
            before_ns, due_ns = at_ns, local_faults.next_change_ns(self._faults, at_ns)
            wait_s = None if due_ns is None else max(0, due_ns - self._elapsed()) / SECOND
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._other_faults.wait(), wait_s)
            self._other_faults.clear()

    def _befall(self, replica: Replica) -> None:
        now = local_faults.in_force(self._faults, replica.arm, self._elapsed() if self._origin_ns else -1)
        replica.strength = strength(now, seeds.stream(self._scenario.seed, f"local/faults/{replica.name}").integer())

    def _kill(self, role: Role, count: int) -> int:
        """Kill the first replicas of an arm; how many there were."""
        notes = [replica.note for replica in self._of(role) if replica.note and replica.url][:count]
        return sum(procfs.send(note.process, signal.SIGKILL) for note in notes if note.process)

    # --- the rest -----------------------------------------------------------------------------------------------------

    @property
    def _where(self) -> Place:
        if self._place is None:
            raise ServingError("the local replicas do not know where to keep their notes and logs; call `place` first")
        return self._place

    @property
    def _running(self) -> Surroundings:
        if self._around is None:
            raise ServingError("the local replicas are not running; `start` them first")
        if self._broken:
            raise ServingError(f"the local replicas are not looked after any more: {self._broken!r}") from self._broken
        return self._around

    @property
    def _models_folder(self) -> Path:
        return self._where.folder / "models"

    @property
    def _began_file(self) -> Path:
        return self._where.folder / "processes" / "began.json"

    def _age_ns(self) -> int:
        """How long ago traffic began, by the wall clock: it goes on where the harness was killed."""
        try:
            return max(0, epoch_ns() - int(json.loads(self._began_file.read_text())["epoch_ns"]))
        except (FileNotFoundError, ValueError, KeyError):  # killed before it began, or it could not be written
            return 0

    def _elapsed(self) -> int:
        return now_ns() - self._origin_ns

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._guarded(work)))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - a task has no caller: whoever asks next is told
            self._broken = self._broken or error

    def _tell(self, notice: Notice) -> None:
        if notice.kind in {"replica_crashed", "replica_down"}:
            self._last_told = notice.text
        with contextlib.suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            if self._sender:  # nobody reads for a very long while: what is new is dropped, replicas go on
                self._sender.send_nowait(notice)
