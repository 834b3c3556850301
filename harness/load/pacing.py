"""Waking a loop at a given nanosecond: a kernel timer up to a little before it, then the loop's own turns.

uvloop's timers are whole milliseconds, and asyncio's selector waits in whole milliseconds too. Linux has timers that a
loop can wait for like a socket (timerfd); they wake it some 50 us late, so they are set a little early and the rest is
spent in turns of the loop, in which answers are read all the same. Elsewhere the last 1.5 ms are spent in turns.
"""

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from harness.clock import VirtualLoop, reader

EARLY_NS: Final = 100_000
"""The kernel's timer is set so much before the time."""
COARSE_NS: Final = 1_500_000
"""The same, of the loop's own timers."""
_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_SECOND: Final = 1_000_000_000


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class Pacer:
    """Calls back at a time, one call at a time; must be made and closed where its loop runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = reader()
        self._callback: Callable[[], None] | None = None
        self._at_ns = 0
        self._handle: asyncio.Handle | None = None
        self._exact = isinstance(self._loop, VirtualLoop)
        self._fd = -1 if self._exact else self._timer()

    def _timer(self) -> int:
        if not sys.platform.startswith("linux"):
            return -1
        libc: Any = ctypes.CDLL(None, use_errno=True)
        fd: int = libc.timerfd_create(_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if fd >= 0:
            self._set = libc.timerfd_settime
            self._setting = _Setting()
            self._reference = ctypes.byref(self._setting)
            self._loop.add_reader(fd, self._rung)
        return fd

    def wake(self, at_ns: int, callback: Callable[[], None]) -> None:
        """Call back at that time of the loop, or as soon as possible; what was to be called before is not any more."""
        self._callback, self._at_ns = callback, at_ns
        self._wait()

    def _wait(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        left = self._at_ns - self._now()
        if self._exact:
            self._handle = self._loop.call_at(self._at_ns / _SECOND, self._call)
        elif left <= (EARLY_NS if self._fd >= 0 else COARSE_NS):
            self._handle = self._loop.call_soon(self._turn)
        elif self._fd >= 0:
            value = self._setting.value
            value.seconds, value.nanoseconds = divmod(self._at_ns - EARLY_NS, _SECOND)
            self._set(self._fd, _ABSOLUTE, self._reference, None)
        else:
            self._handle = self._loop.call_later((left - COARSE_NS) / _SECOND, self._turn)

    def _rung(self) -> None:
        with contextlib.suppress(BlockingIOError):  # set anew since it rang
            os.read(self._fd, 8)
        self._turn()

    def _turn(self) -> None:
        self._handle = None
        if self._callback is None:
            return
        if self._now() >= self._at_ns:
            self._call()
        else:
            self._wait()

    def _call(self) -> None:
        self._handle = None
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def close(self) -> None:
        """Call nothing any more."""
        self._callback = None
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
