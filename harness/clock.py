"""The two loops: virtual time that jumps to the next timer, and real time.

Time belongs to the event loop: code calls `anyio.sleep` and `now_ns`; nothing takes a clock, and nothing but this
module reads the wall clock. On virtual time the loop never waits: when no task can go on, it moves its own time to the
next timer. Equal deadlines wake in order of scheduling, and `instant` lets a task wait for the other work of the same
instant: the environment changes first (timers), then measurements are taken, then decisions are made.

The real selector is still polled, without waiting, so that signals are seen.
"""

import asyncio
import heapq
import itertools
import math
import selectors
import sys
import time
from asyncio import TimerHandle
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.lowlevel

from harness.domain.units import SECOND
from harness.errors import ClockError, Deadlock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# asyncio fires a timer when it is due before now + resolution: 0 would spin for ever, and 1 ns still tells neighbouring
# nanoseconds apart. Beyond LATEST a float holds less than that, and the loop could not move at all.
RESOLUTION_S: Final = 1e-9
LATEST_NS: Final = 40 * 24 * 3600 * SECOND


class Phase(IntEnum):
    """The order of work at one instant, after every timer of that instant has fired."""

    MEASURE = 1
    DECIDE = 2


class _Timer(TimerHandle):
    """A timer that keeps its place among equal deadlines (asyncio's heap does not)."""

    __slots__ = ("order",)

    def __init__(self, order: int, when: float, callback: Any, args: Any, loop: Any, context: Context | None) -> None:
        super().__init__(when, callback, args, loop, context)
        self.order = order

    def __lt__(self, other: TimerHandle) -> bool:
        if isinstance(other, _Timer):
            return (self.when(), self.order) < (other.when(), other.order)
        return super().__lt__(other)


class _Jump(selectors.DefaultSelector):
    """A selector that moves the loop's time instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and (timeout is None or timeout > 0):
            self.loop.nothing_ready()
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time is its own and jumps to the next timer."""

    def __init__(self) -> None:
        selector = _Jump()
        super().__init__(selector)
        selector.loop = self
        self.now_ns = 0
        self._clock_resolution = RESOLUTION_S
        self._order = itertools.count()
        self._instant: list[tuple[int, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        """Seconds since the loop was made; nothing to do with the wall clock."""
        return self.now_ns / SECOND

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        """Schedule at a whole nanosecond, after what was scheduled for it before."""
        self._check_closed()  # type: ignore[attr-defined]
        due = when if math.isinf(when) else round(when * SECOND) / SECOND  # `anyio.sleep_forever` sleeps so long
        if due <= self.time() < when:
            # A deadline that a rounding error keeps in the future: anyio finds it not reached and sets its timer again,
            # for ever if that were due at once.
            due = (self.now_ns + 1) / SECOND
        timer = _Timer(next(self._order), due, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - as BaseEventLoop.call_at does
        return timer

    def wait_instant(self, phase: Phase) -> "asyncio.Future[None]":
        """A future that is done once nothing of an earlier phase is left to do at this instant."""
        future = self.create_future()
        heapq.heappush(self._instant, (phase, next(self._order), future))
        return future

    def nothing_ready(self) -> None:
        """No task can go on: let the next phase of this instant begin, or move to the next timer."""
        if self._instant:
            phase = self._instant[0][0]
            while self._instant and self._instant[0][0] == phase:
                future = heapq.heappop(self._instant)[2]
                if not future.done():
                    future.set_result(None)
            return
        timers = self._scheduled  # type: ignore[attr-defined]
        if not timers or math.isinf(timers[0].when()):
            raise Deadlock(f"nothing is left to wait for, but these tasks wait: {_waiting(self)}")
        due_ns = round(timers[0].when() * SECOND)
        if due_ns > LATEST_NS:
            raise ClockError(f"virtual time ends after {LATEST_NS // (24 * 3600 * SECOND)} days")
        self.now_ns = max(self.now_ns, due_ns)

    def _no_sockets(self, *_: Any, **__: Any) -> NoReturn:
        raise ClockError(
            "a real socket cannot be used on virtual time: its answer takes real time, in which the virtual clock "
            "would run ahead; use `clock: real`, or an in-memory backend"
        )

    create_connection = create_server = create_datagram_endpoint = _no_sockets
    create_unix_connection = create_unix_server = sock_connect = sock_accept = _no_sockets


def _waiting(loop: asyncio.AbstractEventLoop) -> str:
    names = []
    for task in asyncio.all_tasks(loop):
        frames = task.get_stack(limit=1)
        place = f" in {frames[-1].f_code.co_qualname if sys.version_info >= (3, 11) else '?'}" if frames else ""
        names.append(f"{task.get_name()}{place}")
    return ", ".join(sorted(names)) or "none"


def run_virtual(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run to the end on virtual time.

    >>> async def two_hours() -> int:
    ...     await anyio.sleep(7200)
    ...     return now_ns()
    >>> run_virtual(two_hours) == 7200 * SECOND
    True
    """
    return anyio.run(main, *args, backend="asyncio", backend_options={"loop_factory": VirtualLoop})


def run_real(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run to the end on real time."""
    return anyio.run(main, *args, backend="asyncio")


def is_virtual() -> bool:
    """Whether the running loop's time is virtual."""
    return isinstance(asyncio.get_running_loop(), VirtualLoop)


def now_ns() -> int:
    """The running loop's time in nanoseconds; only differences mean anything."""
    loop = asyncio.get_running_loop()
    return loop.now_ns if isinstance(loop, VirtualLoop) else round(loop.time() * SECOND)


async def sleep_until(at_ns: int) -> None:
    """Sleep until the loop's time is ``at_ns``; a time gone by is a checkpoint."""
    await anyio.sleep(max(0, at_ns - now_ns()) / SECOND)


async def instant(phase: Phase) -> None:
    """Let what belongs before this phase happen first, without time going on.

    On virtual time it returns when no task has anything of an earlier phase left to do at this instant. Real time has
    no instants; there it is a checkpoint.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        await loop.wait_instant(phase)
    else:
        await anyio.lowlevel.checkpoint()


def wall_ns() -> int:
    """A reading of the real clock, for durations that are told to a person and never to the engine."""
    return time.perf_counter_ns()


def reader() -> Callable[[], int]:
    """What reads the running loop's time in nanoseconds, as fast as can be: for work that does so for every request.

    On real time it is the clock that asyncio's and uvloop's time is taken from, but read anew: uvloop reads it once for
    each turn of its loop and rounds to a millisecond.
    """
    loop = asyncio.get_running_loop()
    return (lambda: loop.now_ns) if isinstance(loop, VirtualLoop) else time.monotonic_ns


def monotonic_ns() -> int:
    """The machine's own monotonic clock, which all its processes share; for those that must start at one time."""
    return time.monotonic_ns()


def epoch_ns() -> int:
    """Nanoseconds since 1970, UTC; for machines that must start at one time."""
    return time.time_ns()


def cpu_ns() -> int:
    """What this process has used of its processors, in nanoseconds."""
    return time.process_time_ns()


def run_fast(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run to the end on real time, on uvloop where there is one (CPython, not on Windows)."""
    return anyio.run(main, *args, backend="asyncio", backend_options={"loop_factory": _fast_loop()})


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def utc_now() -> datetime:
    """Date and time of the real world, for names of runs."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that reads it
