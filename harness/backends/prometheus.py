"""Prometheus as a metric source: what servers or the router counted, window by window, for each arm.

    metrics: prometheus     requests, failures and latencies of each arm come from Prometheus;
                            quality, drift and what was asked from the clients, who alone know them

It says what it knows and nothing else. A Prometheus that does not answer is a BackendError (the look's verdict is
``error``); one that answers and has no figures of an arm leaves them open (``no_data`` of the analysis says what
follows); NaN is such an answer, and no zero.
"""

import os
import re
import shutil
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from harness.backends.prometheus_api import Api
from harness.backends.prometheus_look import Look, Window
from harness.backends.prometheus_queries import counted_by_servers, filled, queries_of
from harness.clock import epoch_ns, now_ns, sleep_until
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.model import Role
from harness.domain.real import PrometheusPlan
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND
from harness.errors import BackendError, InputError
from harness.protocols import MetricSource, Sample

if TYPE_CHECKING:
    from harness.backends.prometheus_server import ManagedPrometheus

PROGRAM: Final = "prometheus"
MISSING: Final = (
    f"there is no program `{PROGRAM}` on the path to be started; install it (apt install prometheus), or give the "
    "address of one that runs: real.prometheus.url"
)
REMEMBERED: Final = 4096
"""Boundaries of windows whose time of day is kept."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


def of(platform: Any) -> "PrometheusMetrics":
    """The metric source ``prometheus`` of a real platform.

    Raises:
        InputError: the platform is simulated, or the scenario asks for what cannot be answered.
        BackendError: there is no Prometheus to ask, nor the program to start one.
    """
    if not getattr(platform, "realtime", False) or not hasattr(platform, "users"):
        raise InputError(
            "metrics: prometheus asks a Prometheus that scrapes real servers, and these are simulated; "
            "use `metrics: inprocess`, or real servers (`serving: local`, `http` or `kubernetes`, `--clock real`)"
        )
    scenario: Scenario = platform.scenario
    plan, server = scenario.real.prometheus, getattr(platform, "prometheus", None)
    if plan.url is None and server is None:
        raise BackendError("no Prometheus is started beside this platform; give real.prometheus.url")
    if plan.url is None and shutil.which(PROGRAM) is None:
        raise BackendError(MISSING)
    return PrometheusMetrics(scenario, platform.users, server)


class PrometheusMetrics:
    """Asks Prometheus what each arm did; the rest it takes from the clients.

    Args:
        scenario: ``real.prometheus`` of it.
        clients: what our own clients met: arms, arrivals, quality, drift.
        server: one that is started beside the platform; None: ``real.prometheus.url`` is asked.

    Raises:
        InputError: a query is wrong, a rule is about no query, or the token's variable holds none.
    """

    realtime = True

    def __init__(self, scenario: Scenario, clients: MetricSource, server: "ManagedPrometheus | None" = None) -> None:
        self._plan = scenario.real.prometheus
        self._queries = queries_of(scenario)
        self._by_servers = counted_by_servers(scenario)
        self._clients, self._server = clients, server
        self._token = token_of(self._plan)
        self._epochs: dict[int, int] = {}

    # --- MetricSource ---

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        """What was scraped in ``[start, stop)``; waits until the last scrape of the window is in.

        Raises:
            BackendError: Prometheus does not answer, not wholly, or refuses a query.
        """
        if stop_ns > now_ns():
            raise BackendError("a window cannot end in the future")
        window = Window(self._epoch_ms(start_ns), self._epoch_ms(stop_ns))
        seen = await self._clients.sample(start_ns, stop_ns)
        await sleep_until(stop_ns + self._lag_ns)
        api = self._api()
        arms = tuple(role for role in seen if role is not Role.SHADOW)
        async with api.session() as session:
            answers = await Look(partial(api.ask, session), window, self._ours).arms(
                {arm: self._filled(arm, window) for arm in arms}
            )
        return {
            role: answers[role].over(arm, by_servers=self._by_servers) if role in answers else arm
            for role, arm in seen.items()
        }

    async def totals(self) -> Mapping[Role, ArmTotals]:
        """What the clients met since they began."""
        return await self._clients.totals()

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """What the clients asked."""
        return await self._clients.inputs(start_ns, stop_ns)

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What they were answered."""
        return await self._clients.predictions(start_ns, stop_ns)

    # --- where, when and what ---

    @property
    def _ours(self) -> bool:
        return self._plan.url is None

    @property
    def _lag_ns(self) -> int:
        return max(self._plan.lag_ns, self._plan.scrape_ns if self._ours else 0)

    def _api(self) -> Api:
        if self._server is not None:
            self._server.check()
        url = self._plan.url or (self._server.url if self._server else "")
        return Api(url, self._plan.timeout_ns, self._plan.retries, self._token, proxied=not self._ours)

    def _epoch_ms(self, at_ns: int) -> int:
        """The time of day of a boundary; the same each time that it is asked for, so that windows meet exactly."""
        if at_ns not in self._epochs:
            while len(self._epochs) >= REMEMBERED:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[at_ns] = (epoch_ns() + at_ns - now_ns()) // MILLISECOND
        return self._epochs[at_ns]

    def _filled(self, arm: Role, window: Window) -> dict[str, str]:
        return filled_all(self._queries, self._plan, arm, window.span_ns)


def filled_all(queries: Mapping[str, str], plan: PrometheusPlan, arm: Role, span_ns: int) -> dict[str, str]:
    """The queries of one arm and window."""
    labels = plan.labels.get(arm) or {"arm": arm.value}
    return {name: filled(query, arm, labels, span_ns) for name, query in queries.items()}


def token_of(plan: PrometheusPlan) -> str | None:
    """The bearer token that is to be sent; None: none is.

    Raises:
        InputError: its variable is not set, or holds what is no token, or the URL has a password already.
    """
    name = plan.token_env
    if name is None:
        return None
    token = os.environ.get(name, "").strip()
    if not token:
        raise InputError(f"real.prometheus.token_env is {name}, and no variable of that name is set: export {name}=…")
    if not _TOKEN.fullmatch(token):
        raise InputError(
            f"the variable {name} (real.prometheus.token_env) holds no token: that is one line of visible ASCII "
            "characters, without spaces and without `Bearer` (it is not shown here)"
        )
    if plan.url and urlsplit(plan.url).username is not None:
        raise InputError("real.prometheus.url has a user, and token_env is given too; one of them opens the door")
    return token
