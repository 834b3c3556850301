"""A platform whose replicas and router outlive the harness, and runs that are cut off at any line of their log.

What lives in the outside world is a `World`; a crash of the harness leaves it as it is. It is copied at each event of a
run, so that one run shows what would have been there had the harness been killed then.
"""

import copy
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from fakes.registry import MemoryRegistry
from fakes.tracker import MemoryTracker
from harness import engine
from harness.clock import now_ns, run_virtual
from harness.domain.event import ArmTotals, Event, InputColumn
from harness.domain.model import ARMS, Role, TrainedModel
from harness.domain.rollout import Outcome, Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND, WHOLE
from harness.engine.run import Header
from harness.errors import ServingError
from harness.log import EventLog
from harness.protocols import ArmSample, Notice, Readiness
from harness.realtime import Standing
from harness.stats.histogram import Histogram
from tests.build import Models, parts

STARTUP_S = 3.0
MEMORY = Path("/dev/shm")
ON_STABLE = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder in which to sync a line costs nothing, where the machine has one: hundreds of logs are written anew."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@dataclass
class World:
    """What is there whether a harness runs or not."""

    wanted: dict[Role, int] = field(default_factory=dict)
    ready: dict[Role, int] = field(default_factory=dict)
    models: dict[Role, str] = field(default_factory=dict)
    """Digests of what each arm's replicas answer with."""
    routing: Routing | None = None
    down: bool = False
    """The run has ended, and with it all that it ran."""
    replaced: int = 0
    """How often the candidate was."""
    left: bool = False
    """The harness has let go of it, and it goes on."""
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    tracker: MemoryTracker = field(default_factory=MemoryTracker)


class Surviving:
    """The harness's side of a world: a `Platform`, its serving, router and metrics, and `Attachable`."""

    realtime = False

    def __init__(self, world: World, errors: float = 0.0) -> None:
        self.world, self.errors = world, errors
        self._ready_at_ns = dict.fromkeys(ARMS, 0)

    @property
    def serving(self) -> "Surviving":
        return self

    @property
    def router(self) -> "Router":
        return Router(self.world)

    @property
    def metrics(self) -> "Surviving":
        return self

    # --- the platform ---

    async def start(self, models: Mapping[Role, TrainedModel], population: object) -> None:
        del population
        self.world.models = {role: model.artifact_digest for role, model in models.items()}
        self.world.routing = Routing(ON_STABLE)
        self.world.wanted = {Role.STABLE: 2, Role.CANDIDATE: 0}
        self.world.ready = {Role.STABLE: 2, Role.CANDIDATE: 0}

    async def attach(
        self, models: Mapping[Role, TrainedModel], population: object, wanted: Mapping[Role, int]
    ) -> Standing:
        del population
        self.world.models |= {role: model.artifact_digest for role, model in models.items()}
        found = Standing(dict(self.world.ready), self.world.routing)
        self.world.routing = self.world.routing or Routing(ON_STABLE)
        await self.apply(wanted)
        return found

    async def replace(
        self, models: Mapping[Role, TrainedModel], population: object, *, adopt: bool, injected: object = ()
    ) -> None:
        del population, injected
        world = self.world
        world.replaced += 1
        for counts in (world.wanted, world.ready):
            if adopt:
                counts[Role.STABLE] = counts[Role.CANDIDATE]
            counts[Role.CANDIDATE] = 0
        world.models = {role: model.artifact_digest for role, model in models.items()}
        world.routing = Routing(ON_STABLE)

    async def stop(self) -> None:
        self.world.down = True

    async def leave(self) -> None:
        self.world.left = True

    # --- its servers ---

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        for role, count in replicas.items():
            self.world.wanted[role] = count
            kept = self.world.ready[role] = min(self.world.ready.get(role, 0), count)
            if count > kept:
                self._ready_at_ns[role] = now_ns() + round(STARTUP_S * SECOND)

    async def observe(self) -> Mapping[Role, Readiness]:
        world = self.world
        for role, count in world.wanted.items():
            if now_ns() >= self._ready_at_ns[role]:
                world.ready[role] = count
        return {role: Readiness(world.wanted.get(role, 0), world.ready.get(role, 0)) for role in ARMS}

    async def probe(self, role: Role) -> bool:
        return self.world.ready.get(role, 0) > 0

    async def notices(self) -> AsyncIterator[Notice]:
        before: Mapping[Role, int] = dict(self.world.ready)
        while True:
            await anyio.sleep(0.5)
            await self.observe()
            if before != self.world.ready:
                before = dict(self.world.ready)
                yield Notice("replica_ready", (), "a replica is ready")

    # --- its metrics ---

    async def sample(self, start_ns: int, stop_ns: int) -> Mapping[Role, ArmSample]:
        weights = self.world.routing.weights if self.world.routing else ON_STABLE
        return {role: self._sampled(role, weights.get(role, 0), stop_ns - start_ns) for role in ARMS}

    def _sampled(self, role: Role, weight: int, span_ns: int) -> ArmSample:
        requests = weight // 10
        failed = round(requests * self.errors) if role is Role.CANDIDATE else 0
        return ArmSample(requests, failed, {}, Histogram(), requests, 0, {}, span_ns, {})

    async def totals(self) -> Mapping[Role, ArmTotals]:
        return {role: ArmTotals(10, 10, 0, 0, {}, 0, {}, 0) for role in ARMS}

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        del start_ns, stop_ns
        return ()

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        del start_ns, stop_ns
        return {}


@dataclass
class Router:
    """The world's router, as the harness reaches it."""

    world: World

    async def apply(self, want: Routing) -> Weights:
        """Put the routing in force."""
        if self.world.routing is None:
            raise ServingError("there is no router")
        self.world.routing = want
        return want.weights


@dataclass
class Told:
    """One complete run: the lines of its log, and the world at each."""

    lines: list[bytes]
    worlds: list[World]
    """As it was when that event was in the log, and nothing after it had happened."""
    outcome: Outcome

    def late(self, number: int) -> World:
        """The world after the effects that come before the next event."""
        return self.worlds[min(number + 1, len(self.worlds) - 1)]


def made_of(scenario: Scenario, world: World, errors: float, **other: Any) -> engine.Parts:
    """The parts of a run, by a process that has just begun."""
    platform = Surviving(world, errors)
    given = {"stages": [Models()], "registry": world.registry, "tracker": world.tracker, **other}
    return parts(scenario, platform, **given)


def told(scenario: Scenario, path: Path, errors: float = 0.0, **other: Any) -> Told:
    """Run a scenario to its end on virtual time, keeping the world at each event."""
    world = World()
    worlds: list[World] = []
    log = EventLog(path, durable=True)
    log.watch(noted(world, worlds))
    outcome = run_virtual(engine.run, scenario, made_of(scenario, world, errors, **other), log)
    log.close()
    return Told(path.read_bytes().splitlines(keepends=True), worlds, outcome)


def resumed(
    scenario: Scenario,
    path: Path,
    world: World,
    errors: float = 0.0,
    watch: Callable[[int, Event], None] | None = None,
    *,
    rollback: bool = False,
    **other: Any,
) -> tuple[Outcome, EventLog]:
    """Take a cut-off run up in another process: all that it has is the log and the world."""
    log, torn = EventLog.reopen(path)
    if watch:
        log.watch(watch)
    cut = engine.Cut(rollback=rollback, torn=torn)
    try:
        outcome = run_virtual(engine.resume, scenario, made_of(scenario, world, errors, **other), log, Header(), cut)
    finally:
        log.close()
    return outcome, log


def noted(world: World, worlds: list[World]) -> Callable[[int, Event], None]:
    """A watcher that keeps the world at each event."""
    return lambda *_: worlds.append(copy.deepcopy(world))


def copied(world: World, **changes: Any) -> World:
    """The world once more, some of it otherwise."""
    return replace(copy.deepcopy(world), **changes)
