"""Servers whose counts are known, for a Prometheus to scrape, and clients that know what arrived and no more."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from harness.backends.prometheus import PrometheusMetrics
from harness.backends.prometheus_api import Api
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
SCRAPE_NS = 50 * MILLISECOND


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
        self.refuses, self.mark = False, 0

    def answer(self, latency_s: float, code: str = "200") -> None:
        outcome = "success" if code < "400" else "failure"
        self.codes[code, outcome] += 1
        self.latencies.append(latency_s)

    def text(self) -> str:
        lines = [f"process_start_time_seconds {self.begun_s}", f"bench_mark {self.mark}"]
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
        if self.refuses:
            return web.Response(status=503)
        return web.Response(text=self.text(), content_type="text/plain")


@asynccontextmanager
async def replicas(count: int) -> AsyncIterator[list[tuple[str, Replica]]]:
    """So many servers, each with its URL."""
    async with AsyncExitStack() as running:
        made = []
        for _ in range(count):
            replica, app = Replica(), web.Application()
            app.router.add_get("/metrics", replica.handle)
            made.append((await running.enter_async_context(site(app)), replica))
        yield made


class Bench:
    """Two replicas of stable and one of the candidate before a real Prometheus; stable gets traffic, and failures."""

    busy, idle = Role.STABLE, Role.CANDIDATE
    within_s = 60.0

    def __init__(self, server: ManagedPrometheus, found: list[tuple[str, Replica]], scenario: Scenario) -> None:
        self.server, self.found, self.mark = server, found, 0
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
        """Return once Prometheus holds all that was counted so far, by its own word; or knows that it sees nobody."""
        self.mark += 1
        for _, replica in self.found:
            replica.mark = self.mark
        blind = all(replica.refuses for _, replica in self.found)
        query = "count(up == 0)" if blind else f"count(bench_mark == {self.mark})"
        api = Api(self.server.url, SECOND, 10)
        with anyio.fail_after(60):
            async with api.session() as session:
                while not any(  # noqa: ASYNC110 - Prometheus knows no events
                    each.points[-1][1] == len(self.found)
                    for each in await api.ask(session, query, epoch_ns() // MILLISECOND)
                ):
                    await anyio.sleep(0.02)

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
