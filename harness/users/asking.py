"""Asks on time, whatever the answers: each request is a task of its own, and nothing waits for another's."""

import asyncio
import errno
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import aiohttp

from harness.clock import now_ns, sleep_until
from harness.domain.units import SECOND
from harness.users.understanding import Reader, Said

T = TypeVar("T")

MOST_IN_FLIGHT: Final = 2_000
"""Requests under way at a time; one more is not sent."""
KEPT_OPEN_S: Final = 2.0
"""An idle connection is closed by us before a server would: none is closed while a request is on its way to it."""
GRACE_S: Final = 2.0
"""How long after the last time-out `stop` still waits for the loop to tell it."""
JSON: Final = {"Content-Type": "application/json"}


class Asker(Generic[T]):
    """Users' side of HTTP.

    Args:
        url: of the router; ``/predict`` is asked.
        timeout_ns: after which a user gives up, counted from the moment the request is sent.
        reader: reads the answers.
        done: is told of each request, as it was given to `ask`, what came of it.
        most: requests in flight.
    """

    def __init__(
        self,
        url: str,
        timeout_ns: int,
        reader: Reader,
        done: Callable[[T, Said], None],
        most: int = MOST_IN_FLIGHT,
    ) -> None:
        self._url = f"{url.rstrip('/')}/predict"
        self._timeout_s = timeout_ns / SECOND
        self._reader, self._done, self._most = reader, done, most
        self._session: aiohttp.ClientSession | None = None
        self._tasks: dict[asyncio.Task[None], T] = {}
        self.broken: BaseException | None = None
        """What ended a request, and should not have."""

    def open(self) -> None:
        """Be ready to ask."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_OPEN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    @property
    def in_flight(self) -> list[T]:
        """Requests whose outcome is not known yet."""
        return list(self._tasks.values())

    def ask(self, request: T, body: bytes, headers: Mapping[str, str]) -> None:
        """Send it now; the answer is told to `done`."""
        if self._session is None or len(self._tasks) >= self._most:
            self._done(request, Said("not_sent"))
            return
        task = asyncio.get_running_loop().create_task(self._ask(self._session, request, body, headers))
        self._tasks[task] = request
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken = self.broken or error

    async def _ask(self, session: aiohttp.ClientSession, request: T, body: bytes, headers: Mapping[str, str]) -> None:
        came: dict[str, str] = {}  # an answer that breaks off has told its arm already
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._answer(session, body, headers, came)
        except TimeoutError:
            said = Said("timeout", self._reader.arm(came))
        except aiohttp.InvalidURL:
            raise  # nobody can be asked there, ever
        except (aiohttp.ClientError, OSError) as error:
            said = Said(kind_of(error), self._reader.arm(came))
        except asyncio.CancelledError:  # `close` has waited for longer than its time-out
            self._tasks.pop(asyncio.current_task(), None)  # type: ignore[arg-type]  # it runs in a task
            self._done(request, Said("timeout", self._reader.arm(came)))
            raise
        # Not before its outcome is booked is it no longer in flight: nothing is counted twice, or not at all.
        self._tasks.pop(asyncio.current_task(), None)  # type: ignore[arg-type]  # it runs in a task
        self._done(request, said)

    async def _answer(
        self, session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str], came: dict[str, str]
    ) -> Said:
        async with session.post(self._url, data=body, headers={**JSON, **headers}, allow_redirects=False) as answer:
            came.update({name.lower(): value for name, value in answer.headers.items()})
            return self._reader.read(answer.status, came, await answer.read())

    async def close(self) -> None:
        """Wait for what is under way, each at most its time-out, and leave no connection open."""
        session, self._session = self._session, None
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._timeout_s + GRACE_S)
        finally:
            rest = list(self._tasks)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            if session is not None:
                await session.close()
                await asyncio.sleep(0)  # transports are closed in the loop's next turn


async def on_time(due_ns: int) -> None:
    """Wait until a request is due; late as it may be, others get a turn."""
    if due_ns > now_ns():
        await sleep_until(due_ns)
    else:
        await asyncio.sleep(0)


def kind_of(error: Exception) -> str:
    """What became of a request that got no whole answer: refused, reset, closed (also amid the body) or bad_answer."""
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "closed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "reset" if error.os_error.errno == errno.ECONNRESET else "refused"
    if isinstance(error, OSError):
        return "reset"
    return "bad_answer"
