"""The fast client: pooled connections, prepared bytes, and HTTP/1.1 answers read by httptools.

Most answers of an endpoint have a head that was seen before, byte for byte, and come in one piece. What httptools made
of such a head is remembered, so that the next one needs a look-up only. Any other answer (in pieces, chunked, ended by
the connection's close, with a head that is new) is parsed.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from harness.domain.load import Limits
from harness.load.address import Address, kind_of
from harness.load.exchange import Exchange
from harness.load.reading import END_OF_HEAD, Head, Reading

SLACK_NS: Final = 5_000_000
"""What a round trip may take beyond what opening a connection took: both machines have other things to do."""
MOST_HEADS: Final = 512
"""Heads that are remembered at once; a Date header makes a new one each second."""

Whole = tuple[bytes, int, Head]
"""Of an answer that came in one piece: the bytes of its head, its length in all, and what its head says."""

Done = Callable[[Exchange], None]
"""Told each exchange when it has come to its end."""


class FastClient:
    """Asks one address; each connection has one request at a time.

    A request goes out on the connection that was used last, if one is idle. Else it waits for the first that comes
    free, while new ones are opened as long as there is room.
    """

    def __init__(
        self,
        address: Address,
        limits: Limits,
        done: Done,
        now: Callable[[], int],
        *,
        most: int,
        keep_answers: bool = False,
        stream: bool = False,
        keep_alive: bool = True,
        bodiless: bool = False,
    ) -> None:
        """Take what does not change from request to request; must be called where the loop runs.

        Args:
            address: where connections go.
            limits: time-outs and the size of answers.
            done: told each exchange at its end, from the loop.
            now: reads the loop's time, ns.
            most: connections at once.
            keep_answers: bodies are kept, for checks.
            stream: the times between an answer's pieces are kept.
            keep_alive: else each connection serves one request.
            bodiless: answers have no body, whatever their heads say (HEAD).
        """
        self.address = address
        self.limits = limits
        self.done = done
        self.now = now
        self.keep_answers = keep_answers
        self.stream = stream
        self.keep_alive = keep_alive
        self.bodiless = bodiless
        self.trip_ns = 0
        """How long the quickest connection took to open: a round trip at least."""
        self.counts = dict.fromkeys(("opened", "failed", "stale", "unasked", "most"), 0)
        self.heads: dict[bytes, Head] = {}
        self.latest: Whole | None = None
        """Of the last answer: most are like the one before, which takes neither a copy of the head nor its hash."""
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._waiting: deque[Exchange] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- sending ---

    def send(self, exchange: Exchange) -> None:
        """Send it now, or as soon as a connection is free."""
        if self._idle:
            self._idle.pop().begin(exchange)
        else:
            self._waiting.append(exchange)
            self._open_more()

    def _open_more(self) -> None:
        opening = len(self._opening)
        if opening < len(self._waiting) and len(self._all) + opening < self._most and not self._closed:
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _open(self) -> None:
        address, began_ns = self.address, self.now()
        try:
            async with asyncio.timeout(self.limits.connect_timeout_ns / 1e9):
                await self._loop.create_connection(
                    lambda: _Connection(self),
                    address.host,
                    address.port,
                    ssl=address.tls,
                    server_hostname=address.name if address.tls else None,
                )
            passed_ns = self.now() - began_ns
            self.trip_ns = min(self.trip_ns, passed_ns) if self.trip_ns else passed_ns
        except Exception as error:  # noqa: BLE001 - whatever it is, a request waits for this connection and must not hang
            self.counts["failed"] += 1
            if self._waiting:
                exchange = self._waiting.popleft()
                exchange.sent_ns = exchange.sent_ns or exchange.taken_ns  # it was tried, which is all a user can do
                self.fail(exchange, *kind_of(error))

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        self._open_more()

    # --- what connections tell ---

    def connected(self, connection: "_Connection") -> None:
        """A connection is open."""
        self._all.add(connection)
        self.counts["opened"] += 1
        self.counts["most"] = max(self.counts["most"], len(self._all))
        self.free(connection)

    def free(self, connection: "_Connection") -> None:
        """A connection can take the next request."""
        if self._waiting:
            connection.begin(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def remembered(self, data: bytes) -> Whole | None:
        """What is known of an answer that came in one piece, where its head was seen before; it is the latest then."""
        text = data[: data.find(END_OF_HEAD) + 4]
        head = self.heads.get(text)
        if head is None or len(data) != len(text) + head[1]:
            return None
        self.latest = text, len(data), head
        return self.latest

    def remember(self, text: bytes, head: Head) -> None:
        """Keep what a head says, for the next answer that has the same one."""
        if len(self.heads) >= MOST_HEADS:
            self.heads.clear()
        status, length, keep, content_type, location = head
        self.heads[text] = (status, length, keep and self.keep_alive, content_type, location)

    def lost(self, connection: "_Connection") -> None:
        """A connection is no more."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()

    def closed_before(self, exchange: Exchange) -> bool:
        """Whether the connection was closed while the request was on its way, as far as can be told.

        Then the close comes within a round trip; what comes later may be the target's answer to the request.
        """
        return not exchange.retried and self.now() - exchange.sent_ns <= self.trip_ns + SLACK_NS

    def again(self, exchange: Exchange) -> None:
        """Send it anew, before all others, on another connection: predictions are safe to repeat (RFC 9110, 9.2.2)."""
        self.counts["stale"] += 1
        exchange.retried = True
        self._waiting.appendleft(exchange)
        self._open_more()

    def fail(self, exchange: Exchange, fault: str, told: str) -> None:
        """It has failed, now."""
        exchange.fault, exchange.told = fault, told
        exchange.done_ns = self.now()
        self.done(exchange)

    # --- limits ---

    @property
    def pending(self) -> int:
        """Requests that have not come to their end."""
        return len(self._waiting) + sum(connection.exchange is not None for connection in self._all)

    def sweep(self) -> None:
        """Give up what has waited for too long; to be called often, compared with the time-out."""
        now, most = self.now(), self.limits.timeout_ns
        waiting = self._waiting
        while waiting and now - waiting[0].taken_ns > most:
            exchange = waiting.popleft()
            if len(self._all) < self._most:  # there was room for another connection, but none was made
                exchange.sent_ns = exchange.taken_ns
                self.fail(exchange, "connect_timeout", f"no connection within {most / 1e9:g} s")
            else:
                self.fail(exchange, "no_connection", f"all {self._most} connections were busy for {most / 1e9:g} s")
        for connection in [each for each in self._all if each.exchange is not None]:
            if connection.exchange is not None and now - connection.exchange.sent_ns > most:
                connection.give_up("timeout", f"no answer within {most / 1e9:g} s")

    def stop(self, unsent: str, sent: str) -> None:
        """Give up all that has not come to its end, under these names, and close every connection."""
        self._closed = True
        while self._waiting:
            self.fail(self._waiting.popleft(), unsent, "the test stopped")
        for connection in list(self._all):
            if connection.exchange is not None:
                connection.cut(sent, "the test stopped")
            connection.close()

    async def close(self) -> None:
        """Wait until nothing is left; after `stop`."""
        self.stop("stopped", "in_flight")
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._all):
            connection.abort()
        self._all.clear()
        self._idle.clear()


class _Connection(asyncio.Protocol):
    """One connection: it sends a request, reads the answer, and is free for the next."""

    __slots__ = (
        "_client",
        "_fresh",
        "_now",
        "_plain",
        "_reading",
        "_transport",
        "_write",
        "exchange",
        "used",
    )

    def __init__(self, client: FastClient) -> None:
        self._client = client
        self._now = client.now
        self._plain = not client.stream
        self._transport: Any = None
        self._write: Any = None
        self._reading: Reading | None = None
        self._fresh = True
        """No byte of the present answer has come."""
        self.exchange: Exchange | None = None
        self.used = 0
        """Answers that came on it."""

    def connection_made(self, transport: Any) -> None:
        """It is open."""
        self._transport = transport
        self._write = transport.write
        self._client.connected(self)

    def begin(self, exchange: Exchange) -> None:
        """Send a request."""
        self.exchange = exchange
        self._fresh = True
        exchange.sent_ns = self._now()
        self._write(exchange.wire)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        exchange = self.exchange
        if exchange is None:
            # Nobody asked: the answer before was longer than it said, or the target talks out of turn.
            self._client.counts["unasked"] += 1
            self._leave()
            return
        if self._fresh and self._plain:
            client = self._client
            like = client.latest
            if like is None or len(data) != like[1] or not data.startswith(like[0]):
                like = client.remembered(data)
            if like is not None:
                text, _, head = like
                exchange.done_ns = exchange.first_ns = self._now()
                exchange.status, _, keep, exchange.content_type, exchange.location = head
                if client.keep_answers or head[0] >= 300:
                    exchange.answer = data[len(text) :]
                self.exchange = None
                self.used += 1
                if keep:
                    client.free(self)
                else:
                    self._leave()
                client.done(exchange)
                return
        self._parse(exchange, data)

    # --- answers that need reading ---

    def _parse(self, exchange: Exchange, data: bytes) -> None:
        now = self._now()
        if self._fresh:
            self._fresh = False
            client = self._client
            self._reading = Reading(
                data, max_body=client.limits.max_body, keep=client.keep_answers, bodiless=client.bodiless
            )
            exchange.first_ns = now
            if self._client.stream:
                exchange.gaps = []
        reading = self._reading
        if reading is None:  # cannot be: what is not fresh has been begun above
            raise RuntimeError("an answer goes on that never began")
        reading.feed(data, now)
        if reading.fault:
            self.give_up(*reading.fault)
        elif reading.complete:
            self._answered(exchange, reading, now)

    def _answered(self, exchange: Exchange, reading: Reading, now: int) -> None:
        exchange.done_ns = now
        exchange.status, exchange.content_type, exchange.location = (
            reading.status,
            reading.content_type,
            reading.location,
        )
        if reading.body:
            exchange.answer = b"".join(reading.body)
        if (known := reading.head()) is not None:
            self._client.remember(*known)
        if self._client.stream:
            exchange.gaps = reading.gaps
            exchange.first_ns = reading.first_ns or exchange.first_ns
        self.exchange, self._reading = None, None
        self.used += 1
        if reading.keep and self._client.keep_alive:
            self._client.free(self)
        else:
            self._leave()
        self._client.done(exchange)

    def eof_received(self) -> bool:
        """The target sends no more; an answer without a length ends here."""
        exchange, reading = self.exchange, self._reading
        if exchange is not None and reading is not None and not self._fresh and reading.until_close:
            reading.keep = False
            self._answered(exchange, reading, self._now())
        else:
            self._client.lost(self)
        return False  # close our side too

    def connection_lost(self, error: Exception | None) -> None:
        """It is no more; what was asked on it fails, or is asked anew."""
        exchange, reading = self.exchange, self._reading
        self.exchange, self._reading = None, None
        self._client.lost(self)
        if exchange is None:
            return
        broken = isinstance(error, OSError)
        kind, told = ("reset", str(error) or "reset by the target") if broken else ("closed", "closed by the target")
        if isinstance(error, ssl.SSLError):
            kind, told = "tls", str(error)
        elif not self._fresh and reading is not None:
            if reading.until_close and not broken:
                reading.keep = False
                self._answered(exchange, reading, self._now())
                return
            kind += "_in_body" if reading.headed else "_in_headers"
            told += f" after {reading.size} bytes of the body" if reading.headed else ""
        elif self.used and self._client.closed_before(exchange):
            self._client.again(exchange)
            return
        self._client.fail(exchange, kind, told)

    def give_up(self, fault: str, told: str) -> None:
        """What was asked on it has failed; the connection is of no more use."""
        if fault == "timeout" and not self._fresh and self._reading is not None:
            fault += "_in_body" if self._reading.headed else "_in_headers"
        self.cut(fault, told)
        self.abort()

    def cut(self, fault: str, told: str) -> None:
        """End the exchange under this name."""
        exchange, self.exchange, self._reading = self.exchange, None, None
        if exchange is not None:
            self._client.fail(exchange, fault, told)

    def _leave(self) -> None:
        self._client.lost(self)
        self._transport.close()

    def close(self) -> None:
        """Close it when all is written."""
        self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        self._client.lost(self)
        self._transport.abort()
