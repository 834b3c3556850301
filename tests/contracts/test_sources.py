"""Metric sources keep what any must: our own users, the simulator and Prometheus; and each check notices one that does
not.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from fakes.cluster import SimulatedCluster
from harness.backends.prometheus import PrometheusMetrics
from harness.clock import now_ns, run_virtual
from harness.contracts import SOURCE_CHECKS, check_source
from harness.contracts.sources import Bench, Happened
from harness.domain.fault import Errors, Fault
from harness.domain.model import ARMS, Role
from harness.domain.service import Fixed, Service
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError
from harness.protocols import ArmSample, MetricSource, Sample
from harness.stats.histogram import Histogram
from harness.users import Users
from tests.backends.prometheus_bench import Bench as PrometheusBench
from tests.backends.prometheus_bench import bench
from tests.backends.prometheus_bench import scenario as prometheus_scenario
from tests.build import scenario
from tests.requires import program
from tests.users.asked import Servers, asked, asks

NEVER_TRIED = ("what_is_not_seen_is_no_zero", "a_dead_source_says_so")
"""Needs a source that asks somebody else: users and the simulator know what they did."""


# --- the simulator: its requests are a closed form --------------------------------------------------------------------


class Rehearsed:
    """A hundred requests a second, exactly; one tenth of each second they all fail."""

    busy, idle = Role.STABLE, Role.CANDIDATE
    within_s = 1.0

    def __init__(self, cluster: SimulatedCluster, source: MetricSource) -> None:
        self.cluster, self.source, self.begun_ns = cluster, source, now_ns()

    async def traffic(self) -> Mapping[Role, Happened]:
        """One second of it, from the middle between two requests to another such middle."""
        await anyio.sleep(1)
        return {Role.STABLE: Happened(100, 10), Role.CANDIDATE: Happened(0, 0)}


class Mortal(Rehearsed):
    """One that can be stopped."""

    async def kill(self) -> None:
        await self.cluster.stop()


@asynccontextmanager
async def rehearsed(
    source: Callable[[SimulatedCluster], MetricSource] = lambda cluster: cluster, kind: type[Rehearsed] = Mortal
) -> AsyncIterator[Bench]:
    tenths = [at * 100 * MILLISECOND for at in range(3, 60, 10)]
    on = frozenset({Role.STABLE})
    failing = tuple(Fault("errors", on, Errors(1.0), at_ns=at, until_ns=at + 100 * MILLISECOND) for at in tenths)
    service = dict.fromkeys(ARMS, Service(2, 2, Fixed(0.001), SECOND, 20, SECOND))
    steady = Traffic("constant", Process.CONSTANT, Knots((0,), (100.0,)))
    cluster = SimulatedCluster(scenario(traffic=steady, service=service, faults=failing))
    await cluster.start({}, None)
    try:
        await anyio.sleep(0.005)
        yield kind(cluster, source(cluster))
    finally:
        await cluster.stop()


def test_the_simulator_keeps_every_promise() -> None:
    ran = run_virtual(check_source, rehearsed)
    assert (ran.passed, ran.not_applicable) == (len(SOURCE_CHECKS) - 1, NEVER_TRIED[:1])


# --- our own users ----------------------------------------------------------------------------------------------------


class Held(Servers):
    """Servers that answer in bursts, as many as they are told to, so that nothing is on its way in between."""

    def __init__(self) -> None:
        super().__init__(fail=lambda _: 500 if len(self.told) % 5 == 0 else 200)
        self.left, self._more = 0, anyio.Event()

    def let(self, count: int) -> None:
        self.left, before = count, self._more
        self._more = anyio.Event()
        before.set()

    async def predict(self, request: Any) -> Any:
        while not self.left:
            await self._more.wait()
        self.left -= 1
        return await super().predict(request)


class Asking:
    """Users whose answers come in bursts of 40, every fifth a failure."""

    busy, idle = Role.STABLE, Role.CANDIDATE
    within_s = 30.0

    def __init__(self, servers: Held, source: Users) -> None:
        self.servers, self.source, self.done = servers, source, 0

    async def traffic(self) -> Mapping[Role, Happened]:
        self.servers.let(40)
        self.done += 40
        with anyio.fail_after(60):
            while await self._answered() < self.done:  # noqa: ASYNC110 - users know no events
                await anyio.sleep(0.01)
        return {Role.STABLE: Happened(40, 8), Role.CANDIDATE: Happened(0, 0)}

    async def _answered(self) -> int:
        total = (await self.source.totals())[Role.STABLE]
        return total.succeeded + total.failed


@asynccontextmanager
async def asking() -> AsyncIterator[Bench]:
    servers, plain = Held(), asks()
    patient = {role: replace(service, timeout_ns=120 * SECOND) for role, service in plain.service.items()}
    async with asked(servers, replace(plain, service=patient, labels=None)) as users:
        try:
            yield Asking(servers, users)
        finally:
            servers.let(1_000_000)


async def test_users_keep_every_promise() -> None:
    ran = await check_source(asking)
    assert (ran.passed, ran.not_applicable) == (len(SOURCE_CHECKS) - 2, NEVER_TRIED)


# --- Prometheus -------------------------------------------------------------------------------------------------------


async def test_prometheus_keeps_every_promise(tmp_path: Path) -> None:
    program("prometheus")
    async with bench(tmp_path) as one:
        await ones_own_queries_are_answered(one)

        @asynccontextmanager
        async def again() -> AsyncIterator[Bench]:
            """The same for all checks: it takes a Prometheus five seconds to begin. The last one kills it."""
            one.sees_again()
            await one.settled()
            yield one

        ran = await check_source(again)
    assert (ran.passed, ran.total, ran.not_applicable) == (len(SOURCE_CHECKS), len(SOURCE_CHECKS), ())


async def ones_own_queries_are_answered(one: PrometheusBench) -> None:
    """By a Prometheus that a user has: PromQL, labels of the user's, and a figure by itself."""
    queries = {
        "requests": 'model_requests_total{arm="$arm"}',
        "failed": 'model_requests_total{$labels, code=~"5.."}',
        "latency_buckets": "sum by (le) (increase(model_request_duration_seconds_bucket{$labels}[$window]))",
        "utilisation": "0 * max(bench_mark{$labels}) + 0.5",
    }
    labels = {role: {"arm": role.value, "job": "harness"} for role in ARMS}
    of = prometheus_scenario(url=one.server.url, lag_ns=SECOND // 5, queries=queries, labels=labels)
    start = now_ns()
    happened = (await one.traffic())[Role.STABLE]
    arm = (await PrometheusMetrics(of, one.clients).sample(start, now_ns()))[Role.STABLE]
    assert (arm.requests, arm.failed, arm.errors) == (happened.requests, happened.failed, {"http_503": happened.failed})
    assert arm.figures()["utilisation"] == 0.5


# --- each check notices one that does not -----------------------------------------------------------------------------


class Wrong:
    """A simulated cluster's figures, told wrongly."""

    def __init__(self, right: SimulatedCluster) -> None:
        self.right = right

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        return await self.right.sample(start_ns, stop_ns)


class CountsTwice(Wrong):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = await self.right.sample(start_ns, stop_ns)
        return {role: replace(arm, requests=2 * arm.requests) for role, arm in found.items()}


class OverlooksFailures(Wrong):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = await self.right.sample(start_ns, stop_ns)
        return {role: replace(arm, failed=0, errors={}) for role, arm in found.items()}


class CountsTheEndTwice(Wrong):
    """Windows share what is at their ends, as ranges that are closed on both sides do."""

    def __init__(self, right: SimulatedCluster) -> None:
        super().__init__(right)
        self.ends = set[int]()

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = await self.right.sample(start_ns, stop_ns)
        shared = start_ns in self.ends
        self.ends.add(stop_ns)
        return {role: replace(arm, requests=arm.requests + shared) for role, arm in found.items()}


class SeesWhatCameLater(Wrong):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        if stop_ns > now_ns():
            raise BackendError("a window cannot end in the future")
        return await self.right.sample(start_ns, now_ns())


class Prophet(Wrong):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        return await self.right.sample(min(start_ns, now_ns()), min(stop_ns, now_ns()))


class NeverAnswers(Wrong):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        if stop_ns > now_ns():
            await anyio.sleep(3600)
        return await self.right.sample(start_ns, stop_ns)


class TakesNothingForNone(Wrong):
    """Answers from nothing where it has nobody to ask."""

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        try:
            return await self.right.sample(start_ns, stop_ns)
        except BackendError:
            if stop_ns > now_ns():
                raise
            return {role: ArmSample(0, 0, {}, Histogram(), 0, 0, {}, 0, {}) for role in ARMS}


class IdleIsPerfect(Wrong):
    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        found = dict(await self.right.sample(start_ns, stop_ns))
        idle = found[Role.CANDIDATE]
        return {**found, Role.CANDIDATE: replace(idle, gauges={"error_rate": 0.0})}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (CountsTwice, "stable had 100 requests, and 200 are told"),
        (OverlooksFailures, "stable had 10 failures, and 0 are told"),
        (CountsTheEndTwice, "requests of stable add up: 201, 200 over both"),
        (SeesWhatCameLater, "stays as it was told"),
        (IdleIsPerfect, "an arm without requests has no error_rate"),
        (Prophet, "a window that ends in the future"),
        (NeverAnswers, "within 1 s"),
        (TakesNothingForNone, "asking a source that is dead"),
    ],
)
def test_one_that_does_not_is_noticed(broken: Callable[[SimulatedCluster], MetricSource], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        run_virtual(check_source, lambda: rehearsed(broken))


class Blind(Rehearsed):
    """Told to look away, it tells of no requests instead of none that it knows of."""

    async def blind(self) -> None:
        class Zeros(Wrong):
            async def sample(self, start_ns: int, stop_ns: int) -> Sample:
                found = await self.right.sample(start_ns, stop_ns)
                return {role: replace(arm, requests=0, failed=0, errors={}) for role, arm in found.items()}

        self.source: MetricSource = Zeros(self.cluster)  # type: ignore[assignment]


def test_nothing_seen_that_is_told_as_zero_is_noticed() -> None:
    with pytest.raises(AssertionError, match="requests of traffic that was not seen is not known, and 0"):
        run_virtual(check_source, lambda: rehearsed(kind=Blind))
