"""The course of users' requests: drawn a little ahead, asked when each is due."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread
import numpy as np

from harness import arrivals
from harness.clock import now_ns, sleep_until
from harness.domain.fault import Fault
from harness.domain.model import ARMS, Role, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND, SECOND
from harness.protocols import Population
from harness.seeds import stream
from harness.sim.classes import rows_of
from harness.sim.population import Answers
from harness.users.asking import Asker, on_time
from harness.users.bodies import EMPTY, Bodies
from harness.users.draws import NOBODY, Drawn, Draws
from harness.users.shares import Sent, Shares

SLICE_NS: Final = 500 * MILLISECOND
"""So far ahead requests are drawn."""
LEAD_NS: Final = 10 * SECOND
"""So long before the data drift to another level, the rows and the models' answers to them are made ready."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is under way."""

    due_ns: int
    user: int
    kind: int
    row: int
    level: int
    labelled: bool
    lost: frozenset[Role]
    """Arms that its user does not come back from."""
    sent: Sent
    question: "Question"


class Question:
    """What users ask while one pair of models stands.

    Args:
        scenario: its traffic, labels and seed.
        faults: those that act on rows, on labels, or lose users.
        models: of both arms.
        population: its rows; None: there are none, and an empty object is asked.

    Raises:
        InputError: a drift or a class of requests names what the rows lack.
    """

    def __init__(
        self,
        scenario: Scenario,
        faults: Sequence[Fault],
        models: Mapping[Role, TrainedModel],
        population: Population | None,
    ) -> None:
        self.faults = tuple(faults)
        self.answers: Answers | None = None
        self.model: TrainedModel | None = None
        self._bodies: Bodies | None = None
        traffic, data = scenario.traffic, scenario.model.data
        members: tuple[Any, ...] = ()
        if population is not None:
            self.model = models[Role.STABLE]
            self.answers = Answers.build(models, population, faults, scenario.seed, scenario.horizon_ns)
            self._bodies = Bodies(self.answers.asked)
            members = tuple(rows_of(kind, population.rows) for kind in traffic.classes)
        self._draws = Draws(
            scenario.seed,
            traffic,
            self.answers.rows if self.answers else 0,
            members,
            scenario.labels.share if scenario.labels else 0.0,
            data.walk_ns if data else None,
        )

    def draw(self, first: int, times: Any) -> Drawn:
        """The requests that are due at these times; see `Draws.of`."""
        return self._draws.of(first, times, self.faults)

    def level(self, at_ns: int) -> int:
        """The level of drift of what is asked at a time; rows and labels drift for all arms alike."""
        return self.answers.levels.at(Role.STABLE, at_ns) if self.answers else 0

    def body(self, level: int, row: int) -> bytes:
        """What is sent."""
        return self._bodies.of(level, row) if self._bodies and row != NOBODY else EMPTY

    def warm(self, level: int) -> None:
        """Compute what a level needs, so that nobody waits for it; takes as long as models take over all rows."""
        if self.answers is None or self._bodies is None:
            return
        self._bodies.prepare(level)
        everything = {level: np.ones(self.answers.rows, np.int64)}
        self.answers.known(level)
        for role in ARMS:
            self.answers.drift_score(role, everything)
            self.answers.prediction_drift(role, everything)

    async def follow(self, origin_ns: int) -> None:
        """Have each level ready when its time comes."""
        for at_ns, level in self.answers.levels.breakpoints(Role.STABLE) if self.answers else ():
            if origin_ns + at_ns > now_ns():
                await sleep_until(origin_ns + at_ns - LEAD_NS)
                await anyio.to_thread.run_sync(self.warm, level)


class Course:
    """Asks as the traffic says, until it is cancelled.

    Args:
        scenario: its traffic and seed, and what users are told apart by.
        question: what is asked; another may be put in its place at any time.
        shares: where requests go.
        asker: sends them.

    Raises:
        InputError: the traffic is none, or its recording cannot be read.
    """

    def __init__(self, scenario: Scenario, question: Question, shares: Shares, asker: Asker[Asked]) -> None:
        self.question = question
        self._scenario, self._shares, self._asker = scenario, shares, asker
        self._arrivals = arrivals.Reader(arrivals.of(scenario.traffic), stream(scenario.seed, "arrivals"))
        self._headers = [dict(kind.headers) for kind in scenario.traffic.classes] or [{}]

    async def run(self, origin_ns: int) -> None:
        """Ask from then on; times of the traffic count from it."""
        until_ns = number = 0
        while True:
            until_ns += SLICE_NS
            times = self._arrivals.until(until_ns)
            await self._slice(origin_ns, number, times)
            number += len(times)
            await sleep_until(origin_ns + until_ns)

    async def _slice(self, origin_ns: int, first: int, times: Any) -> None:
        question = self.question
        drawn = question.draw(first, times)
        for place, at_ns in enumerate(times.tolist()):
            await on_time(origin_ns + at_ns)
            if question is not self.question:  # there is another candidate, and maybe there are other rows
                question = self.question
                drawn = question.draw(first, times)
            self._ask(origin_ns, question, drawn, place)

    def _ask(self, origin_ns: int, question: Question, drawn: Drawn, place: int) -> None:
        at_ns, kind = int(drawn.at_ns[place]), int(drawn.kind[place])
        lost = frozenset(role for role, gone in drawn.lost.items() if gone[place])
        if set(ARMS) <= lost:
            return  # its user gets to no arm, and nothing is known of it
        level, row, user = question.level(at_ns), int(drawn.row[place]), int(drawn.user[place])
        labelled = bool(drawn.labelled[place])
        sent = self._shares.sent(kind)
        asked = Asked(origin_ns + at_ns, user, kind, row, level, labelled, lost, sent, question)
        headers = dict(self._headers[kind])
        if user != NOBODY:
            headers[self._scenario.real.router.user_header] = str(user)
        self._asker.ask(asked, question.body(level, row), headers)


async def ended(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks, and wait until they are over."""
    some = [task for task in tasks if task is not None]
    for task in some:
        task.cancel()
    await asyncio.gather(*some, return_exceptions=True)
