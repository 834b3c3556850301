"""Waking at a nanosecond: loops keep time in milliseconds, a Linux timer descriptor does not.

The timer's descriptor (timerfd_create(2)) is watched by the loop like a socket, so waiting costs nothing. Elsewhere the
loop's own timer wakes a little early, and the rest is polled for.
"""

import asyncio
import ctypes
import heapq
import itertools
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from harness.clock import wall_ns
from harness.domain.units import SECOND

EARLY_NS: Final = 2_000_000
"""A loop's timer may be so late."""
CLOCK_MONOTONIC: Final = 1
TFD_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
TFD_TIMER_ABSTIME: Final = 1


class _Spec(ctypes.Structure):
    """struct itimerspec: an interval, which is zero, and the time."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Alarm:
    """Calls back at times of `harness.clock.wall_ns`, equal ones in order of asking.

    Args:
        exact: whether to use a timer descriptor; None: where there are such.
    """

    def __init__(self, exact: bool | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._armed_ns: int | None = None
        self._timer: asyncio.Handle | None = None
        self._spec = _Spec()
        self._fd = -1
        if sys.platform == "linux" if exact is None else exact:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(CLOCK_MONOTONIC, TFD_FLAGS)
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._rung)

    @property
    def exact(self) -> bool:
        """Whether a timer descriptor is used."""
        return self._fd >= 0

    def at(self, due_ns: int, callback: Callable[..., None], *args: Any) -> None:
        """Call back once that time has come."""
        heapq.heappush(self._heap, (due_ns, next(self._order), callback, args))
        if self._armed_ns is None or due_ns < self._armed_ns:
            self._arm(due_ns)

    async def until(self, due_ns: int) -> None:
        """Wait until that time; return at once where it has gone by."""
        if due_ns <= wall_ns():
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self.at(due_ns, _wake, future)
        await future

    def close(self) -> None:
        """Nothing is called back any more."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _arm(self, due_ns: int) -> None:
        self._armed_ns = due_ns
        if self._fd >= 0:
            self._spec.at_s, self._spec.at_ns = divmod(max(1, due_ns), SECOND)  # a time of zero would disarm it
            self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)
            return
        if self._timer is not None:
            self._timer.cancel()
        left_ns = due_ns - wall_ns() - EARLY_NS
        if left_ns > 0:
            self._timer = self._loop.call_later(left_ns / SECOND, self._ring)
        else:
            self._timer = self._loop.call_soon(self._ring)

    def _rung(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # it was set anew before this was called
        self._ring()

    def _ring(self) -> None:
        while self._heap and self._heap[0][0] <= wall_ns():
            _, _, callback, args = heapq.heappop(self._heap)
            callback(*args)
        self._armed_ns = None
        if self._heap:
            self._arm(self._heap[0][0])


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
