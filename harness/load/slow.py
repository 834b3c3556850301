"""The other client: aiohttp, for what the fast one leaves out (proxies, cookies, compressed answers).

It keeps the same promise: the same limits, latency from the due time, and the same names for failures as far as aiohttp
tells them apart (a head that is not complete in time is a `timeout`, excess bytes are a `bad_answer`). It is some ten
times slower, and its times hold what aiohttp itself takes.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

from harness.domain.load import Limits, Transport
from harness.load.address import Address, kind_of
from harness.load.exchange import Exchange
from harness.load.fast import SLACK_NS, Done

_CHUNK: Final = 65_536
_FRAMING: Final = frozenset({"content-length", "host", "transfer-encoding"})


class AiohttpClient:
    """Asks one target; as many requests at once as there may be connections, and the others wait."""

    def __init__(
        self,
        url: str,
        address: Address,
        transport: Transport,
        limits: Limits,
        done: Done,
        now: Callable[[], int],
        *,
        most: int,
        keep_answers: bool = False,
    ) -> None:
        self.counts = dict.fromkeys(("opened", "failed", "stale", "unasked", "most"), 0)
        self._url, self._limits, self._done, self._now = url, limits, done, now
        self._transport = transport
        self._keep_answers = keep_answers
        self._most = most
        self._waiting: deque[Exchange] = deque()
        self._running: dict[asyncio.Task[None], Exchange] = {}
        self._end: tuple[str, str] | None = None
        self._trip_ns = 0
        self._on_kept: set[int] = set()
        """Requests that went out on a connection that had served before."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(self._opening)
        trace.on_connection_create_end.append(self._opened)
        trace.on_connection_reuseconn.append(self._reused)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._most,
                ssl=address.tls if address.tls is not None else True,
                force_close=not transport.keep_alive,
            ),
            auto_decompress=transport.compressed,
            skip_auto_headers=() if transport.compressed else ("Accept-Encoding",),
            cookie_jar=aiohttp.CookieJar(unsafe=True) if transport.cookies else aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout_ns / 1e9),
            trace_configs=[trace],
        )

    async def _opening(self, _: Any, context: Any, __: Any) -> None:
        context.began_ns = self._now()

    async def _opened(self, _: Any, context: Any, __: Any) -> None:
        passed_ns = self._now() - context.began_ns
        self._trip_ns = min(self._trip_ns, passed_ns) if self._trip_ns else passed_ns
        self.counts["opened"] += 1
        self.counts["most"] = max(self.counts["most"], len(self._running))

    async def _reused(self, _: Any, context: Any, __: Any) -> None:
        self._on_kept.add(context.trace_request_ctx.number)

    def send(self, exchange: Exchange) -> None:
        """Send it now, or when another has come to its end."""
        self._waiting.append(exchange)
        self._start_more()

    def _start_more(self) -> None:
        while self._waiting and len(self._running) < self._most and self._end is None:
            exchange = self._waiting.popleft()
            exchange.sent_ns = self._now()
            task = asyncio.get_running_loop().create_task(self._ask(exchange))
            self._running[task] = exchange
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        exchange = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        if task.cancelled():
            exchange.fault, exchange.told = self._end or ("timeout", "cancelled")
        exchange.done_ns = exchange.done_ns or self._now()
        self._done(exchange)
        self._start_more()

    async def _ask(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(self._limits.timeout_ns / 1e9):
                while not await self._sent(exchange):
                    self.counts["stale"] += 1
                    exchange.retried = True
        except aiohttp.ClientConnectorError as error:
            self.counts["failed"] += 1
            exchange.fault, exchange.told = kind_of(_cause(error))
        except aiohttp.ConnectionTimeoutError:
            self.counts["failed"] += 1
            exchange.fault, exchange.told = "connect_timeout", "no connection within --connect-timeout"
        except TimeoutError:
            most = self._limits.timeout_ns / 1e9
            where = "timeout_in_body" if exchange.status else "timeout"
            exchange.fault, exchange.told = where, f"no answer within {most:g} s"
        except (aiohttp.ClientError, OSError) as error:
            exchange.fault, exchange.told = _kind(error, headed=bool(exchange.status))
        self._on_kept.discard(exchange.number)
        exchange.done_ns = self._now()

    async def _sent(self, exchange: Exchange) -> bool:
        """Ask; False where the connection was closed while the request was on its way, and it may go out anew."""
        began_ns = self._now()
        try:
            await self._once(exchange)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError) as error:
            if isinstance(error, aiohttp.ClientConnectorError) or exchange.number not in self._on_kept:
                raise
            if exchange.status or self._now() - began_ns > self._trip_ns + SLACK_NS:
                raise
            self._on_kept.discard(exchange.number)
            return False
        return True

    async def _once(self, exchange: Exchange) -> None:
        headers, body = unpacked(exchange.wire)
        async with self._session.request(
            self._transport.method,
            self._url,
            data=body or None,
            headers=headers,
            proxy=self._transport.proxy,
            allow_redirects=False,
            trace_request_ctx=exchange,
        ) as answer:
            await self._read(exchange, answer)

    async def _read(self, exchange: Exchange, answer: aiohttp.ClientResponse) -> None:
        exchange.first_ns = self._now()
        exchange.status = answer.status
        exchange.content_type = answer.headers.get("Content-Type", "")
        exchange.location = answer.headers.get("Location", "")
        stream, last, size, parts = self._transport.stream, 0, 0, []
        exchange.gaps = [] if stream else None
        async for part in answer.content.iter_any() if stream else answer.content.iter_chunked(_CHUNK):
            size += len(part)
            if size > self._limits.max_body:
                exchange.fault, exchange.told = "body_too_large", f"{size} bytes came, and more were to come"
                answer.close()
                return
            if self._keep_answers or answer.status >= 300:
                parts.append(part)
            if exchange.gaps is not None:
                now = self._now()
                if not last:
                    exchange.first_ns = now
                else:
                    exchange.gaps.append(now - last)
                last = now
        if parts:
            exchange.answer = b"".join(parts)

    @property
    def pending(self) -> int:
        """Requests that have not come to their end."""
        return len(self._waiting) + len(self._running)

    def sweep(self) -> None:
        """Give up what has waited for too long; those that were sent have time-outs of their own."""
        now, most = self._now(), self._limits.timeout_ns
        while self._waiting and now - self._waiting[0].taken_ns > most:
            self._drop(
                self._waiting.popleft(), "no_connection", f"{self._most} requests were in flight for {most / 1e9:g} s"
            )

    def _drop(self, exchange: Exchange, fault: str, told: str) -> None:
        exchange.fault, exchange.told, exchange.done_ns = fault, told, self._now()
        self._done(exchange)

    def stop(self, unsent: str, sent: str) -> None:
        """Give up all that has not come to its end, under these names."""
        self._end = (sent, "the test stopped")
        while self._waiting:
            self._drop(self._waiting.popleft(), unsent, "the test stopped")
        for task in self._running:
            task.cancel()

    async def close(self) -> None:
        """Wait until nothing is left; after `stop`."""
        self.stop("stopped", "in_flight")
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._session.close()


def unpacked(wire: bytes) -> tuple[Mapping[str, str], bytes]:
    """The headers and the body of a request that was prepared as bytes; aiohttp makes its own framing."""
    head, _, body = wire.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(": ") for line in lines)
    return {name: value for name, _, value in pairs if name.lower() not in _FRAMING}, body


def _cause(error: aiohttp.ClientConnectorError) -> BaseException:
    """What lies behind aiohttp's own error."""
    behind = error.__cause__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
        return found if isinstance(found, ssl.SSLError) else ssl.SSLCertVerificationError(str(found))
    return behind if isinstance(behind, ssl.SSLError) else error.os_error


def _kind(error: Exception, *, headed: bool) -> tuple[str, str]:
    told = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientPayloadError):
        return ("reset_in_body" if isinstance(error.__cause__, ConnectionResetError) else "closed_in_body"), told
    if isinstance(error, ConnectionResetError):
        return ("reset_in_body" if headed else "reset"), told
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed", "closed by the target"
    if isinstance(error, aiohttp.ClientResponseError):
        return "bad_answer", told
    if isinstance(error, aiohttp.ClientOSError):
        return kind_of(OSError(error.errno, told))
    return "bad_answer", told
