"""Small real servers to stand behind a gateway under check, and users who ask it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from harness.domain.model import Role
from harness.realtime import ARM_HEADER, COPY_HEADER, REPLICA_HEADER
from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound, url_of

PATIENCE_S: Final = 30.0
"""How long a user waits for an answer."""
DIE_S: Final = 0.1


class Replica:
    """One server of an arm, which counts what it is asked.

    Every answer names the arm and says what came: ``{"prediction": …, "arm": …, "method": …, "path": …, "size": …}``.
    """

    def __init__(self, arm: Role, says: str = "Yes") -> None:
        self.arm, self.says = arm, says
        self.asked, self.copies, self.in_flight = 0, 0, 0
        self.status = 200
        self.takes_s = 0.0
        self.goes_on = asyncio.Event()
        """While it is clear, no request is answered."""
        self.goes_on.set()
        self.seen: list[Mapping[str, str]] = []
        """Headers of the requests that came with a body of more than 1,000 bytes."""
        self.bodies: list[bytes] = []
        """Of all other requests that have one."""
        self._stack = AsyncExitStack()

    async def start(self) -> str:
        """Listen; its URL."""
        server = web.Server(self._answer)
        runner = web.ServerRunner(server, access_log=None, shutdown_timeout=DIE_S)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        listening = bound(Place())
        await web.SockSite(runner, listening).start()
        self._stack.push_async_callback(stop_accepting, [listening])
        self.url = url_of(listening)
        return self.url

    async def die(self) -> None:
        """Refuse connections from now on, and break off what it is answering."""
        await self._stack.aclose()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        self.in_flight += 1
        try:
            return await self._answered(request, body)
        finally:
            self.in_flight -= 1

    async def _answered(self, request: web.BaseRequest, body: bytes) -> web.Response:
        self.asked += 1
        self.copies += COPY_HEADER in request.headers
        if len(body) > 1000:
            self.seen.append({name: ", ".join(request.headers.getall(name)) for name in request.headers})
        elif body:
            self.bodies.append(body)
        await asyncio.sleep(self.takes_s)
        await self.goes_on.wait()
        said = {
            "prediction": self.says, "arm": self.arm.value, "method": request.method, "path": request.raw_path,
            "size": len(body),
        }  # fmt: skip
        return web.json_response(said, status=self.status)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a user got."""

    status: int
    """0: nothing came, and ``fault`` says why."""
    arm: str | None
    """As the gateway says; None: it answered by itself."""
    replica: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def good(self) -> bool:
        """A replica answered, and the gateway says which arm it is of."""
        return self.status == 200 and self.arm is not None


class Users:
    """Ask a gateway."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self._session = url, session

    async def ask(
        self,
        path: str = "/predict",
        body: bytes = b"{}",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; what came of it, whatever that is."""
        url = f"{self.url}{path}"
        try:
            async with self._session.request(method, url, data=body, headers=headers) as answer:
                text, of = await answer.read(), answer.headers
                return Answer(answer.status, of.get(ARM_HEADER), of.get(REPLICA_HEADER), _said(text))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Answer(0, None, fault=str(error) or type(error).__name__)

    async def many(self, count: int, at_once: int = 8, headers: Mapping[str, str] | None = None) -> list[Answer]:
        """So many requests, a few at once."""
        left = iter(range(count))
        found: list[Answer] = []

        async def one_after_the_other() -> None:
            for _ in left:
                found.append(await self.ask(headers=headers))  # noqa: PERF401 - awaited one by one

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(one_after_the_other())
        return found

    @asynccontextmanager
    async def busy(self, at_once: int = 8) -> AsyncIterator[list[Answer]]:
        """Users who ask without a pause as long as the block lasts; all their answers are there after it."""
        found: list[Answer] = []
        over = asyncio.Event()

        async def without_a_pause() -> None:
            while not over.is_set():
                found.append(await self.ask())

        asking = [asyncio.create_task(without_a_pause()) for _ in range(at_once)]
        try:
            yield found
        finally:
            over.set()
            await asyncio.gather(*asking)


def _said(text: bytes) -> Mapping[str, Any]:
    """What a replica says; what else comes is the gateway's own."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@asynccontextmanager
async def users_of(url: str) -> AsyncIterator[Users]:
    """Users of the gateway at that address."""
    limit = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limit) as session:
        yield Users(url, session)
