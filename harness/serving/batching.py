"""Requests that wait are answered together; the model is asked in threads of its own, so that the loop never waits.

A thread that is free takes all that waits, up to `max_batch` rows: under load, batches form by themselves while the
one before is answered, and a request that comes alone is asked at once. Only where the last batch held several
requests, and `wait_ns` is set, is a smaller one held back for others to join.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import threadpoolctl

from harness.clock import wall_ns
from harness.domain.units import SECOND
from harness.serving.answering import Answers
from harness.serving.checking import Refused, Row

log = logging.getLogger("harness.serving")

OVERLOADED: Final = 503
FAILED: Final = 500
TIMED_OUT: Final = 504
RETRY_AFTER_S: Final = 1
"""A queue that is full is shorter than that, unless the model is far too slow for its traffic."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers, and when the model was at work on them."""

    answers: Answers
    start_ns: int
    """Of `harness.clock.wall_ns`."""
    end_ns: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batcher keeps to."""

    max_batch: int = 64
    """Rows that are asked together; a request with more is asked alone."""
    wait_ns: int = 0
    queue: int = 256
    """Requests that may wait; one more is refused."""
    timeout_ns: int = 10 * SECOND
    """From a request's arrival to its answer."""
    threads: int = 1


@dataclass(slots=True, eq=False)
class _Unit:
    """A request's rows."""

    rows: Sequence[Row]
    future: "asyncio.Future[Answered]"
    arrived_ns: int


class Batcher:
    """Asks a model for the rows of many requests.

    Must be made where a loop runs.

    Args:
        answer: what asks the model; called in a thread.
        limits: what it keeps to.
        together: rows of different requests may be asked together.
        observe: told of each batch: its rows, and how long it took in nanoseconds.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Row]], Answers],
        limits: Limits,
        *,
        together: bool = True,
        observe: Callable[[int, int], None] = lambda _rows, _took_ns: None,
    ) -> None:
        self._answer = answer
        self._limits = limits
        self._together = together
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Unit] = deque()
        self._jobs: queue.SimpleQueue[list[_Unit] | None] = queue.SimpleQueue()
        self._began: dict[int, int] = {}
        self._last = 1
        self._due = False
        self._held: asyncio.TimerHandle | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{number}", daemon=True) for number in range(limits.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no thread has taken yet."""
        return len(self._waiting)

    @property
    def stuck(self) -> bool:
        """Every thread has been at one batch for longer than a request may take."""
        now_ns = wall_ns()
        late = sum(now_ns - began_ns > self._limits.timeout_ns for began_ns in self._began.values())
        return late >= len(self._threads)

    async def ask(self, rows: Sequence[Row], arrived_ns: int) -> Answered:
        """What the model says of a request's rows.

        Raises:
            Refused: too many wait (503), it took too long (504), or the model failed (500).
        """
        if len(self._waiting) >= self._limits.queue:
            raise Refused(
                OVERLOADED,
                f"overloaded: {self._limits.queue} requests wait already; ask again later",
                code="TEMPORARILY_UNAVAILABLE",
                retry_after_s=RETRY_AFTER_S,
            )
        unit = _Unit(rows, self._loop.create_future(), arrived_ns)
        self._waiting.append(unit)
        self._soon()
        left_s = max(0.0, (arrived_ns + self._limits.timeout_ns - wall_ns()) / SECOND)
        timer = self._loop.call_later(left_s, self._expire, unit)
        try:
            return await unit.future
        finally:
            timer.cancel()

    def stop(self) -> None:
        """Let the threads end; what waits is never answered."""
        for _ in self._threads:
            self._jobs.put(None)

    def _expire(self, unit: _Unit) -> None:
        if unit.future.done():
            return
        if unit in self._waiting:
            self._waiting.remove(unit)
        took = f"{self._limits.timeout_ns / SECOND:g}s"
        unit.future.set_exception(
            Refused(TIMED_OUT, f"no answer within {took}; ask again, or for fewer rows", code="DEADLINE_EXCEEDED")
        )

    def _soon(self) -> None:
        """Look what can be asked once this turn of the loop is over: what arrived in it goes together."""
        if not self._due and len(self._began) < len(self._threads):
            self._due = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._due = False
        while self._waiting and len(self._began) < len(self._threads):
            if self._hold():
                return
            units = self._next()
            self._last = len(units)
            self._began[id(units)] = wall_ns()
            self._jobs.put(units)

    def _hold(self) -> bool:
        """Whether to wait a little for others to join."""
        wait_ns = self._limits.wait_ns
        if not wait_ns or self._last < 2 or not self._together:
            return False
        oldest = self._waiting[0]
        left_ns = oldest.arrived_ns + wait_ns - wall_ns()
        if left_ns <= 0 or sum(len(unit.rows) for unit in self._waiting) >= self._limits.max_batch:
            return False
        if self._held is None:
            self._held = self._loop.call_later(left_ns / SECOND, self._release)
        return True

    def _release(self) -> None:
        self._held = None
        self._dispatch()

    def _next(self) -> list[_Unit]:
        units = [self._waiting.popleft()]
        rows = len(units[0].rows)
        while self._together and self._waiting and rows + len(self._waiting[0].rows) <= self._limits.max_batch:
            units.append(self._waiting.popleft())
            rows += len(units[-1].rows)
        return units

    # --- in a thread ---

    def _work(self) -> None:
        # A few rows are not worth a team of threads, which would wait for each other at every batch.
        with threadpoolctl.threadpool_limits(limits=1, user_api="openmp"):
            self._work_on()

    def _work_on(self) -> None:
        while (units := self._jobs.get()) is not None:
            start_ns = wall_ns()
            said = self._said(units)
            end_ns = wall_ns()
            try:
                self._loop.call_soon_threadsafe(self._done, units, said, start_ns, end_ns)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _said(self, units: list[_Unit]) -> list[Answers | BaseException]:
        try:
            if len(units) == 1:
                return [self._answer(units[0].rows)]
            answers = self._answer([row for unit in units for row in unit.rows])
        except BaseException as error:  # noqa: BLE001 - a user's model may raise anything, and the thread must go on
            if len(units) == 1:
                return [error]
            return [each for unit in units for each in self._said([unit])]  # only who caused it fails
        found: list[Answers | BaseException] = []
        start = 0
        for unit in units:
            found.append(answers.part(start, start + len(unit.rows)))
            start += len(unit.rows)
        return found

    # --- in the loop ---

    def _done(self, units: list[_Unit], said: list[Answers | BaseException], start_ns: int, end_ns: int) -> None:
        del self._began[id(units)]
        self._observe(sum(len(unit.rows) for unit in units), end_ns - start_ns)
        for unit, each in zip(units, said, strict=True):
            if isinstance(each, BaseException):
                log.error("the model failed: %s", _short(each), exc_info=each)
            if unit.future.done():
                continue
            if isinstance(each, BaseException):
                unit.future.set_exception(Refused(FAILED, "the model failed on this request", code="INTERNAL_ERROR"))
            else:
                unit.future.set_result(Answered(each, start_ns, end_ns))
        if self._waiting:
            self._dispatch()


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
