"""One generator: it sends its share of a load test, from its own loop, and answers with what it measured.

It is told when to begin, so that several on one machine, or on several, begin together. Each second it tells how it
stands. It ends when the last request has come to its end; it is stopped by a call, and then waits a moment for answers.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from harness import clock
from harness.domain.load import Counts, LoadPlan, Mode
from harness.domain.units import SECOND, duration_text
from harness.errors import InputError
from harness.load.address import Address, resolve
from harness.load.client import Client, MakeClient, make_client
from harness.load.exchange import IN_FLIGHT, Exchange
from harness.load.loops import Closed, Loop, Open, Share
from harness.load.machine import Gauge, peak_memory
from harness.load.pacing import Pacer
from harness.load.record import Durations, Load, Record, added
from harness.load.recorder import Recorder
from harness.load.wire import Requests
from harness.stats.histogram import Histogram

PULSE_NS: Final = 20_000_000
"""From one measurement of the loop's own lateness to the next."""
PULSES: Final = 1024
"""So many are kept as they are, before they are counted in buckets."""
GRACE_NS: Final = 2 * SECOND
"""So long is waited for answers when a test is stopped, and beyond the last time-out when it ends by itself."""

IDLE: Final = Load()


class Check(Protocol):
    """What an answer is held to."""

    detail: dict[str, str]
    """Of the first failure of each kind: what was found."""

    def check(self, status: int, content_type: str, body: bytes, index: int) -> str:
        """The kind of its failure; empty: none."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """How a generator stands: what has come to its end in the last second."""

    second: int
    sent: int
    """Requests handed to clients since the test began, the warm-up's too."""
    pending: int
    counts: Counts
    """Of the last second."""
    measured: Counts
    """The part of it that was due after the warm-up."""
    latency: Histogram = field(default_factory=Histogram)
    lag: Histogram = field(default_factory=Histogram)
    load: Load = IDLE


class Stopper:
    """Asks a generator to stop; safe to call from its own loop only."""

    def __init__(self) -> None:
        self.asked = False
        self._call: Callable[[], None] | None = None

    def __call__(self) -> None:
        """Ask; asking again changes nothing."""
        if not self.asked:
            self.asked = True
            if self._call:
                self._call()

    def bind(self, call: Callable[[], None]) -> None:
        """What to call when it is asked."""
        self._call = call
        if self.asked:
            call()


async def generate(
    plan: LoadPlan,
    share: Share,
    start_ns: int,
    tell: Callable[[Snapshot], None],
    stopper: Stopper,
    *,
    checker: Check | None = None,
    make: MakeClient = make_client,
    addresses: Sequence[Address] | None = None,
) -> Record:
    """Send a share of the test and answer with what was measured.

    Args:
        plan: the load test.
        share: which part of it.
        start_ns: when it begins, in the loop's time.
        tell: called each second.
        stopper: ends the test early.
        checker: what answers are held to, beyond their status.
        make: makes the client of a target.
        addresses: of the targets, where they are known; else they are looked up.

    Raises:
        InputError: a target's host cannot be resolved.
    """
    if addresses is None:
        options = plan.transport
        addresses = [await resolve(target.url, options.ca_file, insecure=options.insecure) for target in plan.targets]
    return await _Generator(plan, share, start_ns, tell, checker, make, addresses).run(stopper)


class _Generator:
    def __init__(
        self,
        plan: LoadPlan,
        share: Share,
        start_ns: int,
        tell: Callable[[Snapshot], None],
        checker: Check | None,
        make: MakeClient,
        addresses: Sequence[Address],
    ) -> None:
        self.plan, self.start_ns, self.tell = plan, start_ns, tell
        self.checker, self.statuses = checker, plan.checks.statuses
        self.now = clock.reader()
        self.recorder = Recorder(plan, start_ns)
        self.clients: list[Client] = [
            make(plan, target, address, most, self.over, self.now)
            for target, address, most in zip(plan.targets, addresses, rooms(plan, share), strict=True)
        ]
        kind = Open if plan.mode is Mode.OPEN else Closed
        self.loop: Loop = kind(plan, share, start_ns, Requests(plan, addresses), self.clients, self.now)
        self.closed = plan.mode is Mode.CLOSED
        self.ended = 0
        self.idle = asyncio.Event()
        self.loads: dict[int, Load] = {}
        self.pulse = _Pulse(self.now)
        self.cut_short = ""

    def over(self, exchange: Exchange) -> None:
        """An exchange has come to its end."""
        if not exchange.fault:
            if exchange.status not in self.statuses:
                exchange.fault = f"http_{exchange.status}"
                said = (exchange.answer or b"")[:200].decode("utf-8", "replace")
                exchange.told = f"to {exchange.location}" if exchange.location else said
            elif self.checker is not None:
                answer = exchange.answer or b""
                exchange.fault = self.checker.check(exchange.status, exchange.content_type, answer, exchange.body)
                if exchange.fault:
                    exchange.told = self.checker.detail.get(exchange.fault, "")
        self.recorder.take(exchange)
        self.ended += 1
        if self.closed:
            self.loop.over(exchange)
        if self.ended == self.loop.sent and self.loop.finished:
            self.idle.set()

    async def run(self, stopper: Stopper) -> Record:
        late_ns = max(0, self.now() - self.start_ns)
        began_cpu_ns = clock.cpu_ns()
        with _no_collections():
            self.pulse.start()
            self.loop.start()
            watching = asyncio.create_task(self._watch())
            stopper.bind(self._stop)
            try:
                await self._wait(stopper)
            finally:
                self._halt()
                self.pulse.stop()
                watching.cancel()
                for client in self.clients:
                    client.stop("stopped", IN_FLIGHT)
                await asyncio.gather(watching, return_exceptions=True)
                for client in self.clients:
                    await client.close()
        self._snapshot()
        return Record(
            cells=self.recorder.cells(),
            targets=self.recorder.targets(),
            reached_ns=self.loop.reached_ns,
            last_ns=self.recorder.last_ns,
            loads=self.loads,
            connections=added(client.counts for client in self.clients),
            locations=self.recorder.locations,
            examples=self.recorder.examples,
            cpu_ns=clock.cpu_ns() - began_cpu_ns,
            peak_memory=peak_memory(),
            pulse=self.pulse.late(),
            began_late_ns=late_ns,
            cut_short=self.cut_short,
        )

    def _halt(self) -> None:
        """Send no more; what was due by now and could not be sent is counted."""
        for exchange in self.loop.stop():
            exchange.fault, exchange.told, exchange.done_ns = "stopped", "the test stopped", self.now()
            self.over(exchange)

    def _stop(self) -> None:
        self._halt()
        if self.ended == self.loop.sent:
            self.idle.set()

    async def _wait(self, stopper: Stopper) -> None:
        """Until nothing is left, or it was waited for long enough."""
        plan, limits = self.plan, self.plan.limits
        last_ns = self.start_ns + plan.ends_ns + 2 * limits.timeout_ns + limits.connect_timeout_ns + GRACE_NS
        if limits.deadline_ns is not None:
            last_ns = min(last_ns, self.start_ns + limits.deadline_ns)
        stopped_ns = 0
        while not self.idle.is_set() and self.now() < last_ns:
            if self.loop.finished and self.ended == self.loop.sent:
                return
            if stopper.asked:
                stopped_ns = stopped_ns or self.now()
                if self.now() - stopped_ns > min(GRACE_NS, limits.timeout_ns):
                    return
            step_s = min(0.05, limits.timeout_ns / SECOND / 10)
            try:
                async with asyncio.timeout(step_s):
                    await self.idle.wait()
            except TimeoutError:
                for client in self.clients:
                    client.sweep()
        if not (self.loop.finished or stopper.asked):
            at = duration_text(last_ns - self.start_ns)
            by = "its deadline" if limits.deadline_ns is not None else "its generator, which was held up until"
            self.cut_short = f"cut short by {by}, {at} after it began"

    async def _watch(self) -> None:
        await asyncio.sleep(max(0, self.start_ns - self.now()) / SECOND)
        gauge = Gauge()
        while True:
            since_ns = self.now() - self.start_ns
            await asyncio.sleep((SECOND - since_ns % SECOND) / SECOND)
            number = int(self.recorder.numbers_of(self.now() - self.start_ns - SECOND // 2))
            load = gauge.read()
            self.loads[number] = load
            self._snapshot(load)

    def _snapshot(self, load: Load = IDLE) -> None:
        counts, latency, lag, measured = self.recorder.lately()
        second = round((self.now() - self.start_ns) / SECOND)
        pending = self.loop.sent - self.ended
        self.tell(Snapshot(second, self.loop.sent, pending, counts, measured, latency, lag, load))


class _Pulse:
    """Measures how late the loop comes to what is to be done at a time, at regular times."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._pacer: Pacer | None = None
        self._due_ns = 0
        self._found: list[int] = []
        self._folded = Durations()

    def start(self) -> None:
        self._pacer = Pacer()
        self._due_ns = self._now() + PULSE_NS
        self._pacer.wake(self._due_ns, self._beat)

    def _beat(self) -> None:
        now = self._now()
        self._found.append(now - self._due_ns)
        if len(self._found) >= PULSES:
            self._folded = self.late()
            self._found.clear()
        self._due_ns = max(self._due_ns + PULSE_NS, now)
        if self._pacer:
            self._pacer.wake(self._due_ns, self._beat)

    def late(self) -> Durations:
        """How late it came."""
        return Durations.merge((self._folded, Durations.of(np.array(self._found, np.int64))))

    def stop(self) -> None:
        if self._pacer:
            self._pacer.close()
            self._pacer = None


def rooms(plan: LoadPlan, share: Share) -> list[int]:
    """How many requests a generator may have in flight at each target, and so how many connections.

    The limits are of the whole test: generators share them evenly, and targets by their weights.

    Raises:
        InputError: there is not one for each.
    """
    limits, targets = plan.limits, len(plan.targets)
    most, flag = min((limits.max_connections, "--max-connections"), (limits.max_in_flight, "--max-in-flight"))
    mine = most // share.of + (share.number < most % share.of)
    if mine < targets:
        raise InputError(
            f"{flag} is {most}, and each of {share.of} generators needs one for each of {targets} targets; "
            f"give {share.of * targets} or more, or fewer --workers"
        )
    whole = sum(target.weight for target in plan.targets)
    spare = mine - targets
    found = [1 + int(spare * target.weight / whole) for target in plan.targets]
    heaviest = max(range(targets), key=lambda at: plan.targets[at].weight)
    found[heaviest] += mine - sum(found)
    return found


@contextmanager
def _no_collections() -> Iterator[None]:
    """Garbage is not looked for while requests are timed: a full collection stops everything for milliseconds."""
    was = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was:
            gc.enable()
