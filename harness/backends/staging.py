"""A real staging environment: the candidate's own replicas behind a router of their own, apart from production.

It is made of the parts that production is made of (a `Fleet` and a `Gateway`), in a place of its own. There the
candidate stands as stable, and all requests are its own. What a killed harness left there is ended by whoever comes
next: nothing of it is ever taken up again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import anyio

from harness.backends.kubernetes_scope import check_models
from harness.backends.staging_scope import check_kubernetes, check_local, on_stable
from harness.domain.lifecycle import StagingPlan
from harness.domain.load import Limits, LoadPlan, OpenLoop, Payload, Speech, Target
from harness.domain.model import ARMS, Revision, Role, TrainedModel
from harness.domain.rollout import Routing
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import WHOLE
from harness.errors import BackendError, EndpointError, LeaseLost, ServingError
from harness.protocols import LoadResult, Population, Reply
from harness.realtime import Fleet, Gateway, Leavable, Place
from harness.seeds import stream
from harness.serving.client import AsyncModelServingClient

if TYPE_CHECKING:
    from harness.load.record import Record

ROWS: Final = 1000
"""Of the population, evenly spread: what a load test asks."""
ALL: Final = Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0})
ASK_S: Final = 30.0
"""How long one answer may take outside the load test, which alone judges how long it takes."""
ENDS: Final = "-staging"
"""What the name of staging's place ends in, after the run's."""


@dataclass(frozen=True, slots=True, eq=False)
class Up:
    """What runs, or is coming up."""

    fleet: Any
    gateway: Any
    bodies: tuple[bytes, ...]
    client: AsyncModelServingClient | None = None

    @property
    def parts(self) -> tuple[Any, Any]:
        """In the order in which they end."""
        return (self.gateway, self.fleet)


class RealStaging:
    """A `StagingPlatform`, and a `PacedPlatform`, of real replicas; how they are run is a subclass's affair.

    Args:
        scenario: its candidate's service, its seed, and what it says of real things.
        plan: its faults befall the replicas, and it says how long they may take to get ready.
    """

    realtime = True

    def __init__(self, scenario: Scenario, plan: StagingPlan) -> None:
        service = scenario.service[Role.CANDIDATE]
        self._timeout_ns = service.timeout_ns
        self._seed = stream(scenario.seed, "staging").integer()
        # Whoever waits for the endpoint gives up first, and says so of the candidate.
        rollout = replace(scenario.rollout, ready_within_ns=2 * plan.ready_within_ns, baseline=False)
        self._scenario = replace(
            scenario, service=dict.fromkeys(ARMS, service), faults=on_stable(plan.faults), rollout=rollout
        )
        self._at: Place | None = None
        self._up: Up | None = None

    def place(self, where: Place) -> None:
        """Where the run keeps things: staging's are in a folder of their own, and under a name of their own."""
        self._at = replace(where, folder=where.folder / "staging", run=where.run + ENDS)

    @property
    def _place(self) -> Place:
        if self._at is None:
            raise ServingError("staging does not know where to keep notes and logs; call `place` first")
        return self._at

    # --- what a kind of servers says ----------------------------------------------------------------------------------

    def _made(self, scenario: Scenario) -> tuple[Fleet, Gateway]:
        """New parts, which know nothing yet."""
        raise NotImplementedError

    async def _cleared(self) -> None:
        """Nothing of this place runs any more, whoever had started it."""

    def _begun(self) -> None:
        """A load test begins: times of faults count from here."""

    # --- StagingPlatform ----------------------------------------------------------------------------------------------

    async def start(
        self, model: TrainedModel, revision: Revision, population: Population | None, replicas: int
    ) -> "RealEndpoint":
        """Bring replicas up behind their router; returns once the router sends them requests.

        Raises:
            ServingError: the model cannot be served here, or something runs already.
        """
        if replicas < 1:
            raise ServingError(f"{replicas} replicas in staging: at least one is needed")
        if self._up is not None:
            raise ServingError("staging is occupied; `stop` it first")
        self._place.folder.mkdir(parents=True, exist_ok=True)
        await self._cleared()
        service = {role: replace(each, replicas=replicas) for role, each in self._scenario.service.items()}
        fleet, gateway = self._made(replace(self._scenario, service=service))
        self._up = Up(fleet, gateway, tuple(bodies(model, population)))
        await self._brought_up(self._up, model, revision, replicas)
        client = AsyncModelServingClient(gateway.url, timeout=ASK_S, retries=1, seed=self._seed)
        self._up = replace(self._up, client=client)
        return RealEndpoint(self)

    async def _brought_up(self, up: Up, model: TrainedModel, revision: Revision, replicas: int) -> None:
        # Parts know two arms. There is no version 0: the other one is nobody, and has no replica.
        revisions = {Role.STABLE: revision, Role.CANDIDATE: Revision(revision.name, 0, "")}
        for part in up.parts:
            part.place(self._place)
            part.inform(revisions)
        try:
            await up.gateway.start()
            await up.gateway.apply(ALL)
            await up.fleet.start({Role.STABLE: replace(model, role=Role.STABLE)}, replicas, up.gateway.point)
        except ServingError as error:
            raise ServingError(f"in staging, where the candidate stands as stable: {error}") from error

    async def load(self, rate_per_s: float, duration_ns: int) -> LoadResult:
        """Ask at a constant rate."""
        traffic = Traffic("constant", Process.CONSTANT, Knots((0,), (rate_per_s,)), users=0)
        return await self._tested(OpenLoop(traffic, "constant", rate_per_s), duration_ns, 0)

    async def load_paced(self, traffic: Traffic, duration_ns: int, warmup_ns: int) -> LoadResult:
        """Ask when such traffic comes."""
        return await self._tested(OpenLoop(traffic, traffic.kind, None), duration_ns, warmup_ns)

    async def stop(self) -> None:
        """Take all of it down; where one part cannot end, the other does. Stopping again tries what is left.

        Raises:
            BackendError: something is still there.
        """
        up, said = self._up, list[Exception]()
        if up is not None:
            if up.client:
                await up.client.close()
            for part in up.parts:
                said += await _stopped(part)
        if self._at is not None:
            try:
                await self._cleared()
            except BackendError as error:
                said.append(error)
        if said:
            raise BackendError("; ".join(str(error) or repr(error) for error in said))
        self._up = None

    # --- asking -------------------------------------------------------------------------------------------------------

    @property
    def client(self) -> AsyncModelServingClient:
        """Asks what runs; ServingError where nothing does."""
        if self._up is None or self._up.client is None:
            raise ServingError("nothing runs in staging")
        return self._up.client

    async def _tested(self, pace: OpenLoop, duration_ns: int, warmup_ns: int) -> LoadResult:
        """Ask with the generator of `harness load`, in a process of its own beside the run's loop."""
        if self._up is None or not await self.client.ready():
            raise ServingError("nothing in staging is ready for a load test")
        from harness.load.speech import predict_url

        url = self._up.gateway.url
        plan = LoadPlan(
            targets=(Target(url, predict_url(url, Speech.JSON)),),
            pace=pace,
            payload=Payload(self._up.bodies),
            duration_ns=duration_ns,
            warmup_ns=warmup_ns,
            seed=self._seed,
            limits=Limits(timeout_ns=self._timeout_ns),
        )
        return await tested(plan, self._begun)


class RealEndpoint:
    """The candidate in a real staging environment, asked as users ask: through its router."""

    def __init__(self, staging: RealStaging) -> None:
        self._staging = staging

    async def ready(self) -> bool:
        """Whether a replica behind the router says so."""
        return await self._staging.client.ready()

    async def predict(self, body: Any) -> Reply:
        """What the server says; BackendError where nothing came back."""
        try:
            return Reply(*await self._staging.client.asked(body))
        except OSError as error:
            raise EndpointError(str(error)) from error


class LocalStaging(RealStaging):
    """Processes of this machine behind the built-in router (``serving: local``)."""

    def __init__(self, scenario: Scenario, plan: StagingPlan) -> None:
        check_local(plan)
        super().__init__(scenario, plan)
        router = replace(scenario.real.router, host="127.0.0.1", port=0)  # production's port may be taken
        self._scenario = replace(self._scenario, real=replace(scenario.real, router=router))

    def _made(self, scenario: Scenario) -> tuple[Fleet, Gateway]:
        from harness.backends.builtin import BuiltinRouter
        from harness.backends.staging_fleets import StagedProcesses

        return StagedProcesses(scenario), BuiltinRouter(scenario)

    def _begun(self) -> None:
        if self._up:
            self._up.fleet.begin()

    async def _cleared(self) -> None:
        from harness.backends import processes

        async with anyio.create_task_group() as tasks:
            for note in processes.notes(self._place.state, self._place.run):
                tasks.start_soon(processes.stop, note)


class KubernetesStaging(RealStaging):
    """Pods in a namespace of their own, behind a route of their own (``serving: kubernetes``)."""

    def __init__(self, scenario: Scenario, plan: StagingPlan) -> None:
        check_kubernetes(scenario, plan)
        check_models(scenario)
        super().__init__(scenario, plan)
        told = scenario.real.kubernetes
        there = replace(told, namespace=told.staging_namespace, front=told.staging_front, autoscale_max=None)
        self._scenario = replace(self._scenario, real=replace(scenario.real, kubernetes=there))

    def _made(self, scenario: Scenario) -> tuple[Fleet, Gateway]:
        from harness.backends.httproute import HttpRouteRouter
        from harness.backends.staging_fleets import StagedPods

        return StagedPods(scenario), HttpRouteRouter(scenario)


# --- parts of it ------------------------------------------------------------------------------------------------------


async def _stopped(part: Any) -> list[Exception]:
    """What kept a part from ending; one that another harness drives by now is left to it."""
    try:
        await part.stop()
    except LeaseLost:
        if isinstance(part, Leavable):
            await part.leave()
    except Exception as error:  # noqa: BLE001 - told by the caller, once everything else has ended
        return [error]
    return []


def bodies(model: TrainedModel, population: Population | None) -> Iterator[bytes]:
    """Requests of the rows, evenly spread over them; an empty object where there are none."""
    from harness.load.speech import encode
    from harness.staging.contract import plain

    rows = None if population is None or not len(population.rows) else population.rows
    if rows is None:
        yield b"{}"
        return
    count = min(ROWS, len(rows))
    some = rows.iloc[[number * len(rows) // count for number in range(count)]][list(model.features)]
    for values in some.itertuples(index=False, name=None):
        yield encode({str(name): plain(value) for name, value in zip(some.columns, values, strict=True)})


async def tested(plan: LoadPlan, began: Callable[[], None]) -> LoadResult:
    """Run a load test; cancelled, its generator has ended before this returns.

    Args:
        plan: the load test.
        began: called in the loop as it begins.

    Raises:
        BackendError: the generator died.
    """
    from harness.load.beside import beside
    from harness.load.crew import LocalCrew
    from harness.load.judge import spoiled_by
    from harness.load.record import settled

    asked: list[str] = []
    found: list[Any] = []

    def begins() -> None:
        anyio.from_thread.run_sync(began)

    def work() -> None:
        try:
            found.append(LocalCrew().run(plan, 1, lambda *_: None, lambda: bool(asked), begins))
        except Exception as error:  # noqa: BLE001 - raised again where the test was asked for
            found.append(error)

    await beside(work, asked.append)
    [record] = found
    if isinstance(record, Exception):
        raise record
    record = settled(record)
    return result_of(record, spoiled_by(plan, record))


def result_of(record: "Record", spoiled: str) -> LoadResult:
    """What a generator measured, as a staging environment tells it: what was due and not sent has failed."""
    from harness.load.record import added

    total = record.total
    counts = total.counts
    lost = {"in_flight": counts.in_flight} if counts.in_flight else {}
    errors = added((counts.errors, counts.unsent, lost))
    return LoadResult(counts.scheduled, sum(errors.values()), errors, total.latency.histogram, spoiled)
