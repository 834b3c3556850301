"""One request to one replica after another, until one has begun to answer.

A prediction changes nothing, so a request that no replica has begun to answer may be asked again, a POST too: the
connection was refused, or ended before the head of an answer was whole (as a kept one does that the replica closed just
then, or one of a replica that is killed). It is not asked again once a replica is late (504), for that one may be at
work on it still, nor once an answer has begun (502, or cut off where the user has a part of it). Of one request a user
so gets one answer at most. Servers for which a second try is one too many have ``real.router.retries: 0``.

Answers of known length up to `WHOLE_BYTES` are read before they are passed on: what breaks off then is told as 502.
Longer ones, and those of unknown length, are passed on as they come.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from harness.domain.model import Role
from harness.domain.real import RouterPlan
from harness.domain.units import SECOND
from harness.routing.replicas import AILING_NS, Replica, Replicas

BAD_GATEWAY, UNAVAILABLE, LATE = 502, 503, 504
KEPT_S: Final = 10.0
"""How long an idle connection to a replica is kept; servers of ours keep theirs longer."""
WHOLE_BYTES: Final = 1024 * 1024
OURS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""What aiohttp would add of its own."""
SWITCHING: Final = 101
BODILESS: Final = frozenset({204, 304})
BROKEN: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What an answer that is being read may end with."""


class Unanswered(Exception):
    """No replica gave an answer; what the user is told instead."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        """no_replica, unreachable, broken, timeout; of the request itself: bad_request, method, upgrade, too_large."""


class Answer:
    """What a replica said; with `rest`, what it is still saying: then its reader calls `Asker.end`."""

    __slots__ = ("arm", "body", "headers", "length", "reason", "replica", "rest", "status")

    def __init__(self, arm: Role, replica: Replica, said: aiohttp.ClientResponse, body: bytes | None) -> None:
        self.arm, self.replica, self.body = arm, replica, body or b""
        self.status, self.reason, self.headers = said.status, said.reason, said.headers
        self.length = said.content_length
        self.rest = said if body is None else None


class Asker:
    """Asks replicas, over connections that are kept.

    Args:
        plan: retries and time limits.
        replicas: who may be asked.
        now: the machine's monotonic clock, ns.
        retried: told each time that a request is asked again.
    """

    def __init__(
        self, plan: RouterPlan, replicas: Replicas, now: Callable[[], int], retried: Callable[[Role], None]
    ) -> None:
        self._plan, self._replicas, self._now, self._retried = plan, replicas, now, retried
        self._wait_s = wait_s = plan.timeout_ns / SECOND
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S, use_dns_cache=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=OURS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=wait_s / (plan.retries + 1)),
        )

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def ask(
        self, arm: Callable[[], Role], method: str, path: str, headers: CIMultiDict[str], body: bytes
    ) -> Answer:
        """Ask a replica of an arm.

        Args:
            arm: which arm; asked again where the first has no replica any more.
            method: as the user said.
            path: and query, as the user wrote them.
            headers: as the replica gets them.
            body: whole.

        Raises:
            Unanswered: nobody answered.
        """
        role = arm()
        tried: tuple[Replica, ...] = ()
        while True:
            replica = self._replicas.choose(role, self._now(), tried)
            if replica is None and tried:
                role = arm()
                replica = self._replicas.choose(role, self._now(), tried)
            if replica is None:
                raise Unanswered(UNAVAILABLE, "no_replica", f"no replica of {role} takes requests now")
            replica.outstanding += 1
            answer = None
            try:
                answer = await self._once(role, replica, method, path, headers, body)
            except (aiohttp.ClientConnectionError, _NotBegun) as error:
                tried = (*tried, replica)
                if len(tried) > self._plan.retries:
                    text = f"no replica of {role} could be reached: {_words(error)}"
                    raise Unanswered(BAD_GATEWAY, "unreachable", text) from None
                self._retried(role)
            else:
                return answer
            finally:
                if answer is None or answer.rest is None:
                    self._replicas.done(replica)

    async def more(self, rest: aiohttp.ClientResponse) -> bytes:
        """The next part of a long answer, nothing at its end; no longer than a replica may be waited for."""
        async with asyncio.timeout(self._wait_s):
            return await rest.content.readany()

    def end(self, answer: Answer) -> None:
        """What a replica is still saying is not wanted any more, or is over."""
        if answer.rest is not None:
            answer.rest.close()
            answer.rest = None
            self._replicas.done(answer.replica)

    async def _once(self, role: Role, replica: Replica, *asked: Any) -> Answer:
        """Ask this one, and wait until it has answered, or has begun a long answer; no longer than may be waited."""
        try:
            async with asyncio.timeout(self._wait_s):
                said = await self._head(role, replica, *asked)
                return await self._answer(role, replica, said, asked[0])
        except TimeoutError:
            text = f"a replica of {role} did not answer within {self._wait_s:g} s"
            raise Unanswered(LATE, "timeout", text) from None

    async def _head(self, role: Role, replica: Replica, *asked: Any) -> aiohttp.ClientResponse:
        method, path, headers, body = asked
        url = URL(replica.url + path, encoded=True)
        try:
            return await self._session.request(method, url, headers=headers, data=body or None, allow_redirects=False)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            replica.ailing_until_ns = self._now() + AILING_NS
            raise _NotBegun(error) from None
        except aiohttp.ClientResponseError as error:
            raise _broken(f"a replica of {role} spoke no HTTP: {_words(error)}") from None

    async def _answer(self, role: Role, replica: Replica, said: aiohttp.ClientResponse, method: str) -> Answer:
        """The answer, with its body where that is short; it has begun, and is not asked for again."""
        if said.status == SWITCHING:
            said.close()
            raise _broken(f"a replica of {role} switched to another protocol, which nobody asked for")
        if method != "HEAD" and said.status not in BODILESS:
            length = said.content_length
            if length is None or length > WHOLE_BYTES:
                return Answer(role, replica, said, None)
        try:
            return Answer(role, replica, said, await said.read())
        except TimeoutError:
            raise
        except BROKEN as error:
            raise _broken(f"a replica of {role} broke off its answer: {_words(error)}") from None
        except asyncio.CancelledError:
            said.close()
            raise


class _NotBegun(Exception):
    """A replica did not begin to answer, because of this."""


def _broken(text: str) -> Unanswered:
    return Unanswered(BAD_GATEWAY, "broken", text)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
