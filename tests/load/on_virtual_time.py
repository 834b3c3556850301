"""A load test on virtual time: the generator as it is, and a client that is a queue; no socket, and no waiting."""

import asyncio
import copy
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from harness import clock
from harness.domain.load import LoadPlan
from harness.domain.units import MILLISECOND, SECOND
from harness.load.address import Address
from harness.load.exchange import Exchange
from harness.load.generator import Snapshot, Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record

HERE = Address("server", "127.0.0.1", 80, None, "/predict")
START_NS = 10 * MILLISECOND


class Queue:
    """A `Client` whose target is a queue in front of servers; keeps every exchange, in the order they were answered.

    Args:
        done: told each exchange at its end.
        now: reads the loop's time.
        most: requests in flight at once.
        servers: that work side by side.
        service: how long a request takes, in ns; None: it is never answered.
        still: whether the servers stand still at that time, and until when.
        timeout_ns: a request is given up after so long.
    """

    def __init__(
        self,
        done: Callable[[Exchange], None],
        now: Callable[[], int],
        most: int,
        *,
        servers: int = 1,
        service: Callable[[Exchange], int | None] = lambda _: MILLISECOND,
        still: Callable[[int], int] = lambda at_ns: at_ns,
        timeout_ns: int = 10 * SECOND,
    ) -> None:
        self.counts = dict.fromkeys(("opened", "failed", "stale", "unasked", "most"), 0)
        self.seen: list[Exchange] = []
        self._done, self._now, self._most, self._timeout_ns = done, now, most, timeout_ns
        self._service, self._still = service, still
        self._free = [0] * servers
        self._waiting: deque[Exchange] = deque()
        self._flying: dict[int, tuple[Exchange, asyncio.TimerHandle | None]] = {}

    def send(self, exchange: Exchange) -> None:
        self._waiting.append(exchange)
        self._more()

    def _more(self) -> None:
        while self._waiting and len(self._flying) < self._most:
            exchange = self._waiting.popleft()
            exchange.sent_ns = now = self._now()
            self.counts["most"] = max(self.counts["most"], len(self._flying) + 1)
            lasts = self._service(exchange)
            handle = None
            if lasts is not None:
                begins = self._still(max(now, heapq.heappop(self._free)))
                ends = begins + lasts
                heapq.heappush(self._free, ends)
                handle = asyncio.get_running_loop().call_at(ends / SECOND, self._answered, id(exchange))
            self._flying[id(exchange)] = (exchange, handle)

    def _answered(self, key: int) -> None:
        exchange, _ = self._flying.pop(key)
        exchange.status = 200
        self._end(exchange, "")

    def _end(self, exchange: Exchange, fault: str) -> None:
        exchange.fault, exchange.done_ns = fault, self._now()
        exchange.first_ns = exchange.first_ns or exchange.done_ns
        self.seen.append(copy.copy(exchange))  # a closed loop uses it again
        self._done(exchange)
        self._more()

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._flying)

    def sweep(self) -> None:
        now = self._now()
        while self._waiting and now - self._waiting[0].taken_ns > self._timeout_ns:
            self._end(self._waiting.popleft(), "no_connection")
        for key, (exchange, _) in list(self._flying.items()):
            if now - exchange.sent_ns > self._timeout_ns:
                self._drop(key, "timeout")

    def _drop(self, key: int, fault: str) -> None:
        exchange, handle = self._flying.pop(key)
        if handle is not None:
            handle.cancel()
        self._end(exchange, fault)

    def stop(self, unsent: str, sent: str) -> None:
        while self._waiting:
            self._end(self._waiting.popleft(), unsent)
        for key in list(self._flying):
            self._drop(key, sent)

    async def close(self) -> None:
        self.stop("stopped", "in_flight")


def rehearsed(
    plan: LoadPlan,
    *,
    share: Share | None = None,
    stop_at_s: float | None = None,
    held_up_s: tuple[float, float] | None = None,
    tell: Callable[[Snapshot], None] = lambda _: None,
    **target: Any,
) -> tuple[Record, list[Exchange]]:
    """Run a plan against a queue on virtual time: what was measured, and every exchange.

    Args:
        plan: the load test.
        share: which part of it.
        stop_at_s: when it is stopped.
        held_up_s: from when until when the generator's process stands still, as one that is suspended.
        tell: see `generate`.
        target: see `Queue`.
    """
    clients: list[Queue] = []

    def make(_: Any, __: Any, ___: Any, most: int, done: Any, now: Any) -> Queue:
        clients.append(Queue(done, now, most, timeout_ns=plan.limits.timeout_ns, **target))
        return clients[-1]

    async def main() -> Record:
        stopper = Stopper()
        if stop_at_s is not None:
            asyncio.get_running_loop().call_at(START_NS / SECOND + stop_at_s, stopper)
        if held_up_s is not None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, clock.VirtualLoop)
            begin, end = (START_NS + int(at * SECOND) for at in held_up_s)
            loop.call_at(begin / SECOND, lambda: setattr(loop, "now_ns", end))
        addresses = [HERE] * len(plan.targets)
        return await generate(plan, share or Share(), START_NS, tell, stopper, make=make, addresses=addresses)

    record = clock.run_virtual(main)
    return record, [exchange for client in clients for exchange in client.seen]
