"""One request to one replica after another, until one has begun to answer.

Predictions are idempotent, so a request that no replica has begun to answer may be asked again: the connection was
refused, or ended before the head of an answer (as a kept one does that the replica closed just then).
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
OURS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""What aiohttp would add of its own."""


class Unanswered(Exception):
    """No replica gave an answer; what the user is told instead."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        """no_replica, unreachable, broken, timeout."""


class Answer:
    """What a replica said."""

    __slots__ = ("arm", "body", "headers", "reason", "replica", "status")

    def __init__(self, arm: Role, replica: Replica, said: aiohttp.ClientResponse, body: bytes) -> None:
        self.arm, self.replica, self.body = arm, replica, body
        self.status, self.reason, self.headers = said.status, said.reason, said.headers


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
        wait_s = plan.timeout_ns / SECOND
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S, use_dns_cache=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=OURS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=wait_s / (plan.retries + 1), sock_read=wait_s),
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
            try:
                return await self._once(role, replica, method, path, headers, body)
            except (aiohttp.ClientConnectionError, _NotBegun) as error:
                tried = (*tried, replica)
                if len(tried) > self._plan.retries:
                    text = f"no replica of {role} could be reached: {_words(error)}"
                    raise Unanswered(BAD_GATEWAY, "unreachable", text) from None
                self._retried(role)
            finally:
                self._replicas.done(replica)

    async def _once(self, role: Role, replica: Replica, *asked: Any) -> Answer:
        method, path, headers, body = asked
        url = URL(replica.url + path, encoded=True)
        try:
            said = await self._session.request(method, url, headers=headers, data=body or None, allow_redirects=False)
        except aiohttp.ConnectionTimeoutError as error:
            replica.ailing_until_ns = self._now() + AILING_NS
            raise _NotBegun(error) from None
        except (aiohttp.ServerTimeoutError, TimeoutError):
            wait_s = self._plan.timeout_ns / SECOND
            text = f"a replica of {role} did not answer within {wait_s:g} s"
            raise Unanswered(LATE, "timeout", text) from None
        except aiohttp.ClientConnectorError as error:
            replica.ailing_until_ns = self._now() + AILING_NS
            raise _NotBegun(error) from None
        except aiohttp.ClientResponseError as error:
            raise Unanswered(BAD_GATEWAY, "broken", f"a replica of {role} spoke no HTTP: {_words(error)}") from None
        return await self._whole(role, replica, said)

    async def _whole(self, role: Role, replica: Replica, said: aiohttp.ClientResponse) -> Answer:
        """The answer with its body; from here on it has begun, and is not asked for again."""
        try:
            return Answer(role, replica, said, await said.read())
        except (aiohttp.ServerTimeoutError, TimeoutError):
            raise Unanswered(LATE, "timeout", f"a replica of {role} did not finish its answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            text = f"a replica of {role} broke off its answer: {_words(error)}"
            raise Unanswered(BAD_GATEWAY, "broken", text) from None
        except asyncio.CancelledError:
            said.close()
            raise


class _NotBegun(Exception):
    """A replica did not begin to answer, because of this."""


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
