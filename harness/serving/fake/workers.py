"""Some servers with one queue before them: first come, first served (M/G/c, where arrivals are Poisson)."""

import asyncio
from collections import deque
from dataclasses import dataclass

from harness.clock import wall_ns
from harness.serving.fake.alarm import Alarm
from harness.serving.fake.still import Stillness


@dataclass(slots=True)
class Turn:
    """A request's turn with a worker; times are of `harness.clock.wall_ns`."""

    service_ns: int | None
    """None: it leaves by itself, with `Workers.leave`."""
    came: "asyncio.Future[None]"
    """Done when it has been served, or may begin where it leaves by itself."""
    start_ns: int = 0
    end_ns: int = 0


class Full(Exception):
    """No more may wait."""


class Workers:
    """Gives each request its turn. Where one ends and another waits, the next begins at the same nanosecond."""

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Turn] = deque()
        self._busy = 0
        self._capacity = 0
        self.still = Stillness()

    @property
    def waiting(self) -> int:
        """Requests without a worker."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Requests being worked on."""
        return self._busy

    def resize(self, capacity: int) -> None:
        """So many at a time from now on (0: any number); nobody's turn is cut short."""
        self._capacity = capacity
        self._admit(wall_ns())

    async def turn(self, service_ns: int | None, room: int | None = None) -> Turn:
        """Wait for a worker and, where it takes a known time, until it is done.

        Args:
            service_ns: how long it takes a worker; None: until `leave`.
            room: how many may wait; None: any number.

        Raises:
            Full: as many wait already.
        """
        turn = Turn(service_ns, self._loop.create_future())
        now_ns = wall_ns()
        if service_ns == 0 and self._free() and self.still.advance(now_ns) == now_ns:
            turn.start_ns = turn.end_ns = now_ns
            return turn
        if not self._free():
            if room is not None and len(self._waiting) >= room:
                raise Full
            self._waiting.append(turn)
        else:
            self._begin(turn, now_ns)
        await turn.came
        return turn

    def leave(self, turn: Turn) -> None:
        """The worker is done with it: the next one's turn begins."""
        turn.end_ns = wall_ns()
        self._busy -= 1
        self._admit(turn.end_ns)

    def _free(self) -> bool:
        return not self._capacity or self._busy < self._capacity

    def _admit(self, at_ns: int) -> None:
        while self._waiting and self._free():
            turn = self._waiting.popleft()
            if not turn.came.done():  # cancelled: the server is closing
                self._begin(turn, at_ns)

    def _begin(self, turn: Turn, at_ns: int) -> None:
        self._busy += 1
        turn.start_ns = self.still.advance(at_ns)
        if turn.service_ns is None:
            _done(turn)
        else:
            self._alarm.at(self.still.advance(at_ns, turn.service_ns), self._end, turn)

    def _end(self, turn: Turn) -> None:
        self.leave(turn)
        _done(turn)


def _done(turn: Turn) -> None:
    if not turn.came.done():
        turn.came.set_result(None)
