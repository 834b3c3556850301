"""Servers whose counts are known, for a Prometheus to scrape, and clients that know what arrived and no more."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from harness.backends.prometheus import PrometheusMetrics
from harness.backends.prometheus_server import ManagedPrometheus
from harness.clock import epoch_ns, now_ns
from harness.contracts.sources import Happened
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.model import ARMS, Role
from harness.domain.real import PrometheusPlan, RealPlan
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND, SECOND
from harness.protocols import ArmSample, Sample
from harness.realtime import Place
from harness.stats.histogram import Histogram
from tests import build
from tests.sites import site

BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SCRAPE_NS = 100 * MILLISECOND


def scenario(*, router: str = "none", **plan: Any) -> Scenario:
    """A scenario whose figures come from a Prometheus."""
    base = build.scenario()
    return replace(
        base, real=RealPlan(prometheus=PrometheusPlan(**plan)), backends=replace(base.backends, router=router)
    )


class Clients:
    """A metric source that knows of arrivals, and of nothing that Prometheus is to say."""

    def __init__(self, arms: tuple[Role, ...] = ARMS) -> None:
        self.arms, self.arrived = arms, list[tuple[int, Role]]()

    def sent(self, role: Role, count: int = 1) -> None:
        self.arrived += [(now_ns(), role)] * count

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        came = Counter(role for at, role in self.arrived if start_ns <= at < stop_ns)
        return {
            role: ArmSample(0, 0, {}, Histogram(), came[role], 0, {"accuracy": 0.75}, stop_ns - start_ns, {})
            for role in self.arms
        }

    async def totals(self) -> Mapping[Role, ArmTotals]:
        return {role: ArmTotals(7, 7, 0, 0, {}, None, {}) for role in self.arms}

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        return (InputColumn("amount", ("all",), (1.0,), {}, {}),)

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        return {}


class Replica:
    """A server that says what it counted as `harness serve` does, written by hand."""

    def __init__(self) -> None:
        self.codes: Counter[tuple[str, str]] = Counter()
        self.latencies: list[float] = []
        self.begun_s = epoch_ns() / SECOND
        self.scrapes, self.refuses = 0, False
        self._more = anyio.Event()

    def answer(self, latency_s: float, code: str = "200") -> None:
        outcome = "success" if code < "400" else "failure"
        self.codes[code, outcome] += 1
        self.latencies.append(latency_s)

    async def scraped(self, times: int) -> None:
        """Return once so many scrapes more have begun; all but the last of them are stored by then."""
        until = self.scrapes + times
        while self.scrapes < until:
            await self._more.wait()

    def text(self) -> str:
        lines = [f"process_start_time_seconds {self.begun_s}"]
        for (code, outcome), count in self.codes.items():
            lines.append(f'model_requests_total{{protocol="json",code="{code}",outcome="{outcome}"}} {count}')
        if self.latencies:
            name = "model_request_duration_seconds"
            for bound in (*BOUNDS, float("inf")):
                le = "+Inf" if bound == float("inf") else repr(bound)
                lines.append(f'{name}_bucket{{protocol="json",le="{le}"}} {sum(x <= bound for x in self.latencies)}')
            lines.append(f'{name}_sum{{protocol="json"}} {sum(self.latencies)!r}')
            lines.append(f'{name}_count{{protocol="json"}} {len(self.latencies)}')
        return "\n".join(lines) + "\n"

    async def handle(self, _: web.Request) -> web.Response:
        self.scrapes += 1
        more, self._more = self._more, anyio.Event()
        more.set()
        if self.refuses:
            return web.Response(status=503)
        return web.Response(text=self.text(), content_type="text/plain")


@asynccontextmanager
async def replicas(count: int) -> AsyncIterator[list[tuple[str, Replica]]]:
    """So many servers, each with its URL."""
    made: list[tuple[str, Replica]] = []
    async with _nested(count, made):
        yield made


@asynccontextmanager
async def _nested(count: int, made: list[tuple[str, Replica]]) -> AsyncIterator[None]:
    if not count:
        yield
        return
    replica, app = Replica(), web.Application()
    app.router.add_get("/metrics", replica.handle)
    async with site(app) as url:
        made.append((url, replica))
        async with _nested(count - 1, made):
            yield


class Bench:
    """Two replicas of stable and one of the candidate before a real Prometheus; stable gets traffic, and failures."""

    busy, idle = Role.STABLE, Role.CANDIDATE
    within_s = 60.0

    def __init__(self, server: ManagedPrometheus, found: list[tuple[str, Replica]], scenario: Scenario) -> None:
        self.server, self.found = server, found
        self.clients = Clients()
        self.source = PrometheusMetrics(scenario, self.clients, server)

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        roles = (Role.STABLE, Role.STABLE, Role.CANDIDATE)
        pairs = zip(self.found, roles, strict=True)
        return {url: {"arm": role.value} for (url, _), role in pairs}

    async def traffic(self) -> Mapping[Role, Happened]:
        for burst in range(3):
            for number in range(7):
                code = "503" if number == burst else "200"
                self.found[number % 2][1].answer(0.013 * (number + 1), code)
                self.clients.sent(Role.STABLE)
            await anyio.sleep(0.03)
        await self.settled()
        return {Role.STABLE: Happened(21, 3), Role.CANDIDATE: Happened(0, 0)}

    async def settled(self) -> None:
        async with anyio.create_task_group() as tasks:
            for _, replica in self.found:
                tasks.start_soon(replica.scraped, 2)

    async def kill(self) -> None:
        await self.server.stop()

    async def blind(self) -> None:
        for _, replica in self.found:
            replica.refuses = True
        await self.settled()

    def sees_again(self) -> None:
        for _, replica in self.found:
            replica.refuses = False


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """A bench with a Prometheus of its own; it takes that some five seconds to look for targets at all."""
    of = scenario(scrape_ns=SCRAPE_NS, lag_ns=2 * SCRAPE_NS)
    server = ManagedPrometheus(of)
    server.place(Place(folder, folder / "state", "run"))
    async with replicas(3) as found:
        made = Bench(server, found, of)
        try:
            await server.start(made.scraped)
            await made.settled()
            yield made
        finally:
            await server.stop()
