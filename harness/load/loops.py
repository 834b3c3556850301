"""The two loops that decide when requests are sent: open (at their due times) and closed (after the answer before).

Due times and thinking times are drawn from named streams of the seed, by the request's number and by the user's, before
any answer is seen. Of several generators each takes every n-th request, or user, of one and the same test.
"""

import asyncio
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from harness import arrivals
from harness.domain.load import ClosedLoop, LoadPlan, OpenLoop
from harness.domain.units import SECOND
from harness.load.client import Client
from harness.load.exchange import Exchange
from harness.load.pacing import Pacer
from harness.load.wire import Requests
from harness.seeds import stream

AT_ONCE: Final = 128
"""Overdue requests that are sent before answers are read again."""
AHEAD_NS: Final = SECOND
"""Due times are made so far ahead."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a test a generator has."""

    number: int = 0
    of: int = 1


class Loop(Protocol):
    """Sends requests; told of each that has come to its end."""

    sent: int
    """Requests that were handed to clients."""
    reached_ns: int
    """The last due time that came."""

    def start(self) -> None:
        """Begin."""

    def over(self, exchange: Exchange) -> None:
        """A request has come to its end."""

    def stop(self) -> list[Exchange]:
        """Send no more; answers with what was due by now and was not sent: it has no end yet."""

    @property
    def finished(self) -> bool:
        """Nothing more will be sent."""


class Open:
    """Sends each request at its due time, whatever became of those before."""

    def __init__(
        self,
        plan: LoadPlan,
        share: Share,
        start_ns: int,
        requests: Requests,
        clients: list[Client],
        now: Callable[[], int],
    ) -> None:
        if not isinstance(plan.pace, OpenLoop):
            raise TypeError("the plan is not one of an open loop")
        self._start_ns, self._ends_ns = start_ns, plan.ends_ns
        self._share, self._requests, self._clients, self._now = share, requests, clients, now
        self._reader = arrivals.Reader(arrivals.of(plan.pace.traffic), stream(plan.seed, "load/arrivals"))
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer()
        self._times: list[int] = []
        self._at = 0
        self._read_ns = 0
        self._number = -1
        """Of the last request that was read, over all generators."""
        self._stopped = False
        self.sent = 0
        self.reached_ns = 0

    def start(self) -> None:
        """Wait for the first due time."""
        self._next()

    def over(self, exchange: Exchange) -> None:
        """What became of a request changes nothing."""

    def _load(self) -> bool:
        """Read the due times of the next stretch; False where the test is over."""
        while self._at >= len(self._times):
            if self._read_ns >= self._ends_ns:
                return False
            self._read_ns = min(self._read_ns + AHEAD_NS, self._ends_ns)
            times = self._reader.until(self._read_ns)
            first = self._number + 1
            skipped = (self._share.number - first) % self._share.of
            self._times = (times[skipped :: self._share.of] + self._start_ns).tolist()
            self._numbers = range(first + skipped, first + len(times), self._share.of)
            self._number += len(times)
            self._at = 0
        return True

    def _next(self) -> None:
        if self._stopped:
            return
        if self._load():
            self._pacer.wake(self._times[self._at], self._tick)
        else:
            # Nothing more is due, but the test lasts until its end.
            self._pacer.wake(self._start_ns + self._ends_ns, self._end)

    def _tick(self) -> None:
        now, left = self._now(), AT_ONCE
        while left and self._at < len(self._times) and (due := self._times[self._at]) <= now:
            number = self._numbers[self._at]
            target, body, wire = self._requests.of(number)
            self._at += 1
            self.sent += 1
            self._clients[target].send(Exchange(number, due, now, target, body, wire))
            left -= 1
            now = self._now()
        self.reached_ns = now - self._start_ns
        self._next()

    def _end(self) -> None:
        self._stopped = True
        self.reached_ns = self._ends_ns
        self._pacer.close()

    def stop(self) -> list[Exchange]:
        """Send no more; answers with what was due by now and was not sent. What was not due is not of the test."""
        left: list[Exchange] = []
        if self._stopped:
            return left
        now = self._now()
        while self._load() and self._times[self._at] <= now:
            target, body, wire = self._requests.of(self._numbers[self._at])
            left.append(Exchange(self._numbers[self._at], self._times[self._at], now, target, body, wire))
            self._at += 1
        self._stopped = True
        self.reached_ns = min(max(now - self._start_ns, 0), self._ends_ns)
        self.sent += len(left)
        self._pacer.close()
        return left

    @property
    def finished(self) -> bool:
        """Nothing more will be sent."""
        return self._stopped


class Closed:
    """Each user sends, waits for the answer, thinks, and sends again."""

    def __init__(
        self,
        plan: LoadPlan,
        share: Share,
        start_ns: int,
        requests: Requests,
        clients: list[Client],
        now: Callable[[], int],
    ) -> None:
        if not isinstance(plan.pace, ClosedLoop):
            raise TypeError("the plan is not one of a closed loop")
        self._pace = plan.pace
        self._start_ns, self._ends_ns = start_ns, start_ns + plan.ends_ns
        self._share, self._requests, self._clients, self._now = share, requests, clients, now
        self._users = range(share.number, self._pace.users, share.of)
        whole = self._pace.requests
        self._most = math.inf if whole is None else len(range(share.number, whole, share.of))
        self._thinking = stream(plan.seed, "load/thinking")
        self._asked = [0] * self._pace.users
        self._agenda: list[tuple[int, int]] = []
        """(when a user is ready, user)."""
        self._pacer = Pacer()
        self._over = self._stopped = False
        self.sent = 0
        self.reached_ns = 0

    def start(self) -> None:
        """Every user begins by thinking, so that they do not come all at once; without thinking they do."""
        for user in self._users:
            heapq.heappush(self._agenda, (self._start_ns + self._think_ns(user), user))
        if self._most:
            self._wait()
        else:
            self._end()

    def _think_ns(self, user: int) -> int:
        mean = self._pace.think_ns
        if not mean or not self._pace.exponential:
            return mean
        asked = self._asked[user]
        draw = self._thinking.child(str(user)).generator(asked).standard_exponential()
        return int(draw * mean)

    def _wait(self) -> None:
        if not self.finished:
            self._pacer.wake(min(self._agenda[0][0] if self._agenda else self._ends_ns, self._ends_ns), self._tick)

    def _tick(self) -> None:
        now = self._now()
        if now >= self._ends_ns:
            self._end()
            return
        left = AT_ONCE
        while left and not self.finished and self._agenda and self._agenda[0][0] <= now:
            due, user = heapq.heappop(self._agenda)
            self._send(user, due, now)
            left -= 1
        self.reached_ns = now - self._start_ns
        self._wait()

    def _next(self, user: int, due_ns: int, now: int, used: Exchange | None) -> Exchange:
        # Numbered by turns: which user asks what does not hang on who was answered first. Of a test of so many requests
        # whoever is free takes the next one.
        free = self._pace.requests is not None
        turn = self._asked[user] * self._pace.users + user
        number = self.sent * self._share.of + self._share.number if free else turn
        self._asked[user] += 1
        target, body, wire = self._requests.of(number)
        if used is None:
            used = Exchange(number, due_ns, now, target, body, wire)
            used.user = user
        else:
            used.again(number, due_ns, now, target, body, wire)
        return used

    def _send(self, user: int, due_ns: int, now: int, used: Exchange | None = None) -> None:
        exchange = self._next(user, due_ns, now, used)
        self.sent += 1
        self._clients[exchange.target].send(exchange)
        if self.sent >= self._most:
            self._end()

    def _end(self) -> None:
        self._over = True
        self.reached_ns = max(min(self._now(), self._ends_ns) - self._start_ns, 0)
        self._pacer.close()

    def over(self, exchange: Exchange) -> None:
        """Its user thinks, and sends again."""
        if self.finished:
            return
        done = exchange.done_ns
        if done >= self._ends_ns:
            return
        self.reached_ns = done - self._start_ns
        if self._pace.think_ns or exchange.fault:
            # One that failed at once must not make its user spin: the others, and the clock, come first.
            heapq.heappush(self._agenda, (done + self._think_ns(exchange.user), exchange.user))
            self._wait()
        else:
            self._send(exchange.user, done, self._now(), exchange)

    def stop(self) -> list[Exchange]:
        """Send no more; answers with the requests of users who were ready by now and were not served."""
        left: list[Exchange] = []
        if self._stopped:
            return left
        now = min(self._now(), self._ends_ns)
        while self._agenda and self._agenda[0][0] < now and self.sent + len(left) < self._most:
            due, user = heapq.heappop(self._agenda)
            left.append(self._next(user, due, now, None))
        self._stopped = True
        self.sent += len(left)
        if not self._over:
            self._end()
        return left

    @property
    def finished(self) -> bool:
        """Nothing more will be sent."""
        return self._over or self._stopped
