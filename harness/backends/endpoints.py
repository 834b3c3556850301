"""Endpoints that exist already (``serving: http``): the user's own servers, watched and pointed at, never started.

A count of replicas that is wanted says how many of an arm's URLs may get traffic: the first that are ready. A count
above the number of URLs means all of them, and is told as reached when all of them are ready, for the machines that
drive rollouts compare counts.

Each endpoint is asked every so often (``real.local.probe_every``) whether it is ready. One that says no, or refuses the
connection, gets no more traffic; one that does not answer in time is asked once more before that. Where no endpoint of
an arm is ready the router keeps those that it had: to send requests nowhere would help nobody.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio

from harness.clock import is_virtual, now_ns
from harness.domain.model import ARMS, SERVING, Revision, Role, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.errors import ServingError
from harness.protocols import Notice, Readiness
from harness.realtime import Place, Point

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("harness.backends.endpoints")
READY_WITHIN_S: Final = 30.0
"""How long `start` waits for endpoints that should be ready already."""
LOOK_S: Final = 2.0
"""How long an endpoint may take to say whether it is ready."""
LATE: Final = 2
"""Looks in a row that an endpoint may not answer in time before it counts as gone."""
WRONG_INPUT: Final = (400, 415, 422)
"""A server that says so of a request has read it: it is alive."""
REMEMBERED: Final = 1000
"""Notices that nobody has read."""


class EndpointFleet:
    """A fleet of endpoints that are somebody else's to start and stop.

    Args:
        scenario: their URLs (``real.http``), how often they are asked, and how long an answer may take.
    """

    realtime = True

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._plan = scenario, scenario.real.http
        self._urls: dict[Role, tuple[str, ...]] = {role: self._plan.urls.get(role, ()) for role in SERVING}
        self._wanted: dict[Role, int] = {}
        self._models: Mapping[Role, TrainedModel] = {}
        self._revisions: Mapping[Role, Revision] = {}
        self._up: set[str] = set()
        self._late: dict[str, int] = {}
        self._pointed: dict[Role, tuple[str, ...]] = dict.fromkeys(SERVING, ())
        self._point: Point | None = None
        self._session: aiohttp.ClientSession | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._notices: asyncio.Queue[Notice | None] = asyncio.Queue(REMEMBERED)
        self._probes = 0

    def place(self, where: Place) -> None:
        """Nothing of theirs is kept here."""

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: labels of their metrics."""
        self._revisions = revisions

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self, models: Mapping[Role, TrainedModel], stable: int, point: Point) -> None:
        """Wait until so many endpoints of stable are ready, and have the router pointed at them.

        Raises:
            ServingError: they were not ready within 30 s, or there are none.
        """
        await self.attach(models, {Role.STABLE: stable}, point)
        deadline_ns = now_ns() + round(READY_WITHIN_S * SECOND)
        while (state := (await self.observe())[Role.STABLE]).ready < state.wanted:
            if now_ns() >= deadline_ns:
                lacking = ", ".join(url for url in self._urls[Role.STABLE] if url not in self._up)
                raise ServingError(f"endpoints of stable are not ready within {READY_WITHIN_S:g} s: {lacking}")
            await anyio.sleep(0.1)

    async def attach(self, models: Mapping[Role, TrainedModel], wanted: Mapping[Role, int], point: Point) -> None:
        """Point the router at those that are ready now; those that are not follow when they are."""
        if is_virtual():
            raise ServingError("endpoints are real, and are not asked on virtual time; run with `--clock real`")
        if not self._urls[Role.STABLE]:
            raise ServingError("no endpoint of stable is known: real.http.stable lists their URLs")
        import aiohttp

        self._models, self._point = models, point
        self._session = aiohttp.ClientSession()
        await self.apply(wanted)
        await self._look()
        await self._follow()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="endpoints/keeper")

    async def replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        """Another candidate; possible only where the models are the same as before: then none of it is wanted now.

        Raises:
            ServingError: as `check_replace`. A router that has exchanged its arms already is pointed anew.
        """
        try:
            self.check_replace(models, adopt=adopt)
        except ServingError:
            if adopt:
                self._pointed = dict.fromkeys(SERVING, ())
            raise
        finally:
            self._changed.set()
        self._models = models
        self._wanted[Role.CANDIDATE] = 0

    def check_replace(self, models: Mapping[Role, TrainedModel], *, adopt: bool) -> None:
        """To be asked before a router is told to adopt: what the endpoints run is not ours to change.

        Raises:
            ServingError: they would have to run something else; says where.
        """
        if not adopt and all(_same(self._models.get(role), models.get(role)) for role in ARMS):
            return
        where = ", ".join(self._urls[Role.STABLE if adopt else Role.CANDIDATE]) or "no endpoint"
        raise ServingError(
            f"another candidate would have to run at {where}, and harness does not deploy to endpoints that are yours "
            f"(`serving: http`): bring it up there, and start another run"
        )

    async def stop(self) -> None:
        """Ask no more; the endpoints stay as they are."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
            self._say(None)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def leave(self) -> None:
        """As `stop`: nothing of them is ours."""
        await self.stop()

    # --- as Serving ---------------------------------------------------------------------------------------------------

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        """Want so many endpoints of each arm to get traffic; more than there are means all.

        Raises:
            ServingError: a count is below 0, or an arm has none at all.
        """
        if any(count < 0 for count in replicas.values()):
            raise ServingError(f"replicas {dict(replicas)}: a count cannot be below 0")
        for role, count in replicas.items():
            if count and not self._urls.get(role):
                raise ServingError(f"no endpoint of {role} is known: real.http lists those of stable and candidate")
        self._wanted |= replicas
        self._changed.set()

    async def observe(self) -> Mapping[Role, Readiness]:
        """Ask all of them now; an endpoint is ready once the router is pointed at it too."""
        await self._look()
        if any(set(urls) - set(self._pointed[role]) for role, urls in self._target().items()):
            self._changed.set()
        return {role: self._readiness(role) for role in self._wanted}

    async def probe(self, role: Role) -> bool:
        """Ask one of the arm for a prediction, each in its turn.

        What is asked is a row without values. An answer counts, and so does a refusal as wrong input (400, 415, 422),
        for only a server that works says that. Whoever is not let in (401, 403), or finds no such path (404), is told
        so as users would be: that is no answer.
        """
        urls = [url for url in self._pointed.get(role, ()) if url in self._up]
        if not urls or self._session is None or not self._wanted.get(role):
            return False
        self._probes += 1
        url = urls[self._probes % len(urls)]
        model = self._models.get(role)
        row = dict.fromkeys(model.features if model else ())
        within_s = self._scenario.service[role.model].timeout_ns / SECOND
        status = await self._status("POST", f"{url}/predict", within_s, row)
        return status is not None and (200 <= status < 300 or status in WRONG_INPUT)

    async def notices(self) -> AsyncIterator[Notice]:
        """Endpoints that went away or came back."""
        while (notice := await self._notices.get()) is not None:
            yield notice

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """The endpoints' own metrics, where they have any at /metrics."""
        return {f"{url}/metrics": self._labels(role) for role, urls in self._urls.items() for url in urls}

    def _labels(self, role: Role) -> Mapping[str, str]:
        revision = self._revisions.get(role.model)
        return {"arm": role.value, **({"revision": str(revision)} if revision else {})}

    def _readiness(self, role: Role) -> Readiness:
        wanted, there = self._wanted[role], len(self._urls[role])
        ready = min(wanted, sum(url in self._up for url in self._pointed[role]))
        return Readiness(wanted, wanted if ready >= there else ready)

    # --- who is ready, and who gets traffic ---------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Look every so often, and have the router follow; at once where something else is wanted."""
        every_s = self._scenario.real.local.probe_every_ns / SECOND
        while True:
            with anyio.move_on_after(every_s):
                await self._changed.wait()
            self._changed.clear()
            try:
                await self._look()
                await self._follow()
            except Exception as error:  # noqa: BLE001 - a router may raise anything, and is asked again
                log.warning("the router could not be pointed at the endpoints that are ready: %s", error)
                await anyio.sleep(every_s)
                self._changed.set()

    async def _follow(self) -> None:
        """Point the router: first at those that have come as well, then without those that are to go."""
        if self._point is None:
            return
        target = self._target()
        more = {role: _joined(self._pointed[role], target[role]) for role in SERVING}
        for behind in (more, target):
            if behind != self._pointed:
                await self._point(behind)
                self._pointed = dict(behind)

    def _target(self) -> dict[Role, tuple[str, ...]]:
        """The first of each arm that are ready, as many as are wanted; the same as before where none is."""
        found = {}
        for role in SERVING:
            ready = [url for url in self._urls[role] if url in self._up][: self._wanted.get(role, 0)]
            kept = self._pointed[role] if self._wanted.get(role, 0) else ()
            found[role] = tuple(ready) or kept
        return found

    async def _look(self) -> None:
        """Ask each whether it is ready, all at a time."""
        async with anyio.create_task_group() as tasks:
            for role, urls in self._urls.items():
                for url in urls:
                    tasks.start_soon(self._look_at, role, url)

    async def _look_at(self, role: Role, url: str) -> None:
        status = await self._status("GET", f"{url}{self._plan.ready_path}", LOOK_S)
        self._late[url] = self._late.get(url, 0) + 1 if status is None else 0
        if status == 200 and url not in self._up:
            self._up.add(url)
            self._say(Notice("replica_ready", (role,), f"{url} is ready"))
        elif url in self._up and status != 200 and (status is not None or self._late[url] >= LATE):
            self._up.discard(url)
            told = "does not answer in time" if status is None else f"says {status}" if status else "cannot be reached"
            self._say(Notice("replica_crashed", (role,), f"{url} {told}"))

    async def _status(self, method: str, url: str, within_s: float, body: Any = None) -> int | None:
        """The status of an answer; 0 where nobody can be reached there, None where none came in time."""
        import aiohttp

        if self._session is None:
            return 0
        limit = aiohttp.ClientTimeout(total=within_s)
        try:
            async with self._session.request(
                method, url, json=body, timeout=limit, allow_redirects=False, headers={"connection": "close"}
            ) as answer:
                return answer.status
        except TimeoutError:
            return None
        except (aiohttp.ClientError, OSError):
            return 0

    def _say(self, notice: Notice | None) -> None:
        if self._notices.full():
            self._notices.get_nowait()  # the oldest: nobody reads them
        self._notices.put_nowait(notice)


def _same(before: TrainedModel | None, after: TrainedModel | None) -> bool:
    return (before and before.artifact_digest) == (after and after.artifact_digest)


def _joined(first: tuple[str, ...], then: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *then)))
