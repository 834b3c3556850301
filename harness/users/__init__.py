"""The users of a real platform: they ask its router, and what they meet is measured.

Open loop: when each asks is fixed before any answer is seen, from the same streams of the seed as in a rehearsal on
virtual time, so that the same rows are asked.

    draws          which row, user and class each request has
    bodies         rows as JSON
    course         draws a little ahead, and asks when each request is due
    asking         one task a request, over aiohttp
    understanding  what an answer says: how it went, which arm gave it, what is predicted
    shares         where requests go; whose a failure is that does not say so
    records, sums  what came of it: by request for windows, added up for ever
    quality        from labels, of the answers that really came
    measured       all of it as the figures of a `MetricSource`
    scope          what a scenario says that users must know
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import anyio.to_thread

from harness.clock import now_ns
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.fault import Fault
from harness.domain.lost import PRESUMED
from harness.domain.model import Revision, Role, TrainedModel
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import ServingError
from harness.protocols import Notice, Population, Router, Sample
from harness.realtime import Noticing
from harness.sim.befall import inherited
from harness.users import scope
from harness.users.asking import MOST_IN_FLIGHT, Asker
from harness.users.course import Asked, Course, Question, ended
from harness.users.measured import Measured
from harness.users.shares import Shares
from harness.users.understanding import OK, Reader, Said


class Users:
    """Asks as the scenario's traffic says, and answers as a `MetricSource` what came of it, by arm.

    Whose a failure is that names no arm, `harness.users.shares` tells. What is under way is counted for the only arm
    that it can have gone to, and where there are several, for stable until its answer says otherwise.

    Args:
        scenario: its traffic, labels, drift and seed.
        copies: a gateway that mirrors (`realtime.Copies`); None: there is no shadow.
        most_in_flight: requests under way at a time; what would be one more fails as ``not_sent``.

    Raises:
        InputError: the rows of one arm alone are to drift.
    """

    def __init__(self, scenario: Scenario, copies: Any = None, most_in_flight: int = MOST_IN_FLIGHT) -> None:
        scope.check(scenario)
        self.scenario, self.copies = scenario, copies
        self._most = most_in_flight
        arms = scope.arms(scenario)
        self._shares = Shares(arms, scenario.traffic.classes)
        self._reader = Reader(arms, scope.arm_headers(scenario))
        self._measured = Measured(scenario, self._shares, copies)
        self._faults: tuple[Fault, ...] = scenario.faults
        self._origin_ns = 0
        self._asker: Asker[Asked] | None = None
        self._course: Course | None = None
        self._asking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    # --- the platform's parts tell it ---

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: answers that carry no header say it."""
        self._reader.inform(revisions)

    @contextmanager
    def rerouting(self, want: Routing) -> Iterator[None]:
        """Routing changes while this lasts; `Watched` calls it around a router's `apply`."""
        before = dict(self._shares.weights)
        with self._shares.changing(want):
            yield
        if dict(want.weights) != before:
            self._measured.shares_changed()

    def routed(self, want: Routing) -> None:
        """This is in force already: a router was found as a killed run left it."""
        self._shares.put(want, now_ns())
        self._measured.shares_changed()

    # --- traffic ---

    async def start(self, url: str, models: Mapping[Role, TrainedModel], population: Population | None) -> None:
        """Begin to ask there; times of the traffic and of drift count from here.

        Who has lost the rows that it is to ask (a run that was cut off, and goes home) asks nothing.
        """
        question = Question(self.scenario, self._faults, models, population)
        await anyio.to_thread.run_sync(question.warm, question.level(0))
        self._reader.put(question.model)
        timeout_ns = self.scenario.service[Role.STABLE].timeout_ns
        self._asker = Asker(url, timeout_ns, self._reader, self._done, self._most)
        self._asker.open()
        self._course = Course(self.scenario, question, self._shares, self._asker)
        self._origin_ns = now_ns()
        self._shares.begin(self._origin_ns)
        self._measured.begin(self._origin_ns, question.answers)
        loop = asyncio.get_running_loop()
        if population is not None or self.scenario.model.data is None:
            self._asking = loop.create_task(self._course.run(self._origin_ns))
        self._following = loop.create_task(question.follow(self._origin_ns))

    async def replace(self, models: Mapping[Role, TrainedModel], population: Population | None, *, adopt: bool) -> None:
        """The arms have other models from now on; with ``adopt`` what was the candidate is stable.

        Sums stay with their role. Windows begin anew, and what is under way is counted for the arm that it came to, but
        as an answer of no model: it is asked nothing of its row.
        """
        course = self._course
        if course is None:
            raise ServingError("users do not ask yet; `start` them first")
        moved = [(fault, inherited(fault.on, adopt=adopt)) for fault in self._faults]
        self._faults = tuple(replace(fault, on=on) for fault, on in moved if on)
        question = Question(self.scenario, self._faults, models, population)
        await anyio.to_thread.run_sync(question.warm, question.level(now_ns() - self._origin_ns))
        await ended(self._following)
        self._measured.another(question.answers)
        course.question = question
        self._reader.put(question.model)
        self._following = asyncio.get_running_loop().create_task(question.follow(self._origin_ns))
        self.routed(Routing({Role.STABLE: WHOLE}))

    async def stop(self) -> None:
        """Ask no more, and wait for what is under way, each at most its time-out."""
        asker = self._asker
        try:
            await ended(self._asking, self._following)
        finally:
            self._shares.end(now_ns())
            if asker is not None:
                await asker.close()

    def _done(self, asked: Asked, said: Said) -> None:
        """Write down what came of a request."""
        kind, role = said.kind, said.role
        if role is not None:
            self._shares.answered(asked.sent, role)
        elif kind == OK:
            role = asked.sent.role
            self._shares.answered(asked.sent, role)
        else:
            role = self._shares.missed(asked.sent)
            kind = kind if asked.sent.sure else PRESUMED + kind
        if role.model in asked.lost:
            return  # its user does not come back from that arm, and nothing is known of it
        self._measured.book(asked, role, kind, said)

    @property
    def _in_flight(self) -> list[Asked]:
        return self._asker.in_flight if self._asker else []

    def _check(self) -> None:
        """Raise where asking has ended with an error: what is measured since means nothing."""
        error = self._asker.broken if self._asker else None
        if self._asking is not None and self._asking.done() and not self._asking.cancelled():
            error = error or self._asking.exception()
        if error is not None:
            raise ServingError(f"users cannot ask any more: {error!r}") from error

    # --- MetricSource ---

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        """What they met in ``[start, stop)``."""
        self._check()
        return await self._measured.sample(start_ns, stop_ns, self._in_flight)

    async def totals(self) -> Mapping[Role, ArmTotals]:
        """What they met since they began."""
        self._check()
        return await self._measured.totals(self._in_flight)

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """What they asked."""
        self._check()
        return self._measured.inputs(start_ns, stop_ns)

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm's model says of what they asked."""
        self._check()
        return self._measured.predictions(start_ns, stop_ns)

    def lost(self) -> Mapping[str, int]:
        """Requests that no replica answered at all, by kind (`harness.domain.lost.LOST`), of all arms."""
        return self._measured.lost()


class Watched:
    """A router whose users are told where it sends them."""

    def __init__(self, router: Router, users: Users) -> None:
        self.router, self._users = router, users

    async def apply(self, want: Routing) -> Weights:
        """Put it in force, and tell the users."""
        with self._users.rerouting(want):
            return await self.router.apply(want)

    async def notices(self) -> AsyncIterator[Notice]:
        """What the router tells of itself; nothing, where it never does."""
        if isinstance(self.router, Noticing):
            async for notice in self.router.notices():
                yield notice
