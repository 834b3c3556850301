"""The built-in router as a `Gateway`: its process is started, watched, told what to do, and found again after a kill.

The process (`harness.routing`) lives in a session of its own and goes on routing when the harness is killed. If it dies
by itself it is started anew at the same port, with the routing and the replicas that it had.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import anyio

from harness.backends import processes, procfs
from harness.backends.noticing import Notices
from harness.backends.processes import Note
from harness.domain.event import ArmTotals
from harness.domain.model import Revision, Role
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND, WHOLE
from harness.errors import BackendError, RoutingError
from harness.protocols import ArmSample, Notice
from harness.realtime import Behind, Place
from harness.routing.admin import METRICS, NUMBER, TOKEN
from harness.routing.process import SOCKET, reachable
from harness.routing.settings import Settings
from harness.routing.words import behind_json, behind_of, checked, routing_json, routing_of
from harness.stats.histogram import Histogram

log = logging.getLogger("harness.backends.builtin")
NAME: Final = "router"
READY_S: Final = 60.0
"""How long it may take to listen: a machine that is held up takes its time."""
ANSWER_S: Final = 10.0
"""How long it may take to answer a change."""
AGAIN_S: Final = 1.0
"""From one try to start a router that has died to the next."""
UNPLACED: Final = "the router has not been told where to keep things: call place() first"


class BuiltinRouter:
    """Splits traffic by a reverse proxy of ours.

    Args:
        scenario: what it says of the router (`real.router`), and how long replicas may take to drain.
    """

    realtime = True

    def __init__(self, scenario: Scenario) -> None:
        self._plan = scenario.real.router
        self._drain_ns = scenario.real.local.drain_ns
        self._place: Place | None = None
        self._note: Note | None = None
        self._number = 0
        self._one_at_a_time = anyio.Lock()
        self._guard: asyncio.Task[None] | None = None
        self._behind: Behind = {}
        self._routing = Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0})
        self._metrics = ""
        self._notices = Notices()
        self.url = ""

    def place(self, where: Place) -> None:
        """Where it keeps its socket, its settings and its log."""
        self._place = where

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What models are called is nothing to this router."""

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; BackendError where it cannot."""
        await self._launch(self._plan.port, 0)
        self._watch()

    async def attach(self) -> Routing | None:
        """Take up the router of this place, where it lives; else a new one listens, at its port if that is free."""
        note = self._noted()
        if note is not None and processes.alive(note):
            if await self._adopted():
                extra = {**note.extra, "token": self._at.token}
                self._note = processes.amend(processes.take_over(note), extra=extra)
                self._watch()
                return self._routing
            await processes.stop(note)
        await self._launch_near(note)
        self._watch()
        return None

    async def stop(self) -> None:
        """Listen no more; what is in flight is answered first. One that another harness drives now is left to it."""
        note = self._note
        await self.leave()
        if note is None:
            return
        try:
            await self._change("POST", "/stop", None)
        except RoutingError:
            log.warning("the router at %s is driven by another harness now, and is left to it", self.url)
            return
        except BackendError as error:
            log.info("the router is ended by a signal: %s", error)
        grace_s = (self._plan.timeout_ns * (self._plan.retries + 1) + 2 * SECOND) / SECOND
        await processes.stop(note, grace_s)

    async def leave(self) -> None:
        """Watch over it no more; it goes on as it was told last."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.cancel()
            with suppress(asyncio.CancelledError):
                await guard
        self._note = None

    @property
    def _at(self) -> Place:
        if self._place is None:
            raise BackendError(UNPLACED)
        return self._place

    @property
    def _folder(self) -> Path:
        return self._at.folder / NAME

    async def _launch(self, port: int, metrics_port: int) -> None:
        """Start a process, and wait until it listens."""
        self._folder.mkdir(parents=True, exist_ok=True)
        plan = {name: getattr(self._plan, name) for name in self._plan.__slots__}
        plan |= {"port": port, "webhook": None, "command": ()}  # another router's, and a secret
        told = self._folder / "settings.json"
        Settings(str(self._folder), type(self._plan)(**plan), self._drain_ns, metrics_port).write(told)
        command = (sys.executable, "-m", "harness.routing.process", "--settings", str(told))
        note = processes.start(self._at, NAME, kind=NAME, command=command, extra={"token": self._at.token})
        try:
            self.url = await processes.said(note, "ready ", READY_S)
            self._metrics = (await self._ask("GET", "/health"))["metrics"]
            extra = {"token": self._at.token, "metrics": self._metrics}
            self._note = note = processes.amend(note, url=self.url, extra=extra)
            self._number = 0
            await self._numbered("POST", "/hold", None)
        except BaseException:
            self._note = None
            with anyio.CancelScope(shield=True):
                await processes.stop(note)
            raise

    async def _launch_near(self, before: Note | None) -> None:
        """Start one at the ports of the one before, or at any that are free."""
        url, metrics = (before.url, before.extra.get("metrics")) if before else (None, None)
        port = urlsplit(url).port if url else None
        if port and not self._plan.port:
            try:
                await self._launch(port, urlsplit(metrics).port or 0 if metrics else 0)
            except BackendError as error:
                log.warning("the router's port is taken: %s", error)
            else:
                return
        await self._launch(self._plan.port, 0)

    async def _adopted(self) -> bool:
        """Whether the process that was found answers, and takes us for its master."""
        try:
            about, told = await self._ask("GET", "/health"), await self._ask("GET", "/routing")
        except RoutingError:
            raise
        except BackendError as error:
            log.warning("the router that was left does not answer: %s", error)
            return False
        self.url, self._metrics = about["url"], about["metrics"]
        self._number = told["number"] if told["token"] == self._at.token else 0
        self._routing, self._behind = routing_of(told["routing"]), behind_of(told["behind"])
        await self._change("POST", "/hold", None)
        return True

    # --- a router that dies -------------------------------------------------------------------------------------------

    def _noted(self) -> Note | None:
        found = processes.notes(self._at.state, self._at.run)
        return next((note for note in found if note.name == NAME), None)

    def _is_mine(self, note: Note) -> bool:
        """Whether it is still the process of that note, and ours."""
        noted = self._noted()
        mine = (note.id, procfs.myself(), self._at.token)
        return noted is not None and (noted.id, noted.owner, noted.extra["token"]) == mine

    def _watch(self) -> None:
        self._guard = asyncio.get_running_loop().create_task(self._revive(), name="router/guard")

    async def _revive(self) -> None:
        """Start it anew whenever it dies, with what it had."""
        while (note := self._note) is not None:
            await processes.ended(note)
            if not self._is_mine(note):
                return  # another harness has taken it up since, or ended it
            log.warning("the router has died and is started anew; %s", processes.told(note))
            self._notices.say("router_died", f"the router at {self.url} has died, and is started anew")
            while not await self._started_anew(note):  # noqa: ASYNC110 - each look is a try
                await anyio.sleep(AGAIN_S)
            self._notices.say("router_back", f"the router is back at {self.url}, with the routing that it had")

    def notices(self) -> AsyncIterator[Notice]:
        """That it died, and that it is back."""
        return self._notices.stream()

    async def _started_anew(self, dead: Note) -> bool:
        """One that was started at the last try, and then gave no answer, is only told again."""
        async with self._one_at_a_time:
            last = self._note or dead
            try:
                if not processes.alive(last):
                    await self._launch_near(last)
                await self._numbered("PUT", "/behind", behind_json(self._behind))
                await self._numbered("PUT", "/routing", routing_json(self._routing))
            except BackendError as error:
                log.warning("the router could not be started anew: %s", error)
                self._note = self._note or dead
                return False
        return True

    # --- what it is told ----------------------------------------------------------------------------------------------

    async def apply(self, want: Routing) -> Weights:
        """Put a routing in force; answers with the weights that are.

        Raises:
            RoutingError: it cannot do that, or another harness drives it now.
            BackendError: it gives no answer.
        """
        checked(want)
        found = routing_of((await self._change("PUT", "/routing", routing_json(want)))["routing"])
        self._routing = want
        return found.weights

    async def point(self, behind: Behind) -> None:
        """Send requests to these replicas; returns when those left out are idle, or their time to drain is over."""
        behind = behind_of(behind_json(behind))
        await self._change("PUT", "/behind", behind_json(behind))
        self._behind = behind
        await self._ask("POST", "/drained", within_s=self._drain_ns / SECOND + ANSWER_S)

    async def adopt(self) -> None:
        """What was the candidate is stable from now on, with its replicas and all traffic."""
        told = await self._change("POST", "/adopt", None)
        self._routing, self._behind = routing_of(told["routing"]), behind_of(told["behind"])

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Where Prometheus finds what the router counts."""
        return {f"{self._metrics}{METRICS}": {"component": "router"}} if self._metrics else {}

    # --- copies -------------------------------------------------------------------------------------------------------

    async def copies(self, start_ns: int, stop_ns: int) -> ArmSample:
        """What the copies met in ``[start, stop)``."""
        told = await self._ask("GET", f"/copies?start={start_ns}&stop={stop_ns}")
        return _sample(told["window"], told["span_ns"])

    async def copied(self) -> ArmTotals:
        """What they met since they began."""
        told = await self._ask("GET", f"/copies?start=0&stop={2**62}")
        totals, whole = told["totals"], _sample(told["window"], told["span_ns"])
        failed = sum(totals["errors"].values())
        return ArmTotals(
            arrived=totals["begun"],
            succeeded=totals["ended"] - failed,
            failed=failed,
            in_flight=totals["begun"] - totals["ended"],
            errors=dict(sorted(totals["errors"].items())),
            bad=None,
            figures=whole.figures(),
            first_ns=totals["first_ns"] or None,
        )

    # --- the wire -----------------------------------------------------------------------------------------------------

    async def _change(self, method: str, path: str, body: Any) -> Any:
        """Ask for a change: one after the other, so that none overtakes another."""
        async with self._one_at_a_time:
            return await self._numbered(method, path, body)

    async def _numbered(self, method: str, path: str, body: Any) -> Any:
        self._number += 1
        return await self._ask(method, path, body, {TOKEN: str(self._at.token), NUMBER: str(self._number)})

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None,
        within_s: float = ANSWER_S,
    ) -> Any:  # fmt: skip
        """Ask over the router's socket; what it says, as JSON.

        Raises:
            RoutingError: it refused.
            BackendError: it gives no answer.
        """
        try:
            async with AsyncExitStack() as stack:
                file = stack.enter_context(reachable(self._folder / SOCKET))
                limit = aiohttp.ClientTimeout(total=within_s)
                session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(file), timeout=limit)
                await stack.enter_async_context(session)
                answer = await session.request(method, f"http://router{path}", json=body, headers=headers)
                said = await answer.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise BackendError(f"the router gives no answer: {str(error) or type(error).__name__}") from error
        if answer.status in (400, 409):
            raise RoutingError(f"the router refused: {said['error']}")
        if answer.status != 200:
            raise BackendError(f"the router answered {answer.status}: {said}")
        return said


def _sample(window: Mapping[str, Any], span_ns: int) -> ArmSample:
    compared = window["same"] + window["different"]
    return ArmSample(
        requests=window["ended"],
        failed=sum(window["errors"].values()),
        errors=dict(sorted(window["errors"].items())),
        latency=Histogram.from_dict(window["latency"]),
        arrivals=window["begun"],
        labelled=0,
        quality={},
        span_ns=span_ns,
        gauges={"agreement": window["same"] / compared} if compared else {},
    )
