"""A simulated platform: replicas, router and metrics of `harness.sim.cluster`, living in the event loop's time.

The request plane is compiled and the model is in the loop; what it promises as a platform is what any platform must
(`harness.contracts`). On virtual time hours pass in a second; on real time it keeps pace with the clock.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from harness.clock import is_virtual, now_ns
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.fault import Fault
from harness.domain.model import ARMS, Role, TrainedModel
from harness.domain.rollout import Analyze, Decide, Routing, SetMirror, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND, MINUTE, SECOND, WHOLE
from harness.errors import RoutingError, ServingError
from harness.protocols import ArmSample, IntArray, MetricSource, Notice, Population, Readiness
from harness.sim.classes import rows_of
from harness.sim.cluster import NEVER, Cluster, Setting
from harness.sim.population import Answers

REALTIME_GRID_NS = 250 * MILLISECOND
NOTICES = 10_000
"""Environment changes that may wait for the reader; a simulated run has some dozens."""


class SimulatedCluster:
    """Two arms of simulated replicas as a `Platform`: its own serving side, router and metric source.

    Args:
        scenario: its services, traffic, labels, faults and seed.
        window_ns: bring the cluster up to the present at least this often; what happens does not depend on it.
    """

    realtime = False

    def __init__(self, scenario: Scenario, window_ns: int | None = None) -> None:
        self._scenario = scenario
        self._window_ns = window_ns
        self._cluster: Cluster | None = None
        self._origin_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self._broken: Exception | None = None
        self._sender: MemoryObjectSendStream[Notice] | None = None
        self._receiver: MemoryObjectReceiveStream[Notice] | None = None

    # --- Platform ---

    @property
    def serving(self) -> "SimulatedCluster":
        """Runs the replicas."""
        return self

    @property
    def router(self) -> "SimulatedRouter":
        """Splits the traffic."""
        return SimulatedRouter(self)

    @property
    def metrics(self) -> MetricSource:
        """Tells what clients saw."""
        return self

    async def start(self, models: Mapping[Role, TrainedModel], population: Population | None) -> None:
        """Bring stable up with all traffic; times of the scenario's faults and traffic count from here."""
        scenario = self._scenario
        answers = self._answers(models, population, scenario.faults)
        self._origin_ns = now_ns()
        self._sender, self._receiver = anyio.create_memory_object_stream[Notice](NOTICES)
        self._cluster = Cluster(_setting(scenario, population), answers, self._sender.send_nowait)
        self._cluster.start()
        self._arm()

    async def replace(
        self,
        models: Mapping[Role, TrainedModel],
        population: Population | None,
        *,
        adopt: bool,
        injected: tuple[Fault, ...] = (),
    ) -> None:
        """Make room for another candidate; what befalls a model goes with it."""
        running = self._running
        kept = running.inherited(adopt=adopt)
        answers = self._answers(models, population, (*kept, *injected))
        service = self._scenario.service[Role.CANDIDATE]
        running.replace_candidate(self._elapsed(), answers, service, injected, adopt=adopt)
        self._arm()

    def _answers(
        self, models: Mapping[Role, TrainedModel], population: Population | None, faults: tuple[Fault, ...]
    ) -> Answers | None:
        scenario = self._scenario
        if population is None:
            return None
        shadow = Role.SHADOW in _arms(scenario)
        return Answers.build(models, population, faults, scenario.seed, scenario.horizon_ns, shadow=shadow)

    async def stop(self) -> None:
        """End traffic."""
        if self._timer:
            self._timer.cancel()
        self._cluster = None
        if self._sender and self._receiver:
            self._sender.close()
            self._receiver.close()

    # --- Serving ---

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        """Want so many replicas of each arm."""
        if any(count < 0 for count in replicas.values()):
            raise ServingError(f"replicas {dict(replicas)}: a count cannot be below 0")
        own = [role for role in self._running.arms if role is not Role.SHADOW]
        if absent := [role for role, count in replicas.items() if count and role not in own]:
            raise ServingError(f"replicas {dict(replicas)}: {absent[0]} has none of its own on this cluster")
        replicas = {role: count for role, count in replicas.items() if role in own}
        self._running.scale(self._elapsed(), replicas)
        self._arm()

    async def observe(self) -> Mapping[Role, Readiness]:
        """Wanted and ready replicas of each arm."""
        return self._running.readiness(self._elapsed())

    async def probe(self, role: Role) -> bool:
        """Whether a request to that arm would be answered in time now."""
        return self._running.probe(role, self._elapsed())

    async def notices(self) -> AsyncIterator[Notice]:
        """Faults and replicas as they come and go."""
        if self._receiver is None:
            raise ServingError("the simulated cluster is not running; `start` it first")
        async for notice in self._receiver:
            yield notice
        self._check()

    # --- MetricSource ---

    async def sample(self, start_ns: int, stop_ns: int) -> Mapping[Role, ArmSample]:
        """What clients of each arm saw in ``[start, stop)``."""
        if stop_ns > now_ns():
            raise ServingError("a window cannot end in the future")
        found = self._running.sample(start_ns - self._origin_ns, stop_ns - self._origin_ns)
        self._arm()
        return found

    async def totals(self) -> Mapping[Role, ArmTotals]:
        """What clients of each arm saw since traffic began."""
        found = self._running.totals(self._elapsed())
        began = self._origin_ns
        return {
            role: replace(a, first_ns=None if a.first_ns is None else a.first_ns + began) for role, a in found.items()
        }

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """The features of the requests in ``[start, stop)``; empty without a data set."""
        return self._running.inputs(start_ns - self._origin_ns, stop_ns - self._origin_ns)

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm's model answered in ``[start, stop)``; empty without a data set."""
        return self._running.predictions(start_ns - self._origin_ns, stop_ns - self._origin_ns)

    # --- the pump ---

    def route(self, want: Routing) -> Weights:
        """Put it in force at once."""
        weights = dict(want.weights)
        if sum(weights.values()) != WHOLE or any(share < 0 for share in weights.values()):
            raise RoutingError(f"weights {weights} must be shares of {WHOLE} that sum to it")
        running = self._running
        if absent := [role for role, share in weights.items() if share and role not in running.arms]:
            raise RoutingError(f"weights {weights} name {absent[0]}, which this cluster has no arm for")
        if weights.get(Role.SHADOW):
            raise RoutingError(f"weights {weights} give users to a shadow; it gets copies, by `mirror`")
        if not 0 <= want.mirror <= WHOLE:
            raise RoutingError(f"a mirror of {want.mirror} must be a share of {WHOLE}")
        if want.mirror and Role.SHADOW not in running.arms:
            raise RoutingError("this cluster was not made to copy requests: no step of the rollout mirrors")
        if want.sticky and not self._scenario.traffic.users:
            raise RoutingError("this cluster cannot keep users to an arm: its traffic has none (traffic.users: 0)")
        running.route(self._elapsed(), want)
        self._arm()
        return weights

    def _check(self) -> None:
        if self._broken:
            raise ServingError(f"the simulated cluster failed: {self._broken!r}") from self._broken

    @property
    def _running(self) -> Cluster:
        self._check()
        if self._cluster is None:
            raise ServingError("the simulated cluster is not running; `start` it first")
        return self._cluster

    def _elapsed(self) -> int:
        return now_ns() - self._origin_ns

    def _arm(self) -> None:
        """Keep one timer set at the control plane's next event, so that the loop never jumps past it."""
        if self._timer:
            self._timer.cancel()
        due = self._running.next_ns()
        if self._window_ns:
            due = min(due, self._elapsed() + self._window_ns)
        if due < NEVER:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + (due - self._elapsed()) / SECOND, self._pump)

    def _pump(self) -> None:
        try:
            self._running.advance(self._elapsed())
            self._arm()
        except Exception as error:  # noqa: BLE001 - a timer has no caller: whoever asks next is told, and notices end
            self._broken = self._broken or error
            if self._sender:
                self._sender.close()


class SimulatedRouter:
    """The router of a simulated cluster."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster

    async def apply(self, want: Routing) -> Weights:
        """Put it in force; answers with the weights."""
        return self._cluster.route(want)


def inprocess(platform: SimulatedCluster) -> MetricSource:
    """The metric source ``inprocess``: the platform's own counts."""
    return platform.metrics


def _arms(scenario: Scenario) -> tuple[Role, ...]:
    """The arms that a scenario's rollout has."""
    rollout = scenario.rollout
    mirrored = any(isinstance(step, SetMirror) for step in rollout.steps)
    return (*ARMS, *[Role.BASELINE] * rollout.baseline, *[Role.SHADOW] * mirrored)


def _members(scenario: Scenario, population: Population | None) -> tuple[IntArray, ...]:
    """For each class of requests, the rows that it asks.

    Raises:
        InputError: it names a column or a value that the rows lack.
    """
    if population is None:
        return ()
    return tuple(rows_of(kind, population.rows) for kind in scenario.traffic.classes)


def _rhythms(scenario: Scenario) -> list[tuple[int, int]]:
    """How often, and over which windows, the run will look: its analyses, A/B tests and monitors."""
    rollout, care = scenario.rollout, scenario.aftercare
    policies = [rollout.analysis, *(monitor.policy for monitor in (care.monitors if care else ()))]
    policies += [step.policy for step in rollout.steps if isinstance(step, Analyze)]
    tests = [step.every_ns for step in rollout.steps if isinstance(step, Decide)]
    looks = [(policy.every_ns, policy.window_ns) for policy in policies if policy]
    return [*looks, *((every, every) for every in tests)] or [(MINUTE, MINUTE)]


def _setting(scenario: Scenario, population: Population | None) -> Setting:
    rhythms = _rhythms(scenario)
    delay = scenario.labels.delay_ns if scenario.labels else 0
    # Windows and label delays must end where buckets do; durations that share no decent divisor are cut to a second.
    # On real time no look is on the nanosecond: there the grid is as fine as a quick scraper's.
    grid = max(math.gcd(*(time for rhythm in rhythms for time in rhythm), delay), SECOND)
    grid = grid if is_virtual() else REALTIME_GRID_NS
    return Setting(
        seed=scenario.seed,
        services=scenario.service,
        traffic=scenario.traffic,
        labels=scenario.labels,
        faults=scenario.faults,
        grid_ns=grid,
        keep_ns=max(window for _, window in rhythms) + grid,
        walk_ns=scenario.model.data.walk_ns if scenario.model.data else None,
        arms=_arms(scenario),
        members=_members(scenario, population),
    )
